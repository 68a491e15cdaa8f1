"""What watchers of buckets and object stores share: what is there, a mark, and then each change."""

from __future__ import annotations

import asyncio
import builtins
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from tidings.nats.errors import BadSubscriptionError, TimeoutError
from tidings.nats.jetstream.errors import StreamNotFoundError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.ordered import OrderedConsumer

__all__ = ["Watcher"]

T = TypeVar("T")

_HEARTBEAT = 5.0
"""Seconds: so soon a watcher notices that its consumer is gone, or that the rest was removed meanwhile."""


class Watcher(Generic[T]):
    """What is there as an ``async for``, None once, then each change.

    The None comes always, also where nothing is there. The iteration ends with `stop`, and when the client is
    closed.

    Args:
        consumer: reads what is watched.
        what: names it in errors.
    """

    def __init__(self, consumer: OrderedConsumer, what: str) -> None:
        self._messages = consumer.messages(heartbeat=_HEARTBEAT)
        self._mark = JetStreamMsg()
        self._what = what
        self._is_current = False

    @abstractmethod
    def _read(self, message: JetStreamMsg) -> T | None:
        """What a message says; None leaves it out."""

    @abstractmethod
    def _missing(self, error: StreamNotFoundError) -> StreamNotFoundError:
        """`error` as one of what is watched."""

    async def _begin(self, recheck: Callable[[], Awaitable[None]] | None = None) -> None:
        """Make the consumer: every later change is seen. See `OrderedMessages.open`."""
        try:
            await self._messages.open(self._mark, recheck)
        except StreamNotFoundError as error:
            raise self._missing(error) from error

    @property
    def is_current(self) -> bool:
        """Whether all that was there at the beginning was taken, and the None behind it."""
        return self._is_current

    @property
    def pending(self) -> int:
        """Messages that came and were not taken."""
        return self._messages.pending_msgs

    def __aiter__(self) -> AsyncIterator[T | None]:
        return self

    async def __anext__(self) -> T | None:
        while True:
            try:
                message = await self._messages.take()
            except StreamNotFoundError as error:
                missing = self._missing(error)
                if missing is error:
                    raise
                raise missing from error
            if message is None:
                raise StopAsyncIteration
            if message is self._mark:
                self._is_current = True
                return None
            read = self._read(message)
            if read is not None:
                return read

    async def updates(self, timeout: float | None = 5.0) -> T | None:
        """The next one, or None where the initial ones end.

        Args:
            timeout: seconds; None waits until there is one.

        Raises:
            TimeoutError: there was none in time; the watcher goes on.
            BadSubscriptionError: it was stopped, or the client is closed.
            BucketNotFoundError, ObjectStoreNotFoundError: the bucket was deleted.
            StoredInfoError: what was stored there is no info of an object; the watcher goes on.
        """
        try:
            async with asyncio.timeout(timeout):
                return await anext(self)
        except StopAsyncIteration:
            raise BadSubscriptionError(f"the watcher of {self._what} has ended") from None
        except builtins.TimeoutError as error:
            if isinstance(error, TimeoutError):
                raise
            raise TimeoutError(f"nothing of {self._what} within {timeout} s") from None

    async def initial(self) -> list[T]:
        """What was there at the beginning, as far as it was not taken; then iterate for what changes."""
        found: list[T] = []
        if not self._is_current:
            async for each in self:
                if each is None:
                    break
                found.append(each)
        return found

    async def stop(self) -> None:
        """End it, and have the server forget it. Idempotent."""
        await self._messages.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
