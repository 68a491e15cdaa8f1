"""What is measured: one function a workload, given a driver and a Run, returning a figure."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

clock = time.perf_counter


@dataclass(frozen=True)
class Run:
    """One measurement: where, for how long (seconds), with how large a payload (bytes)."""

    url: str
    seconds: float
    warmup: float
    size: int


async def rate(section: Callable[[float], Awaitable[int]], run: Run) -> float:
    """Units a second of `section(seconds)`, which works for that long and returns how many."""
    await section(run.warmup)
    start = clock()
    done = await section(run.seconds)
    return done / (clock() - start)


class Arrivals:
    """Counts what arrives and lets one publisher wait for it.

    The publisher never runs further ahead than the clients' pending limits allow, so that nobody
    drops a message and all do the same work.
    """

    TIMEOUT = 20.0  # seconds

    def __init__(self) -> None:
        self.seen = 0
        self._goal = -1
        self._reached = asyncio.Event()

    def count(self, _msg: object) -> None:
        self.seen += 1
        if self.seen == self._goal:
            self._reached.set()

    async def reach(self, goal: int) -> None:
        """Wait until `goal` messages have arrived. Raises TimeoutError when they do not come."""
        if self.seen >= goal:
            return
        self._goal = goal
        self._reached.clear()
        async with asyncio.timeout(self.TIMEOUT):
            await self._reached.wait()


class Meter:
    """The rate of a stream from the end of the warm-up until `seconds` later."""

    def __init__(self, warmup: float, seconds: float) -> None:
        self.rate = 0.0
        self._warmup = warmup
        self._seconds = seconds
        self._first: float | None = None
        self._start: tuple[float, int] | None = None

    @property
    def warming(self) -> bool:
        """Whether the warm-up goes on."""
        return self._start is None

    def tick(self, count: int) -> bool:
        """Note that `count` have come by now; True once the section is over and `rate` is known."""
        now = clock()
        if self._first is None:
            self._first = now
        elif self._start is None:
            if now - self._first >= self._warmup:
                self._start = now, count
        elif now - self._start[0] >= self._seconds:
            self.rate = (count - self._start[1]) / (now - self._start[0])
        return self.rate > 0
