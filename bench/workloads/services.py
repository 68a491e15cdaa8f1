"""The framework rows: a handler in this process, fed by bench.feeder in another."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, Protocol

from bench import feeder
from bench.workloads import Meter, Run

SOURCE = "bench.in"
SINK = "bench.out"
JSON = '{"id":7,"v":1.5}'  # 16 bytes
BYTES = "0123456789abcdef"
# Messages under way at the start. With each step of the warm-up they become more, up to MOST: so a
# fast service always finds some, and a slow one does not drown in what it has yet to work off.
WINDOW = 1_000
MOST = 20_000
TIMEOUT = 60.0  # seconds; the slowest handler does some hundred messages a second

Start = Callable[[str, Callable[[], None]], Awaitable[Any]]


class ServiceDriver(Protocol):
    """The shape of the service modules of bench.drivers: a started service on SOURCE for each row.

    The handler calls `handled` once a message. What is returned is kept until the end.
    """

    MODULE: str

    async def model(self, url: str, handled: Callable[[], None]) -> Any:
        """Body: a pydantic model."""

    async def injected(self, url: str, handled: Callable[[], None]) -> Any:
        """Body, message, logger, a context value and a dependency."""

    async def chain(self, url: str, handled: Callable[[], None]) -> Any:
        """Body: a pydantic model, which is returned and published to SINK."""

    async def raw(self, url: str, handled: Callable[[], None]) -> Any:
        """Body: the bytes."""


async def model(driver: ServiceDriver, run: Run) -> float:
    """Messages a second into a handler that takes a pydantic model."""
    return await _handled(driver.model, JSON, run)


async def injected(driver: ServiceDriver, run: Run) -> float:
    """Messages a second into a handler that asks for all that a real one does."""
    return await _handled(driver.injected, JSON, run)


async def raw(driver: ServiceDriver, run: Run) -> float:
    """Messages a second into a handler that takes bytes."""
    return await _handled(driver.raw, BYTES, run)


async def chain(driver: ServiceDriver, run: Run) -> float:
    """Messages a second through a handler that publishes what it returns."""
    sink = feeder.connect(run.url)
    feeder.receive_until(sink, b"PONG\r\n", 1, ask=b"SUB %b 1\r\nPING\r\n" % SINK.encode())

    async def results_come() -> None:
        """So that nobody is timed who publishes nothing."""
        with closing(sink):
            await asyncio.to_thread(feeder.receive_until, sink, b"MSG %b 1" % SINK.encode(), feeder.STEP)

    return await _handled(driver.chain, JSON, run, first=results_come())


async def _handled(start: Start, payload: str, run: Run, first: Awaitable[None] | None = None) -> float:
    finished, meter, count, window = asyncio.Event(), Meter(run.warmup, run.seconds), 0, WINDOW

    with feeder.running(run.url, SOURCE, payload) as leave:

        def handled() -> None:
            nonlocal count
            count += 1
            if count % feeder.STEP == 0:
                step()

        def step() -> None:
            nonlocal window
            if meter.tick(count):
                finished.set()
            elif meter.warming and window < MOST:
                window += feeder.STEP
                os.write(leave, b"..")
            else:
                os.write(leave, b".")

        _keep = await start(run.url, handled)
        os.write(leave, b"." * (WINDOW // feeder.STEP))
        async with asyncio.timeout(TIMEOUT):
            if first:
                await first
            await finished.wait()
        return meter.rate
