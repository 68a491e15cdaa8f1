"""``async for`` over a subscription."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from tidings.nats.wire import Msg

__all__ = ["BATCH", "Held", "Iteration"]

# Messages handled in a row before other tasks get a turn.
BATCH = 1024


class Held(Protocol):
    """What an iteration needs of a subscription."""

    failure: Exception | None

    @property
    def is_closed(self) -> bool:
        """Whether no more messages come."""
        ...

    def take(self) -> Msg | None:
        """The oldest message, if there is one."""
        ...

    async def arrival(self) -> None:
        """Wait until a message came, or the end."""

    def settle(self) -> None:
        """Let a drain look again."""


class Iteration:
    """One ``async for`` over a subscription. A drain waits for it to take what is held while it lives."""

    __slots__ = ("_readers", "_sub", "_task", "_turn")

    def __init__(self, sub: Held, readers: list[asyncio.Task[Any] | None]) -> None:
        self._sub = sub
        self._readers = readers
        self._turn = 0
        self._task = asyncio.current_task()
        readers.append(self._task)

    def __del__(self) -> None:
        self._readers.remove(self._task)
        self._sub.settle()

    def __aiter__(self) -> Iteration:
        return self

    async def __anext__(self) -> Msg:
        # The queue grows only while others run, so now and then they must.
        self._turn += 1
        if self._turn >= BATCH:
            self._turn = 0
            await asyncio.sleep(0)
        sub = self._sub
        while (message := sub.take()) is None:
            if sub.is_closed:
                if sub.failure is not None:
                    raise sub.failure
                raise StopAsyncIteration
            await sub.arrival()
        return message
