"""`Consumer.messages`: an iterator that always has messages on their way."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from tidings.nats.errors import BadSubscriptionError, TimeoutError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.reading import Reading

__all__ = ["Iteration", "Messages", "next_of"]


class Messages:
    """The messages of a consumer, as an ``async for`` that goes on until it is stopped.

    ::

        async with consumer.messages() as messages:
            async for msg in messages:
                await msg.ack()

    At the end of the ``async with`` what was delivered and not taken is given back, so that the server
    delivers it again at once. A deleted consumer raises, after what had come was taken; what passes by itself
    (a lost connection, a change of leader, missing heartbeats) goes to ``on_error`` and the reading goes on.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._held = reading.held

    def __aiter__(self) -> AsyncIterator[JetStreamMsg]:
        return Iteration(self, self._reading.readers)

    async def __anext__(self) -> JetStreamMsg:
        reading = self._reading
        # The usual case, as short as can be; all that needs to be looked after is in `Reading.take_next`.
        taken = reading.taken
        if taken < reading.check_at and self._held:
            reading.taken = taken + 1
            return self._held.popleft()
        message = await reading.take_next()
        if message is None:
            raise StopAsyncIteration
        return message

    async def next(self, timeout: float | None = None) -> JetStreamMsg:
        """The next message.

        Args:
            timeout: seconds; None waits until it ends.

        Raises:
            TimeoutError: none came in time; the iterator goes on.
            BadSubscriptionError: it is stopped, or has handed out all that it should.
            ConsumerDeletedError, NotFoundError, PullError: this ended it.
        """
        reading = self._reading
        if self._held and reading.taken < reading.check_at:  # it is here: no timer
            return await self.__anext__()
        return await next_of(reading.take_next(), timeout, f"consumer {self.name!r}")

    @property
    def pending_msgs(self) -> int:
        """Messages that came and were not taken."""
        return len(self._held)

    @property
    def name(self) -> str:
        """The consumer."""
        return self._reading.source.consumer

    @property
    def failure(self) -> Exception | None:
        """The error that ended it, if one did."""
        return self._reading.failure

    @property
    def is_closed(self) -> bool:
        """Whether no more messages come; those that did can be taken."""
        return self._reading.is_closed or self._reading.is_left

    def stop(self) -> None:
        """End it now: what came and was not taken is given back, and an ``async for`` ends. Idempotent."""
        self._reading.leave()

    async def drain(self, timeout: float | None = None) -> None:
        """Ask for nothing more, and end when what was delivered is taken, by an ``async for`` that runs.

        Returns when nothing more can arrive, if nobody else reads: what is held can then be taken.

        Args:
            timeout: seconds; None takes ``drain_timeout`` of the client.

        Raises:
            DrainTimeoutError: messages were left; the text says how many.
        """
        await self._reading.drain(timeout)

    def start(self, tasks: Collection[asyncio.Task[None]]) -> None:
        """Ask for the first messages now; `tasks` will take them, and are cancelled when the client closes.

        Raises:
            ConnectionClosedError, ConnectionDrainingError: the client is closed.
        """
        self._reading.workers = tasks
        self._reading.start()

    def report(self, error: Exception) -> None:
        """Report an error that does not end it."""
        self._reading.report(error)

    def worker_ended(self) -> None:
        """One of those who read is done: let a drain look again."""
        self._reading.settle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reading.finish(keep=False)

    def __del__(self) -> None:
        if not self._reading.is_left:
            with suppress(RuntimeError):  # the loop may be gone by now
                self._reading.end()


async def next_of(
    taking: Coroutine[Any, Any, JetStreamMsg | None], timeout: float | None, what: str
) -> JetStreamMsg:
    """The message that `taking` gives in `timeout` seconds, with errors that say `what` is read."""
    try:
        async with asyncio.timeout(timeout):
            message = await taking
    except builtins.TimeoutError as error:
        if isinstance(error, TimeoutError):
            raise
        raise TimeoutError(f"no message of {what} within {timeout} s") from None
    if message is None:
        raise BadSubscriptionError(f"the reading of {what} has ended")
    return message


class Source(Protocol):
    """What an `Iteration` iterates over."""

    def __anext__(self) -> Coroutine[Any, Any, JetStreamMsg]:
        """The next message."""
        ...

    def worker_ended(self) -> None:
        """Let a drain look again."""


class Iteration:
    """One ``async for``. A drain of the client waits for it to take what is held, as long as it lives."""

    __slots__ = ("_readers", "_source", "_task")

    def __init__(self, source: Source, readers: list[asyncio.Task[Any] | None]) -> None:
        self._source = source
        self._readers = readers
        self._task = asyncio.current_task()
        readers.append(self._task)

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, JetStreamMsg]:
        return self._source.__anext__()

    def __del__(self) -> None:
        self._readers.remove(self._task)
        self._source.worker_ended()
