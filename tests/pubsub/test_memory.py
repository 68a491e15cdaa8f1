from __future__ import annotations

import threading
from itertools import islice
from typing import Any

import pytest

from tidings.pubsub import BackpressureError, ClosedError, MemoryPubSub, TopicError

from .conformance import Conformance
from .servers import eventually


class TestMemory(Conformance):
    backend = "MemoryPubSub"
    crosses_processes = False

    @pytest.fixture
    def config(self, topic: str) -> dict[str, Any]:
        return {"name": topic}


def test_no_config_is_the_default_one() -> None:
    with MemoryPubSub() as one, MemoryPubSub({}) as other:
        other.subscribe("a")
        one.publish("a", b"x")
        assert next(other.listen(timeout=5)) == b"x"
    assert repr(one) == "<MemoryPubSub memory://default>"


def test_wildcards_as_in_nats() -> None:
    with MemoryPubSub({"name": "wild"}) as pubsub:
        pubsub.subscribe("camera.*")
        pubsub.subscribe("lidar.>")
        for topic in ("camera.1", "camera.1.raw", "lidar.1.raw", "radar"):
            pubsub.publish(topic, topic.encode())
        assert list(pubsub.listen(timeout=0)) == [b"camera.1", b"lidar.1.raw"]
        with pytest.raises(TopicError, match="wildcard"):
            pubsub.publish("camera.*", b"x")
        with pytest.raises(TopicError, match="empty token"):
            pubsub.subscribe("a..b")


def test_whoever_publishes_waits_for_a_reader_that_is_full() -> None:
    with MemoryPubSub({"name": "full", "buffer_messages": 1, "publish_timeout": 0.01}) as pubsub:
        pubsub.subscribe("a")
        pubsub.publish("a", b"1")
        with pytest.raises(BackpressureError, match="no room"):
            pubsub.publish("a", b"2")
        assert list(islice(pubsub.listen(timeout=0), 2)) == [b"1"]
        pubsub.publish("a", b"3")
        assert pubsub.counters.published == 2


def test_closing_wakes_whoever_waits_to_publish() -> None:
    failures: list[BaseException] = []

    def publish() -> None:
        try:
            for _ in range(3):
                writer.publish("a", b"x")
        except ClosedError as error:
            failures.append(error)

    with MemoryPubSub({"name": "woken", "buffer_messages": 1}) as reader:
        reader.subscribe("a")
        writer = MemoryPubSub({"name": "woken"})
        waiting = threading.Thread(target=publish)
        waiting.start()
        eventually(lambda: reader.counters.pending == 1, "the first message")
        writer.close()
        waiting.join(20)
        assert len(failures) == 1
