"""`Consumer.consume`: a function is called with each message."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from tidings.nats.core.callbacks import start_task
from tidings.nats.errors import Error
from tidings.nats.jetstream.message import JetStreamMsg

__all__ = ["Consuming", "Feed", "JetStreamCallback"]

JetStreamCallback: TypeAlias = Callable[[JetStreamMsg], Awaitable[Any] | Any]

# Messages handled in a row before other tasks get a turn.
_BATCH = 1024


class Feed(Protocol):
    """Where the messages come from: `Messages`, or those of an ordered consumer."""

    @property
    def name(self) -> str:
        """The consumer."""
        ...

    @property
    def pending_msgs(self) -> int:
        """Messages that came and were not taken."""
        ...

    @property
    def failure(self) -> Exception | None:
        """The error that ended it, if one did."""
        ...

    def start(self, tasks: Collection[asyncio.Task[None]]) -> None:
        """Ask for the first messages; `tasks` will take them."""

    def report(self, error: Exception) -> None:
        """Report an error that does not end it."""

    def worker_ended(self) -> None:
        """One of the tasks is done."""

    def stop(self) -> None:
        """End it now."""

    async def drain(self, timeout: float | None = None) -> None:
        """End it when what was delivered is taken."""

    def __aiter__(self) -> AsyncIterator[JetStreamMsg]:
        """Take them."""
        ...


class Consuming:
    """Calls a function with each message of a consumer, until it is stopped; made by `Consumer.consume`.

    What the function raises is reported, and the next message is handled; it is the function that settles
    its messages. As a context manager it drains at its end.
    """

    def __init__(self, feed: Feed, callback: JetStreamCallback, workers: int) -> None:
        self._feed = feed
        self._callback = callback
        self._tasks: set[asyncio.Task[None]] = set()
        feed.start(self._tasks)
        # A callback sees the context variables of whoever started it.
        context = contextvars.copy_context()
        for number in range(workers):
            self._tasks.add(start_task(self._work(), name=f"{feed.name} worker {number}", context=context))

    @property
    def is_running(self) -> bool:
        """Whether messages come or are being handled."""
        return bool(self._tasks)

    @property
    def pending_msgs(self) -> int:
        """Messages that came and are not being handled yet."""
        return self._feed.pending_msgs

    def stop(self) -> None:
        """Take no more messages: what came and is not being handled is given back. Idempotent.

        Calls under way go on; `closed` waits for them.
        """
        self._feed.stop()

    async def drain(self, timeout: float | None = None) -> None:
        """Ask for nothing more, and return when all that was delivered is handled.

        Called from the function itself it returns once nothing more can arrive.

        Args:
            timeout: seconds; None takes ``drain_timeout`` of the client.

        Raises:
            DrainTimeoutError: messages were left, and given back; the text says how many.
        """
        await self._feed.drain(timeout)

    async def closed(self) -> Exception | None:
        """Wait until it ended and the last call returned; returns the error that ended it, if one did."""
        current = asyncio.current_task()
        if tasks := [task for task in self._tasks if task is not current]:
            await asyncio.wait(tasks)
        return self._feed.failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.drain()
            return
        self.stop()
        for task in self._tasks:
            task.cancel()
        await self.closed()

    async def _work(self) -> None:
        callback = self._callback
        handled = 0
        try:
            async for message in self._feed:
                try:
                    result = callback(message)
                    if result is not None and inspect.isawaitable(result):
                        await result
                except Exception as error:
                    self._feed.report(error)
                except asyncio.CancelledError as error:
                    self._reraise_if_cancelled(error)
                handled += 1
                if handled % _BATCH == 0:
                    await asyncio.sleep(0)
        except Error as error:  # it ended the reading
            if len(self._tasks) == 1:
                self._feed.report(error)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            self._feed.worker_ended()

    def _reraise_if_cancelled(self, error: asyncio.CancelledError) -> None:
        """A callback may await something that was cancelled; the worker goes on unless cancelled too."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
        failure = Error("the callback of a consumer awaited something that was cancelled")
        failure.__cause__ = error
        self._feed.report(failure)
