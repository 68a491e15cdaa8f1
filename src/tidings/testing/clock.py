"""A clock for tests of schedules."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from tidings.messaging.clock import Clock

__all__ = ["ManualClock"]


class ManualClock(Clock):
    """A clock that stands until it is moved::

        clock = broker.clock = ManualClock()
        async with TestNatsBroker(broker):
            await clock.advance(30)
            handler.mock.assert_called_once()

    Args:
        start: what it shows at first.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start.timestamp()
        self._waiting: set[asyncio.Task[None]] = set()
        self._asleep: dict[asyncio.Task[None], tuple[float, asyncio.Future[None]]] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now

    async def sleep_until(self, moment: float) -> None:
        """Return when it was moved so far."""
        task = asyncio.current_task()
        if task is None or moment <= self._now:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._asleep[task] = moment, sleeper
        self._news.set()
        try:
            await sleeper
        finally:
            self._asleep.pop(task, None)

    def look_at(self, task: asyncio.Task[None], *, is_run: bool) -> None:
        """See `Clock.look_at`."""
        tasks = self._runs if is_run else self._waiting
        tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._news.set()

        task.add_done_callback(ended)

    async def advance(self, seconds: float, *, wait: bool = True, timeout: float = 20.0) -> None:
        """Move it, and wait until the handlers that are due have ended.

        What is due several times meanwhile finds it at the new time, as after a sleep of the machine.

        Args:
            seconds: how far.
            wait: False to return when they have begun.
            timeout: seconds of the real time to wait. TimeoutError after that.
        """
        await (self.settle(timeout) if wait else self._until(self._all_asleep, timeout))
        self._now += seconds
        for task, (moment, sleeper) in list(self._asleep.items()):
            if moment <= self._now:
                del self._asleep[task]
                if not sleeper.done():
                    sleeper.set_result(None)
        await self._until(self._all_asleep, timeout)
        if wait:
            await self.settle(timeout)

    async def settle(self, timeout: float = 20.0) -> None:
        """Wait until no handler runs and nothing is due; TimeoutError as in `advance`."""
        await self._until(lambda: self._all_asleep() and not self._runs, timeout)

    def _all_asleep(self) -> bool:
        return self._waiting <= self._asleep.keys()

    async def _until(self, reached: Callable[[], bool], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not reached():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(
                f"schedules are at work after {timeout:g} s: advance(..., wait=False) does not wait for them"
            ) from None
