"""A frame of a camera takes no more memory than it must."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from tidings.nats.server import NatsServer
from tidings.nats.wire import IMPLEMENTATION
from tidings.pubsub import NATSPubSub
from tidings.pubsub.data import SensorData

FRAME = 6 * 1024 * 1024
SLACK = 512 * 1024

# The pure twin reads a message in parts and joins them. Before 3.12 asyncio copies what a socket does not
# take at once.
IS_LEAN = IMPLEMENTATION == "c" and sys.version_info >= (3, 12)


@pytest.fixture
def pubsub() -> Iterator[NATSPubSub]:
    with NatsServer(config="max_payload: 8388608") as server, NATSPubSub({"servers": server.url}) as pubsub:
        pubsub.subscribe("camera")
        pubsub.publish("camera", b"what is made once is made now")
        assert next(pubsub.listen(timeout=20))
        yield pubsub


def test_sent_and_received_by_one_process_it_is_there_twice(pubsub: NATSPubSub) -> None:
    frame = bytes(FRAME)
    messages = pubsub.listen(timeout=20)
    tracemalloc.start()
    try:
        pubsub.publish("camera", frame)
        received = next(messages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == frame
    # The frame that was sent was there before, so one copy is what came: two in all.
    assert peak < (1 if IS_LEAN else 3) * FRAME + SLACK


def test_an_array_is_copied_once_to_be_sent_and_not_at_all_when_it_comes(pubsub: NATSPubSub) -> None:
    image = np.zeros((1024, 2048, 3), "u1")
    messages = pubsub.listen(timeout=20)
    tracemalloc.start()
    try:
        pubsub.publish("camera", SensorData("camera", payload=image).serialize())
        seen = SensorData.deserialize(next(messages)).payload
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen.shape == image.shape
    assert peak < (2 if IS_LEAN else 4) * FRAME + SLACK
