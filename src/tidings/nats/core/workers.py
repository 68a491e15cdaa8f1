"""Several tasks for the callback of one subscription, in order for each key when that is asked for."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Hashable
from typing import Protocol

from tidings.nats.core.callbacks import start_task
from tidings.nats.core.options import OrderedBy
from tidings.nats.wire import Msg

__all__ = ["Crew"]

# Messages handled in a row before other tasks get a turn.
_BATCH = 1024
# Messages taken out of the queue that wait for another of their key: beyond it the queue waits, which has
# limits and is counted.
_PARKED = 1024


class Source(Protocol):
    """What the crew works for: a subscription."""

    @property
    def pending_msgs(self) -> int:
        """Messages in the queue."""
        ...

    def take(self) -> Msg | None:
        """The oldest message, if there is one."""

    async def handle(self, message: Msg) -> None:
        """Run the callback; what it raises is reported."""

    def report(self, error: Exception) -> None:
        """Report an error."""

    def worker_ended(self) -> None:
        """A worker has nothing left to do."""


class Crew:
    """Up to `size` tasks, which live only while there are messages.

    With a key, a message whose key is being handled is parked in the lane of that key, and whoever
    handles the key takes it next.

    Args:
        source: gives messages and handles them.
        size: tasks at once.
        ordered_by: the key, or None for no order.
        context: each task runs in a copy of it, since they run at the same time; None for that of `staff`.

    Attributes:
        tasks: those at work.
        parked: messages that wait in a lane.
    """

    def __init__(
        self, source: Source, size: int, ordered_by: OrderedBy | None, context: contextvars.Context | None
    ) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.parked = 0
        self._source = source
        self._size = size
        self._key: Callable[[Msg], Hashable] | None = _subject if ordered_by == "subject" else ordered_by
        self._context = context
        self._lanes: dict[Hashable, deque[Msg]] = {}

    def staff(self) -> None:
        """Have as many at work as there is work for."""
        for _ in range(min(self._size - len(self.tasks), self._source.pending_msgs)):
            context = None if self._context is None else self._context.copy()
            self.tasks.add(start_task(self._work(), context=context))

    async def _work(self) -> None:
        handled = 0
        try:
            while self.parked < _PARKED and (message := self._source.take()) is not None:
                if self._key is None:
                    await self._source.handle(message)
                else:
                    await self._handle_in_order(message)
                handled += 1
                if handled % _BATCH == 0:
                    await asyncio.sleep(0)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self.tasks.discard(task)
            self._source.worker_ended()

    async def _handle_in_order(self, message: Msg) -> None:
        key = self._key_of(message)
        if (lane := self._lanes.get(key)) is not None:
            lane.append(message)
            self.parked += 1
            return
        lane = self._lanes[key] = deque()
        try:
            await self._source.handle(message)
            while lane:
                message = lane.popleft()
                self.parked -= 1
                if self.parked == _PARKED // 2:  # those who left when it was full can go on
                    self.staff()
                await self._source.handle(message)
        finally:
            del self._lanes[key]
            self.parked -= len(lane)

    def _key_of(self, message: Msg) -> Hashable:
        assert self._key is not None
        try:
            key = self._key(message)
            hash(key)
        except Exception as error:
            self._source.report(error)
            return message.subject
        return key


def _subject(message: Msg) -> Hashable:
    return message.subject
