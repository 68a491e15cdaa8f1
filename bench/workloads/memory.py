"""The rows of the memory broker: publisher and handler in one loop, nothing in between."""

import asyncio
from typing import Any

from bench.workloads import Run, clock

STEP = 1_000  # messages published before the handler gets a turn
SUBJECT = "bench.in"
BODY = b"0123456789abcdef"


async def raw(driver: Any, run: Run) -> float:
    """Messages a second, put in by the native client, into a handler that takes bytes."""

    async def put(broker: Any) -> None:
        publish = broker.client.publish
        for _ in range(STEP):
            publish(SUBJECT, BODY)

    return await _rate(driver, run, put)


async def published(driver: Any, run: Run) -> float:
    """The same by `broker.publish`, which encodes a value and names its correlation id."""

    async def put(broker: Any) -> None:
        publish = broker.publish
        for _ in range(STEP):
            await publish(BODY, SUBJECT)

    return await _rate(driver, run, put)


async def _rate(driver: Any, run: Run, put: Any) -> float:
    handled = goal = 0
    reached = asyncio.Event()

    def count() -> None:
        nonlocal handled
        handled += 1
        if handled == goal:
            reached.set()

    async with driver.memory(SUBJECT, count) as broker:
        await broker.start()
        for seconds in (run.warmup, run.seconds):
            handled, goal, start = 0, 0, clock()
            while clock() - start < seconds:
                goal += STEP
                reached.clear()
                await put(broker)
                await reached.wait()
            rate = handled / (clock() - start)
    return rate
