"""What a message costs from the socket to the handler: the functions of ours that it crosses."""

import asyncio
import sys
from types import FrameType
from typing import Any

import pytest
from pydantic import BaseModel

from tidings.brokers.nats import NatsBroker
from tidings.nats import connect
from tidings.nats.wire import IMPLEMENTATION

MOST = 10
LIMIT = 20.0  # seconds


class Reading(BaseModel):
    id: int


@pytest.mark.skipif(
    IMPLEMENTATION != "c", reason="the pure wire core is the one to read, not the one to count"
)
@pytest.mark.parametrize("batch", [1, 50], ids=["alone", "of many"])
async def test_a_message_crosses_at_most_ten_functions_of_ours(nats_url: str, batch: int) -> None:
    broker = NatsBroker(nats_url, logger=None)
    expected, seen = batch, 0
    done = asyncio.Event()

    @broker.subscriber("in")
    async def handler(reading: Reading) -> None:
        nonlocal seen
        seen += 1
        if seen == expected:
            done.set()

    async def publish() -> None:  # in a thread, and so uncounted
        async with await connect(nats_url) as client:
            for _ in range(batch):
                await client.publish("in", b'{"id":7}')

    found: list[str] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("tidings."):
            found.append(f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")

    async with broker, asyncio.timeout(LIMIT):
        await broker.start()
        await asyncio.to_thread(asyncio.run, publish())
        await done.wait()  # the first ones fill caches
        expected += batch
        done.clear()
        sys.setprofile(profile)
        try:
            await asyncio.to_thread(asyncio.run, publish())
            await done.wait()
        finally:
            sys.setprofile(None)
    assert found.count("tidings.messaging.plans.shapes._whole.<locals>.run") == batch
    assert len(found) <= MOST * batch, found
    assert batch == 1 or len(found) <= 2 * batch + MOST, found
