"""What time it is: of the system, or of a test."""

import asyncio
import time

__all__ = ["Clock"]

_LONGEST_NAP = 30.0  # seconds; the system's clock may be set meanwhile, and a machine be asleep


class Clock:
    """The system's clock. A test gives a broker one that it moves itself (`tidings.testing.ManualClock`)."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep_until(self, moment: float) -> None:
        """Return when it is so late; others run first in any case."""
        await asyncio.sleep(0)
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110  time sets no event
            await asyncio.sleep(min(left, _LONGEST_NAP))

    def look_at(self, task: asyncio.Task[None], *, is_run: bool) -> None:
        """A schedule has begun a task that sleeps by this, or one that runs a tick. A test waits for them."""
