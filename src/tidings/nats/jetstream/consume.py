"""`Consumer.consume`: a function is called with each message."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeAlias

from tidings.nats.errors import Error
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.reading import Reading

__all__ = ["Consuming", "JetStreamCallback"]

JetStreamCallback: TypeAlias = Callable[[JetStreamMsg], Awaitable[Any] | Any]

# Messages handled in a row before other tasks get a turn.
_BATCH = 1024


class Consuming:
    """Calls a function with each message of a consumer, until it is stopped; made by `Consumer.consume`.

    What the function raises is reported, and the next message is handled; it is the function that settles
    its messages. As a context manager it drains at its end.
    """

    def __init__(self, reading: Reading, callback: JetStreamCallback, workers: int) -> None:
        self._reading = reading
        self._callback = callback
        # A callback sees the context variables of whoever started it.
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        reading.tasks = self._tasks
        for number in range(workers):
            name = f"{reading.source.consumer} worker {number}"
            self._tasks.add(loop.create_task(self._work(), name=name, context=context))

    @property
    def is_running(self) -> bool:
        """Whether messages come or are being handled."""
        return bool(self._tasks)

    @property
    def pending_msgs(self) -> int:
        """Messages that came and are not being handled yet."""
        return len(self._reading.held)

    def stop(self) -> None:
        """Take no more messages: what came and is not being handled is given back. Idempotent.

        Calls under way go on; `closed` waits for them.
        """
        self._reading.give_back()
        self._reading.end()

    async def drain(self, timeout: float | None = None) -> None:
        """Ask for nothing more, and return when all that was delivered is handled.

        Called from the function itself it returns once nothing more can arrive.

        Args:
            timeout: seconds; None takes ``drain_timeout`` of the client.

        Raises:
            DrainTimeoutError: messages were left, and given back; the text says how many.
        """
        await self._reading.drain(timeout)

    async def closed(self) -> Exception | None:
        """Wait until it ended and the last call returned; returns the error that ended it, if one did."""
        current = asyncio.current_task()
        if tasks := [task for task in self._tasks if task is not current]:
            await asyncio.wait(tasks)
        return self._reading.failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.drain()
        else:
            self.stop()
            for task in self._tasks:
                task.cancel()
            await self.closed()

    async def _work(self) -> None:
        reading, callback, held = self._reading, self._callback, self._reading.held
        handled = 0
        try:
            while True:
                taken = reading.taken
                if taken < reading.check_at and held:
                    reading.taken = taken + 1
                    message = held.popleft()
                else:
                    found = await reading.take_next()
                    if found is None:
                        return
                    message = found
                try:
                    result = callback(JetStreamMsg(message))
                    if result is not None and inspect.isawaitable(result):
                        await result
                except Exception as error:
                    reading.report(error)
                except asyncio.CancelledError as error:
                    self._reraise_if_cancelled(error)
                handled += 1
                if handled % _BATCH == 0:
                    await asyncio.sleep(0)
        except Error as error:
            if error is not reading.failure:
                reading.fail(error)
            elif len(self._tasks) == 1:
                reading.report(error)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            reading.settle()

    def _reraise_if_cancelled(self, error: asyncio.CancelledError) -> None:
        """A callback may await something that was cancelled; the worker goes on unless cancelled too."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
        failure = Error("the callback of a consumer awaited something that was cancelled")
        failure.__cause__ = error
        self._reading.report(failure)
