"""NATS: core and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from tidings.nats import Client, connect
from tidings.nats.jetstream import ConsumerInfo
from tidings.nats.server import NatsServer
from tidings.pubsub import (
    ConfigError,
    ConnectError,
    MessageTooLargeError,
    NATSPubSub,
    PubSubError,
    TopicError,
)

from .conformance import Conformance
from .servers import eventually


class TestCore(Conformance):
    backend = "NATSPubSub"

    @pytest.fixture
    def config(self, nats_url: str) -> dict[str, Any]:
        return {"servers": [nats_url]}


def in_loop(url: str, work: Any) -> Any:
    """What `work` gives, an async function of a client."""

    async def run() -> Any:
        async with await connect(url) as client:
            return await work(client)

    return asyncio.run(run())


@pytest.fixture
def stream(nats_url: str, topic: str) -> Iterator[str]:
    """A stream for the topics of the test."""

    async def make(client: Client) -> None:
        await client.jetstream().create_stream(name=topic, subjects=[topic, f"{topic}.>"])

    async def remove(client: Client) -> None:
        await client.jetstream().delete_stream(topic)

    in_loop(nats_url, make)
    yield topic
    in_loop(nats_url, remove)


class TestStream(Conformance):
    backend = "NATSPubSub"
    can_drop = False
    settles = True

    @pytest.fixture
    def topic(self, request: pytest.FixtureRequest) -> str:
        return request.node.name.replace("[", "-").replace("]", "")[:100]

    @pytest.fixture
    def config(self, nats_url: str, stream: str) -> dict[str, Any]:
        return {"servers": [nats_url], "stream": stream}

    def test_a_durable_consumer_is_shared_and_stays(
        self, make: Any, nats_url: str, stream: str, topic: str
    ) -> None:
        make().publish(topic, b"before")
        one = make(durable="work")
        for name in (topic, f"{topic}.more"):
            one.subscribe(name)
        one.publish(f"{topic}.more", b"after")
        messages = one.listen(timeout=20)
        assert sorted(islice(messages, 2)) == [b"after", b"before"]
        one.close()

        async def info(client: Client) -> ConsumerInfo:
            return await client.jetstream().consumer_info(stream, "work")

        found = in_loop(nats_url, info)
        assert sorted(found.config.filters) == [topic, f"{topic}.more"]
        assert found.ack_floor.stream_seq == 1  # the second was in its loop body

    def test_a_consumer_of_its_own_is_gone_after_it(
        self, make: Any, nats_url: str, stream: str, topic: str
    ) -> None:
        one = make()
        one.subscribe(topic)
        one.close()

        async def names(client: Client) -> list[str]:
            return [name async for name in (await client.jetstream().stream(stream)).consumer_names()]

        assert in_loop(nats_url, names) == []

    def test_what_waits_for_a_loop_body_is_not_delivered_again(self, make: Any, topic: str) -> None:
        pubsub = make(group_id="slow", ack_wait=1.0)
        pubsub.subscribe(topic)
        for number in range(3):
            pubsub.publish(topic, b"%d" % number)
        eventually(lambda: pubsub.counters.pending == 3, "all three")
        waited = make()
        waited.subscribe(topic)
        assert list(waited.listen(timeout=2.5)) == []
        assert list(pubsub.listen(timeout=1.5)) == [b"0", b"1", b"2"]

    def test_what_no_stream_takes_fails(self, make: Any) -> None:
        pubsub = make()
        pubsub.publish("taken.by.nobody", b"x")
        with pytest.raises(PubSubError, match="1 published messages did not arrive"):
            pubsub.flush()
        assert pubsub.counters.failed == 1
        pubsub.flush()


def test_a_stream_that_is_not_there(nats_url: str) -> None:
    with pytest.raises(ConnectError, match="stream not found"):
        NATSPubSub({"servers": nats_url, "stream": "NOT_THERE"})


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "'servers' is missing"),
        ({"servers": []}, "'servers'"),
        ({"servers": ["nats://h", ""]}, "'servers'"),
        ({"servers": "http://u:sesame@h"}, "scheme"),
        ({"servers": "nats://u:sesame@h:x"}, "port"),
        ({"servers": "nats://h", "password": 7}, "'password'"),
        ({"servers": "nats://h", "tls": "yes"}, "'tls'"),
        ({"servers": "nats://h", "tls_verify": 1}, "'tls_verify'"),
        ({"servers": "nats://h", "tls_key": "k.pem"}, "'tls_key'"),
        ({"servers": "nats://h", "durable": "d"}, "'durable'"),
        ({"servers": "nats://h", "password": "sesame"}, "goes with 'user'"),
        ({"servers": "nats://h", "nkeys_seed": "SUsesame"}, "'nkeys_seed'.*No such file"),
        ({"servers": "nats://h", "user_jwt": "sesame\0"}, "'user_jwt'.*no path"),
        ({"servers": "nats://h", "user_credentials": "sesame"}, "'user_credentials'.*No such file"),
        ({"servers": "nats://h", "ack_wait": -1}, "'ack_wait'"),
        ({"servers": "nats://h", "group_id": "a b"}, "'group_id'"),
        ({"servers": "nats://h", "nkeys_seed": "SU" + 56 * "A", "user_credentials": "-----BEGIN"}, "nkeys"),
        ("nats://u:sesame@h", "is a dict"),
    ],
)
def test_a_config_that_cannot_work(config: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        NATSPubSub(config)
    assert "sesame" not in str(caught.value)


def test_the_attributes(nats_url: str) -> None:
    with NATSPubSub({"servers": nats_url, "group_id": "g"}) as pubsub:
        assert pubsub.group_id == "g"
        assert pubsub.nc.is_connected
        assert pubsub.loop.is_running()
        assert pubsub.topic is None
        pubsub.subscribe("a")
        assert str(pubsub.topic) == "a"
        assert pubsub.queue.qsize() == 0
        assert pubsub.queue.empty()
        secret = nats_url.partition("//")[2].partition("@")[0]
        assert secret
        assert secret not in f"{pubsub!r} {pubsub.servers} {vars(pubsub)['queue']!r}"


def test_a_call_that_waits_is_none_for_the_loop_itself(nats_url: str) -> None:
    with NATSPubSub({"servers": nats_url}) as pubsub:

        async def wrong() -> None:
            pubsub.flush()

        with pytest.raises(RuntimeError, match="in the event loop itself"):
            asyncio.run_coroutine_threadsafe(wrong(), pubsub.loop).result(20)


def test_all_instances_share_a_thread(nats_url: str) -> None:
    with NATSPubSub({"servers": nats_url}) as one, NATSPubSub({"servers": nats_url}) as other:
        assert one.loop is other.loop
        assert one.nc is not other.nc


def test_wildcards(nats_url: str) -> None:
    with NATSPubSub({"servers": nats_url}) as pubsub:
        pubsub.subscribe("wild.*.camera")
        pubsub.publish("wild.7.camera", b"x")
        assert next(pubsub.listen(timeout=20)) == b"x"


@pytest.mark.parametrize("bad", ["a b", "a..b", "a.*", "x" * 5000])
def test_a_subject_that_nats_does_not_take(nats_url: str, bad: str) -> None:
    with NATSPubSub({"servers": nats_url}) as pubsub:
        for size in (1, 100_000):
            with pytest.raises(TopicError):
                pubsub.publish(bad, bytes(size))
        assert pubsub.counters.published == 0
        if "*" not in bad:
            with pytest.raises(TopicError):
                pubsub.subscribe(bad)


def test_a_message_that_is_too_large(nats_url: str) -> None:
    with NATSPubSub({"servers": nats_url}) as pubsub:
        with pytest.raises(MessageTooLargeError, match="max_payload"):
            pubsub.publish("a", bytes(2_000_000))
        assert pubsub.counters.published == 0


def test_large_and_small_keep_their_order() -> None:
    with NatsServer(config="max_payload: 8388608") as server, NATSPubSub({"servers": server.url}) as pubsub:
        pubsub.subscribe("a")
        sent = [bytes([number]) * (6_000_000 if number % 3 == 1 else 10) for number in range(9)]
        for message in sent:
            pubsub.publish("a", message)
        assert list(islice(pubsub.listen(timeout=20), 9)) == sent
