"""A connection to NATS as its user sees it: publish, subscribe, request, flush, drain, close."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tidings.nats.core import events
from tidings.nats.core.callbacks import check_loop
from tidings.nats.core.inbox import new_inbox
from tidings.nats.core.inbox_requests import ReplyStream, is_empty
from tidings.nats.core.lifeline import Lifeline
from tidings.nats.core.options import (
    DEFAULT_LIMITS,
    LimitPolicy,
    MsgCallback,
    OrderedBy,
    SubscriptionLimits,
    check_timeout,
)
from tidings.nats.core.reconnect import Move
from tidings.nats.core.requests import Replies
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    FlushTimeoutError,
    OutboundBufferLimitError,
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
            OutboundBufferLimitError: the connection is away and holds as much as it may, and
                ``reconnect_buffer_policy`` says nothing else.
            ConnectionClosedError: the client is closed.
        """
        writer = self._writer
        try:
            if writer.encoder.publish(subject, payload, reply, headers) >= writer.limit:
                await writer.relieve()
        except OutboundBufferLimitError as error:
            await writer.publish_in_want_of_room(error, subject, payload, reply, headers)

    async def request(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        timeout: float | None = 0.5,
        *,
        headers: HeaderInput | None = None,
        old_style: bool = False,
    ) -> Msg:
        """Publish a message and wait for the first reply.

        Args:
            timeout: seconds; None waits until the client closes.
            old_style: take the reply on a subscription made for it, instead of the one that all
                requests share; for accounts that may not subscribe to a wildcard.

        Raises:
            NoRespondersError: nobody is subscribed to `subject`.
            TimeoutError: no reply came in time.
            PermissionsError: the server refuses the request, or the subject of its reply.
            BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError: as `publish`.
        """
        check_loop(self._loop)
        if timeout.__class__ is not float:
            check_timeout(timeout)
        if old_style:
            self._check_open()
            return await self._asker.ask(self.new_inbox(), subject, payload, timeout, headers)
        replies = self._replies or self._open_replies()
        reply, future = replies.open(subject)
        timer = None
        try:
            self._writer.encoder.publish(subject, payload, reply, headers)
            self._writer.write_early()
            if timeout is not None:
                timer = self._loop.call_later(timeout, replies.expire, reply, timeout)
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            replies.waiting.pop(reply, None)

    def request_many(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        max_msgs: int = 0,
        stall: float | None = None,
        timeout: float | None = 0.5,
        sentinel: Callable[[Msg], object] | None = is_empty,
        headers: HeaderInput | None = None,
    ) -> ReplyStream:
        """Publish a message and iterate over its replies (ADR-47), with ``async for``.

        Args:
            max_msgs: end after so many replies; 0 is no limit.
            stall: end when no other reply comes within so many seconds after one.
            timeout: seconds for all of it, the first reply included; None sets no limit.
            sentinel: says which reply is the end and no reply; an empty one, unless told. None for none.

        Raises, while iterating:
            NoRespondersError: nobody is subscribed to `subject`.
            TimeoutError: not a single reply came in time.
            PermissionsError: the server refuses the request, or the subject of its replies.
            BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError: as `publish`.
        """
        self._check_open()
        for name, value in (("max_msgs", max_msgs), ("stall", stall), ("timeout", timeout)):
            if value is not None and value < 0:
                raise ValueError(f"{name} cannot be negative: {value!r}")
        request = (self.new_inbox(), subject, payload, headers)
        return ReplyStream(
            self._asker, request, max_msgs=max_msgs, stall=stall, timeout=timeout, sentinel=sentinel
        )

    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: MsgCallback | None = None,
        *,
        max_msgs: int = 0,
        pending_msgs_limit: int = DEFAULT_LIMITS.msgs,
        pending_bytes_limit: int = DEFAULT_LIMITS.bytes,
        limit_policy: LimitPolicy = "drop_new",
        workers: int = 1,
        ordered_by: OrderedBy | None = None,
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
            limit_policy: what happens at a limit, see `LimitPolicy`.
            workers: how many messages `cb` handles at once.
            ordered_by: with several workers, messages for which it returns the same are handled in
                order, one after the other; ``"subject"`` for those of one subject. None for no order.

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
        if workers < 1 or (workers > 1 and cb is None):
            raise ValueError(f"workers={workers!r}: a cb has at least one worker, a reader has none")
        if ordered_by is not None and ordered_by != "subject" and not callable(ordered_by):
            raise TypeError(f'ordered_by is a function of one message or "subject", not {ordered_by!r}')
        limits = SubscriptionLimits(msgs=pending_msgs_limit, bytes=pending_bytes_limit, policy=limit_policy)
        return self._subscriptions.add(subject, queue, cb, limits, max_msgs, workers, ordered_by)

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
        check_timeout(timeout)
        link = self._connected_link()
        pong = link.expect_pong(self._writer.gathered)
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
        closes. Called from a callback it goes on in the background and returns at once. While the
        connection is away it waits for it to come back, if something was published meanwhile.

        Args:
            timeout: seconds for all of it; None takes ``drain_timeout`` of the options.

        Raises:
            DrainTimeoutError: not all was handled or sent; the text says what, and the client is closed.
            ConnectionReconnectingError: the connection did not come back, and what was published meanwhile
                is lost; the client is closed.
            ConnectionClosedError: it is closed already.
        """
        check_timeout(timeout)
        self._check_open()
        limit = self.options.drain_timeout if timeout is None else timeout
        if self._subscriptions.runs_in(asyncio.current_task()):
            self._callbacks.notify(self._drain, limit)
        else:
            await self._drain(limit)

    async def close(self) -> None:
        """Close now: what was gathered is written, what was delivered and not handled is dropped.

        Running callbacks are cancelled, waiting calls raise ConnectionClosedError. What a slow or absent
        server does not take within a second is lost, and reported to the error callback. Idempotent; while
        somebody else ends the client it waits for that, unless it is called from a callback.
        """
        if self._closed.done():
            return
        check_loop(self._loop)
        if self._life.move(Move.CLOSE):
            await self._shut()
        else:
            await self._ended_by_another()

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

    def events(self) -> events.EventStream:
        """What happens to the connection from now on: an ``async for`` over typed events.

        Each call gives a stream of its own, which ends when the client is closed.
        """
        return self._events.listen()

    # The end

    async def _drain(self, timeout: float) -> None:
        if not self._life.move(Move.DRAIN):
            await self._ended_by_another()
            return
        try:
            async with asyncio.timeout(timeout):
                await self._subscriptions.drain()
                await self._deliver(timeout)
            self._check_nothing_held()
        except (builtins.TimeoutError, FlushTimeoutError):
            left = self._subscriptions.left()
            if held := len(self._writer):
                left += f"; {held} bytes that were published are not sent"
            raise DrainTimeoutError(f"draining took over {timeout} s; {left}") from None
        finally:
            if self._life.move(Move.DRAINED):
                await self._shut()

    async def _ended_by_another(self) -> None:
        """Wait until who drains or closes is done with it, but not in a callback: that is waited for."""
        current = asyncio.current_task()
        if not (self._callbacks.runs_in(current) or self._subscriptions.runs_in(current)):
            await asyncio.shield(self._closed)

    async def _deliver(self, timeout: float) -> None:
        """Have a server confirm what was published, the next one if this one is lost before it got all."""
        while True:
            await self._come_back_if(lambda: len(self._writer))
            if self._link is None:
                return
            # Lost on the way, what it was sent is in doubt and reported; the rest waits for the next.
            with suppress(ConnectionClosedError):
                await self.flush(timeout)
                return
            if self.is_closed:
                return

    def _check_nothing_held(self) -> None:
        """Whoever drains while the connection is away shall know that what waited for it is lost."""
        held = len(self._writer)
        if self.is_draining and self._link is None and held:
            raise ConnectionReconnectingError(
                f"the connection is away; {held} bytes that were published meanwhile were not sent"
            ) from self._last_error

    async def _shut(self) -> None:
        """Release everything. The state is CLOSED already."""
        encoder = self._writer.encoder
        encoder.refusal = self._closed_error
        self._way_back.stop()
        self._stop_coming_back()
        workers = self._subscriptions.close()
        if self._replies is not None:
            self._replies.fail(self._closed_error())
        link, self._link = self._link, None
        if link is not None:
            self._count_past(link)
        try:
            if link is not None:
                self._writer.write_last()
            unsent = len(self._writer) + (await link.close() if link is not None else 0)
            if unsent:
                self._callbacks.report(
                    ConnectionClosedError(
                        f"{unsent} bytes that were published could not be sent before close"
                    )
                )
            if workers:
                await asyncio.wait(workers, timeout=_CLOSE_PATIENCE)
        finally:
            self._writer.close()
            self._callbacks.notify(self.options.closed_cb)
            try:
                await self._callbacks.finish(_CLOSE_PATIENCE)
            finally:
                self._events.emit(events.Closed(self._last_error))
                self._events.end()
                self._closed.set_result(None)

    def _open_replies(self) -> Replies:
        self._check_open()
        replies = Replies(self._subscriptions.next_sid(), self, self.options.inbox_prefix)
        self._subscriptions.add_route(replies, replies.pattern)
        self._replies = replies
        return replies
