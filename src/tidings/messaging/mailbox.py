"""Messages of a source that no handler gets: somebody takes them, one by one."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from .acks import Settler
from .message import Message

__all__ = ["Mailbox"]


class Mailbox:
    """Holds one message until it is taken; the next ones wait where the broker's client holds them.

    When it closes, what was delivered comes in at once and can still be taken; where messages are settled it
    goes back to the broker.

    Args:
        message_of: makes a message of a native one.
        settler: what settles them; None where they are not settled.
    """

    def __init__(self, message_of: Callable[[Any], Message[Any]], settler: Settler | None) -> None:
        self._message_of = message_of
        self._settler = settler
        self._messages: deque[Message[Any]] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._takers = 0
        self._is_closing = self._is_closed = False

    async def put(self, native: Any) -> None:
        """What an adapter awaits with each native message."""
        while self._messages and not self._is_closing:
            self._taken.clear()
            await self._taken.wait()
        if self._is_closing and self._settler is not None:
            await self._settler.nack(native, None)
            return
        self._messages.append(self._message_of(native))
        self._arrived.set()

    async def take(self, timeout: float | None) -> Message[Any] | None:
        """The next message; None after so many seconds, or when it is closed and empty."""
        self._takers += 1
        try:
            async with asyncio.timeout(timeout):
                while not self._messages and not self._is_closed:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        finally:
            self._takers -= 1
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._taken.set()
        return message

    async def close(self, stop: Callable[[float], Any], timeout: float) -> int:
        """End the source with `stop`, and then whoever waits for a message.

        Returns:
            How many messages are left that nobody waits for.
        """
        self._is_closing = True
        self._taken.set()
        is_awaited = self._takers > 0
        try:
            left: int = await stop(timeout)
        finally:
            self.end()
        return left if is_awaited else left + len(self._messages)

    def end(self) -> None:
        """Nothing comes any more; what is here can be taken."""
        self._is_closing = self._is_closed = True
        self._taken.set()
        self._arrived.set()
