"""Redis: channels and streams."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from tidings.pubsub import ConfigError, ConnectError, RedisPubSub

from .conformance import Conformance, Make


class TestChannels(Conformance):
    backend = "RedisPubSub"
    has_groups = False

    @pytest.fixture
    def config(self, redis_url: str) -> dict[str, Any]:
        return {"url": redis_url}


class TestStreams(Conformance):
    backend = "RedisPubSub"
    settles = True

    @pytest.fixture
    def config(self, redis_url: str) -> dict[str, Any]:
        # What a member left is taken up after ack_wait.
        return {"url": redis_url, "streams": True, "ack_wait": 1.0, "stream_length": 10_000}

    def test_a_stream_keeps_its_last_entries(self, make: Make, topic: str, redis_url: str) -> None:
        import redis

        pubsub = make(stream_length=100)
        for _ in range(1000):
            pubsub.publish(topic, b"x")
        pubsub.flush()
        with redis.Redis.from_url(redis_url) as client:
            assert 100 <= client.xlen(topic) < 300  # valkey cuts whole nodes off

    def test_what_waits_for_a_loop_body_is_not_claimed(self, make: Make, topic: str) -> None:
        first, second = make(group_id="g"), make(group_id="g")
        first.subscribe(topic)
        for number in range(3):
            first.publish(topic, b"%d" % number)
        messages = first.listen(timeout=20)
        assert next(messages) == b"0"
        second.subscribe(topic)
        assert list(second.listen(timeout=2.5)) == [b"0"]  # what is in a loop body for longer is
        assert list(islice(messages, 2)) == [b"1", b"2"]


def test_what_is_a_key_comes_before_the_url(redis_url: str) -> None:
    import redis

    with pytest.raises(ConnectError, match="out of range"):
        RedisPubSub({"url": redis_url, "db": 99})
    with RedisPubSub({"url": redis_url, "db": 3, "streams": True}) as pubsub:
        pubsub.publish("of-db-3", b"x")
        pubsub.flush()
    with redis.Redis.from_url(redis_url, db=0) as first:
        assert first.exists("of-db-3") == 0


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"url": "http://h"}, "'url'"),
        ({"url": "redis://u:sesame@h:x"}, "'url'"),
        ({"url": 7}, "'url'"),
        ({"url": "redis://h", "db": -1}, "'db'"),
        ({"url": "redis://h", "streams": "yes"}, "'streams'"),
        ({"url": "redis://h", "group_id": "g"}, "'streams'"),
        ({"url": "redis://h", "stream_length": 0}, "'stream_length'"),
        ({"url": "redis://h", "tls_key": "k.pem"}, "'tls_key' goes with"),
    ],
)
def test_a_config_that_cannot_work(config: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        RedisPubSub(config)
    assert "sesame" not in str(caught.value)
