"""A connection to NATS as its user sees it: publish, subscribe, request, flush, drain, close."""

from __future__ import annotations

import asyncio
import builtins
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tidings.nats.core.inbox import new_inbox
from tidings.nats.core.lifeline import Lifeline
from tidings.nats.core.options import DEFAULT_LIMITS, MsgCallback, SubscriptionLimits
from tidings.nats.core.reconnect import Move
from tidings.nats.core.requests import Replies
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    FlushTimeoutError,
)
from tidings.nats.wire import HeaderInput, Msg

__all__ = ["Connection"]

# How long `close` waits for callbacks that are still running.
_CLOSE_PATIENCE = 2.0


class Connection(Lifeline):
    """Core NATS over one connection at a time. Use `tidings.nats.connect`, which opens it.

    Args:
        servers: URLs of the servers, see `ServerPool`.
        options: see `Options`.
    """

    # Messages

    async def publish(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        reply: str = "",
        headers: HeaderInput | None = None,
    ) -> None:
        """Publish a message; returns once it is gathered for the socket, or when the socket has room again.

        While the connection is away messages are held, up to ``reconnect_buffer_size`` bytes.

        Args:
            subject: a literal subject.
            payload: the bytes, or text sent as UTF-8.
            reply: where an answer shall go.
            headers: names with a value or several each (ADR-4).

        Raises:
            BadSubjectError, BadHeaderError, MaxPayloadError: refused as given; nothing was sent.
            OutboundBufferLimitError: the connection is away and holds as much as it may.
            ConnectionClosedError: the client is closed.
        """
        writer = self._writer
        if writer.encoder.publish(subject, payload, reply, headers) >= writer.limit:
            await writer.relieve()

    async def request(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        timeout: float | None = 0.5,
        *,
        headers: HeaderInput | None = None,
    ) -> Msg:
        """Publish a message and wait for the first reply.

        Args:
            timeout: seconds; None waits until the client closes.

        Raises:
            NoRespondersError: nobody is subscribed to `subject`.
            TimeoutError: no reply came in time.
            BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError: as `publish`.
        """
        replies = self._replies or self._open_replies()
        reply, future = replies.open()
        timer = None
        try:
            self._writer.encoder.publish(subject, payload, reply, headers)
            self._writer.write_early()
            if timeout is not None:
                timer = self._loop.call_later(timeout, replies.expire, reply, subject, timeout)
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            replies.waiting.pop(reply, None)

    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: MsgCallback | None = None,
        *,
        max_msgs: int = 0,
        pending_msgs_limit: int = DEFAULT_LIMITS.msgs,
        pending_bytes_limit: int = DEFAULT_LIMITS.bytes,
    ) -> Subscription:
        """Subscribe to a subject.

        Args:
            subject: may hold wildcards: ``*`` for one token, a last ``>`` for the rest.
            queue: queue group; each message goes to one member of it.
            cb: called with each message, in order; plain or async. Without it read the subscription
                with ``async for`` or `Subscription.next_msg`.
            max_msgs: end by itself after so many messages; 0 is never.
            pending_msgs_limit: messages held for a slow reader; 0 is no limit.
            pending_bytes_limit: payload bytes held for a slow reader; 0 is no limit.

        Raises:
            BadSubjectError: the subject or queue group cannot stand in a SUB line.
            TypeError, ValueError: `cb` cannot be called, or a number is negative.
            ConnectionClosedError, ConnectionDrainingError: no new work is taken.
        """
        self._check_open()
        if self.is_draining:
            raise ConnectionDrainingError("the client drains and takes no new subscriptions")
        if cb is not None and not callable(cb):
            raise TypeError(f"cb is a function of one message, not {type(cb).__name__}")
        if max_msgs < 0:
            raise ValueError(f"max_msgs cannot be negative: {max_msgs!r}; 0 is no limit")
        limits = SubscriptionLimits(pending_msgs_limit, pending_bytes_limit)
        return self._subscriptions.add(subject, queue, cb, limits, max_msgs)

    def new_inbox(self) -> str:
        """A subject below ``inbox_prefix`` that nobody else uses."""
        return new_inbox(self.options.inbox_prefix)

    # Life

    async def flush(self, timeout: float = 10.0) -> None:
        """Wait until the server has processed all that was published before.

        Raises:
            FlushTimeoutError: it did not confirm within `timeout` seconds.
            ConnectionReconnectingError, ConnectionClosedError: there is no server to ask.
        """
        link = self._connected_link()
        pong = link.expect_pong(len(self._writer.encoder))
        self._writer.encoder.ping()
        self._writer.write_early()
        try:
            async with asyncio.timeout(timeout):
                await pong
        except builtins.TimeoutError:
            raise FlushTimeoutError(f"{link.server} did not confirm a flush within {timeout} s") from None

    async def rtt(self, timeout: float = 10.0) -> float:
        """Seconds that a PING takes to the server and back. Raises as `flush`."""
        start = time.perf_counter()  # the clock of uvloop stands still within a turn
        await self.flush(timeout)
        return time.perf_counter() - start

    async def drain(self, timeout: float | None = None) -> None:
        """Finish and close: no new messages, all delivered ones handled, all publishes at the server.

        Callbacks go on, and can publish, until they have handled what was delivered; then the client
        closes. Called from a callback it goes on in the background and returns at once.

        Args:
            timeout: seconds for all of it; None takes ``drain_timeout`` of the options.

        Raises:
            DrainTimeoutError: not all was handled; the client is closed nevertheless.
            ConnectionReconnectingError: the connection was away, and what was published meanwhile is
                lost; the client is closed nevertheless.
            ConnectionClosedError: it is closed already.
        """
        self._check_open()
        limit = self.options.drain_timeout if timeout is None else timeout
        if self._subscriptions.runs_in(asyncio.current_task()):
            self._callbacks.notify(self._drain, limit)
        else:
            await self._drain(limit)

    async def close(self) -> None:
        """Close now: what was gathered is written, what was delivered and not handled is dropped.

        Running callbacks are cancelled, waiting calls raise ConnectionClosedError. What a slow or absent
        server does not take within a second is lost, and reported to the error callback. Idempotent.
        """
        if not self._life.move(Move.CLOSE):
            return
        await self._shut()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and not self.is_closed:
            await self.drain()
        else:
            await self.close()

    # The end

    async def _drain(self, timeout: float) -> None:
        if not self._life.move(Move.DRAIN):
            await asyncio.shield(self._closed)  # somebody else drains or closes
            return
        self._stop_coming_back()
        try:
            async with asyncio.timeout(timeout):
                await self._subscriptions.drain()
                if self._link is not None:
                    with suppress(ConnectionClosedError):  # lost on the way
                        await self.flush(timeout)
            self._check_nothing_held()
        except (builtins.TimeoutError, FlushTimeoutError):
            raise DrainTimeoutError(f"draining took over {timeout} s; {self._subscriptions.left()}") from None
        finally:
            if self._life.move(Move.DRAINED):
                await self._shut()

    def _check_nothing_held(self) -> None:
        """Whoever drains while the connection is away shall know that what waited for it is lost."""
        held = len(self._writer.encoder)
        if self.is_draining and self._link is None and held:
            raise ConnectionReconnectingError(
                f"the connection is away; {held} bytes that were published meanwhile were not sent"
            ) from self._last_error

    async def _shut(self) -> None:
        """Release everything. The state is CLOSED already."""
        encoder = self._writer.encoder
        encoder.refusal = self._closed_error
        self._stop_coming_back()
        workers = self._subscriptions.close()
        if self._replies is not None:
            self._replies.fail(self._closed_error())
        link, self._link = self._link, None
        try:
            if link is not None:
                self._writer.write_last()
            unsent = len(encoder) + (await link.close() if link is not None else 0)
            if unsent:
                self._callbacks.report(
                    ConnectionClosedError(
                        f"{unsent} bytes that were published could not be sent before close"
                    )
                )
            if workers:
                await asyncio.wait(workers, timeout=_CLOSE_PATIENCE)
        finally:
            encoder.clear()
            self._callbacks.notify(self.options.closed_cb)
            await self._callbacks.finish(_CLOSE_PATIENCE)
            if not self._closed.done():
                self._closed.set_result(None)

    def _open_replies(self) -> Replies:
        self._check_open()
        replies = Replies(self._subscriptions.next_sid(), self, self.options.inbox_prefix)
        self._subscriptions.add_route(replies, replies.pattern)
        self._replies = replies
        return replies
