"""Publishing without waiting for each acknowledgement: a window of messages under way."""

from __future__ import annotations

import asyncio
import builtins
import inspect
from collections import deque
from contextlib import suppress
from math import inf

from tidings.nats.core.connection import Connection
from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream.acks import RETRY_ATTEMPTS, RETRY_WAIT, Acks, Waiting
from tidings.nats.jetstream.errors import TooManyStalledMsgsError
from tidings.nats.jetstream.options import JetStreamOptions
from tidings.nats.jetstream.puback import FailedPublish

__all__ = ["Window"]


class Window:
    """The async publishes of a context that wait for their acknowledgement.

    Args:
        acks: where they come.
        connection: what is published over.
        options: see `JetStreamOptions`.

    Attributes:
        acks: as given; replaced when it ended and the connection did not.
        writer: that of the connection.
        pending: how many wait.
        limit: how many may.
        gate: how many may for who does not wait: `limit`, or none while others wait for room.
        ack_timeout: seconds that each may take.
        is_watched: whether somebody waits for `pending` to fall.
    """

    def __init__(self, acks: Acks, connection: Connection, options: JetStreamOptions) -> None:
        self.acks = acks
        self.writer = connection.writer
        self._callbacks = connection.callbacks
        self.pending = 0
        self.limit = options.publish_async_max_pending
        self.is_watched = False
        self._stall_wait = options.publish_async_stall_wait
        limit = options.publish_async_ack_timeout
        self.ack_timeout = inf if limit is None else limit
        self._handler = options.publish_async_err_handler
        self._loop = asyncio.get_running_loop()
        self.gate = self.limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._promised = 0  # places of those who were woken and did not take them yet
        self._done: asyncio.Future[None] | None = None
        # A publisher that was woken for each free place would write each message by itself.
        self._low = self.limit - max(self.limit // 4, 1)
        self._failures: deque[tuple[FailedPublish, Exception]] = deque()
        self._is_telling = False

    async def room(self) -> None:
        """Wait for a place, behind those who wait already; it is to be taken at once.

        Raises:
            TooManyStalledMsgsError: there was none in time.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        self.gate, self.is_watched = 0, True
        try:
            async with asyncio.timeout(self._stall_wait):
                await waiter
        except builtins.TimeoutError:
            raise TooManyStalledMsgsError(
                f"{self.pending} async publishes wait for their acknowledgement, and for "
                f"{self._stall_wait} s there was no room for one more"
            ) from None
        finally:
            self._leave(waiter)

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        if waiter.cancelled():
            with suppress(ValueError):  # passed over already
                self._waiting.remove(waiter)
        else:
            self._promised -= 1
        if self._waiting and not (self.pending or self._promised):
            self._loop.call_soon(self.look)  # where nothing is sent now, no acknowledgement makes us look
        if not (self._waiting or self._promised):
            self.gate = self.limit

    async def completed(self, timeout: float | None) -> None:
        """Wait until none waits any more. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout):
                while self.pending:
                    if self._done is None:
                        self._done = self._loop.create_future()
                        self.is_watched = True
                    await asyncio.shield(self._done)
        except builtins.TimeoutError:
            raise TimeoutError(
                f"{self.pending} async publishes were not acknowledged within {timeout} s"
            ) from None

    # As `Sender`

    def look(self) -> None:
        """Wake those who wait for what is there now: as many as there are places, in their order."""
        if self.pending + self._promised <= self._low:
            while self._waiting and self.pending + self._promised < self.limit:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    self._promised += 1
        if self._done is not None and not self.pending:
            self._done.set_result(None)
            self._done = None
        self.is_watched = bool(self._waiting) or self._done is not None

    def retries(self, waiting: Waiting, sent_again: int) -> float | None:
        """Seconds until a message that nobody takes is sent again."""
        return RETRY_WAIT if sent_again < RETRY_ATTEMPTS else None

    def failed(self, waiting: Waiting, error: Exception) -> None:
        """Hand it to the error handler, in a task for all."""
        if self._handler is None:
            return
        waiting[0].exception()  # the handler knows; who does not look at the future need not be told
        self._failures.append((FailedPublish(waiting[3], waiting[4], waiting[5]), error))
        if not self._is_telling:
            self._is_telling = True
            self._callbacks.notify(self._tell)

    async def _tell(self) -> None:
        handler = self._handler
        assert handler is not None
        try:
            while self._failures:
                try:
                    result = handler(*self._failures.popleft())
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:
                    self._callbacks.report(error)
        finally:
            self._is_telling = False
