"""A clock for tests of schedules."""

import asyncio
import heapq
from datetime import UTC, datetime
from itertools import count

from tidings.messaging.clock import Clock

__all__ = ["ManualClock"]


class ManualClock(Clock):
    """A clock that stands until it is moved::

        clock = broker.clock = ManualClock()
        async with TestNatsBroker(broker):
            await clock.advance(30)
            await handler.wait_call()

    Args:
        start: what it shows at first.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start.timestamp()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._news = asyncio.Event()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    async def sleep_until(self, moment: float) -> None:
        """Return when it was moved so far."""
        if moment <= self._now:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._numbers), sleeper))
        self._news.set()
        await sleeper

    @property
    def sleepers(self) -> int:
        """How many wait for it."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def asleep(self, count: int = 1, timeout: float = 5.0) -> None:
        """Wait until so many wait for it. TimeoutError after so many seconds of the real time."""
        async with asyncio.timeout(timeout):
            while self.sleepers < count:
                self._news.clear()
                await self._news.wait()

    async def advance(self, seconds: float, sleepers: int = 1, timeout: float = 5.0) -> None:
        """Move it, once so many wait for it. What is due meanwhile finds it at the new time.

        TimeoutError where they do not come within `timeout` seconds of the real time.
        """
        await self.asleep(sleepers, timeout)
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)
