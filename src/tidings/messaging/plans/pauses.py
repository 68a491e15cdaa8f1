"""The waits between two tries of a message that nobody delivers again."""

import asyncio
from contextlib import suppress

__all__ = ["Pauses"]


class Pauses:
    """The waits of one subscriber, which its stop cuts short: then there is no later.

    Attributes:
        are_over: whether the subscriber stops.
    """

    def __init__(self) -> None:
        self.are_over = False
        self._over = asyncio.Event()

    async def wait(self, delay: float) -> None:
        """Wait so many seconds, or until the subscriber stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._over.wait()

    def end(self) -> None:
        """Cut short those that are under way and those to come."""
        self.are_over = True
        self._over.set()
