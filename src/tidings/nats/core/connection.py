"""A connection to NATS as its user sees it: publish, subscribe, request, flush, drain, close."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tidings.nats.core import events
from tidings.nats.core.callbacks import Callbacks
from tidings.nats.core.inbox import check_prefix, new_inbox
from tidings.nats.core.inbox_requests import Asker, ReplyStream, is_empty
from tidings.nats.core.link import Link, open_link, server_error
from tidings.nats.core.options import (
    DEFAULT_LIMITS,
    LimitPolicy,
    MsgCallback,
    Options,
    OrderedBy,
    SubscriptionLimits,
)
from tidings.nats.core.reconnect import Lifecycle, Move, State, connect_once, reconnect
from tidings.nats.core.requests import Replies
from tidings.nats.core.servers import Server, ServerPool
from tidings.nats.core.status import Status
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.subscriptions import Subscriptions
from tidings.nats.core.writer import Writer
from tidings.nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    FlushTimeoutError,
    PermissionsError,
)
from tidings.nats.wire import Err, Event, HeaderInput, Info, Msg

__all__ = ["Connection"]

# How long `close` waits for callbacks that are still running.
_CLOSE_PATIENCE = 2.0


class Connection(Status):
    """Core NATS over one connection at a time. Use `tidings.nats.connect`, which opens it.

    Args:
        servers: URLs of the servers, see `ServerPool`.
        options: see `Options`.
    """

    def __init__(self, servers: str | Sequence[str], options: Options) -> None:
        check_prefix(options.inbox_prefix)
        self.options = options
        self._pool = ServerPool(servers, shuffle=not options.no_randomize)
        self._life = Lifecycle()
        self._link: Link | None = None
        self._info: dict[str, Any] = {}
        self._last_error: Exception | None = None
        self._replies: Replies | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._established_at = 0.0
        self._short_lives = 0  # links in a row that were lost sooner than a pause would have taken
        self._loop = asyncio.get_running_loop()
        self._events = events.Events()
        self._callbacks = Callbacks(options.error_cb, self._note_error)
        self._writer = Writer()
        self._subscriptions = Subscriptions(self, self._writer, self._callbacks.report, options.drain_timeout)
        self._asker = Asker(self._subscriptions, self._writer)
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def open(self) -> None:
        """Connect to the first server that takes us; each is tried once.

        Raises:
            NoServersError, AuthorizationError: see `connect_once`.
        """
        try:
            link = await connect_once(self._pool, self._open_link)
        except BaseException:
            self._life.move(Move.FAILED)
            self._events.end()
            raise
        self._establish(link)
        self._events.emit(events.Connected(link.server.address))

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
        limits = SubscriptionLimits(pending_msgs_limit, pending_bytes_limit, limit_policy)
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
        link = self._connected_link()
        pong = link.expect_pong()
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

    # Status

    def events(self) -> events.EventStream:
        """What happens to the connection from now on: an ``async for`` over typed events.

        Each call gives a stream of its own, which ends when the client is closed.
        """
        return self._events.listen()

    @property
    def is_connected(self) -> bool:
        """Whether there is a server at the other end now."""
        return self._link is not None

    @property
    def is_reconnecting(self) -> bool:
        """Whether the connection was lost and is being taken up again."""
        return self._life.state is State.RECONNECTING

    @property
    def is_draining(self) -> bool:
        """Whether `drain` is under way."""
        return self._life.state is State.DRAINING

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._life.state is State.CLOSED

    @property
    def connected_url(self) -> str | None:
        """``nats://host:port`` of the server, without credentials; None while there is none."""
        return self._link.server.address if self._link is not None else None

    @property
    def server_info(self) -> dict[str, Any]:
        """The last INFO of the server, a copy."""
        return dict(self._info)

    @property
    def max_payload(self) -> int:
        """Bytes of headers and payload that the server accepts in one message."""
        return self._writer.encoder.max_payload

    @property
    def last_error(self) -> Exception | None:
        """The last error of the connection."""
        return self._last_error

    # The link, coming and going

    async def _open_link(self, server: Server) -> Link:
        return await open_link(
            server, self.options, self._subscriptions.routes, self._on_event, self._on_lost
        )

    def _establish(self, link: Link) -> None:
        """Take `link` into use: subscriptions first, then what was published meanwhile (ADR-40)."""
        self._life.move(Move.ESTABLISHED)
        link.server.failures = 0
        self._established_at = self._loop.time()
        self._link = self._subscriptions.link = link
        self._take_info(link)
        replies = self._replies
        link.write(self._subscriptions.replay({replies.sid: (replies.pattern, "")} if replies else {}))
        self._writer.attach(link)
        if self._subscriptions.is_blocked:
            link.pause_reading()
        if link.is_lost:  # between its last line and now
            self._on_lost(link, link.reason)
            return
        link.start_pings(
            self.options.ping_interval, self.options.max_outstanding_pings, self._writer.encoder.ping
        )

    def _on_event(self, link: Link, event: Event) -> None:
        if isinstance(event, Info):
            self._take_info(link)
        elif isinstance(event, Err):
            self._last_error = error = server_error(event.text)
            if isinstance(error, PermissionsError):
                self._refuse(error)
            self._callbacks.report(error)

    def _refuse(self, error: PermissionsError) -> None:
        """Tell those whose subject the server refuses."""
        self._subscriptions.refuse(error)
        replies = self._replies
        if replies is None:
            return
        if error.operation == "subscription" and error.subject == replies.pattern:
            self._replies = None  # the next request asks anew: permissions can change
            self._subscriptions.routes.pop(replies.sid, None)
            self._late_replies += replies.late
            replies.fail(error)
        else:
            replies.refuse(error)

    def _note_error(self, error: Exception) -> None:
        self._errors += 1
        self._events.emit_error(error)

    def _take_info(self, link: Link) -> None:
        self._info = info = link.info
        encoder = self._writer.encoder
        limit = info.get("max_payload")
        if type(limit) is int and limit > 0:  # what makes no sense changes nothing
            encoder.max_payload = limit
        encoder.headers_supported = bool(info.get("headers", False))
        self._pool.discover(info.get("connect_urls"), link.server)

    def _on_lost(self, link: Link, reason: Exception | None) -> None:
        if link is not self._link:
            return  # it never came so far as to be used
        self._link = self._subscriptions.link = None
        self._count_past(link)
        self._writer.detach(self.options.reconnect_buffer_size)
        if reason is not None:
            self._last_error = reason
        is_short = self._loop.time() - self._established_at < self.options.reconnect_time_wait
        self._short_lives = self._short_lives + 1 if is_short else 0
        was_connected = self._life.state is State.CONNECTED
        self._life.move(Move.LOST)
        self._callbacks.notify(self.options.disconnected_cb)
        self._events.emit(events.Disconnected(reason))
        if was_connected:
            self._pool.move_last(link.server)
            self._coming_back = self._loop.create_task(self._come_back(reason))

    async def _come_back(self, reason: Exception | None) -> None:
        try:
            if not self.options.allow_reconnect:
                raise ConnectionClosedError("the connection was lost and allow_reconnect is off") from reason
            link = await reconnect(
                self._pool, self.options, self._open_link, pause_first=self._short_lives > 1
            )
        except Exception as error:
            self._last_error = error
            self._callbacks.report(error)
            if self._life.move(Move.FAILED):
                await self._shut()
            return
        self._coming_back = None
        self._establish(link)
        self._reconnects += 1
        self._callbacks.notify(self.options.reconnected_cb)
        self._events.emit(events.Reconnected(link.server.address))

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
        if link is not None:
            self._count_past(link)
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
            self._events.emit(events.Closed(self._last_error))
            self._events.end()
            if not self._closed.done():
                self._closed.set_result(None)

    def _stop_coming_back(self) -> None:
        task, self._coming_back = self._coming_back, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _closed_error(self) -> ConnectionClosedError:
        error = ConnectionClosedError("the client is closed; make a new one with connect()")
        error.__cause__ = self._last_error
        return error

    def _check_open(self) -> None:
        if self.is_closed:
            raise self._closed_error()

    def _connected_link(self) -> Link:
        self._check_open()
        if self._link is None:
            raise ConnectionReconnectingError(
                "the connection is away; wait for it to come back"
            ) from self._last_error
        return self._link

    def _open_replies(self) -> Replies:
        self._check_open()
        replies = Replies(self._subscriptions.next_sid(), self, self.options.inbox_prefix)
        self._subscriptions.add_route(replies, replies.pattern)
        self._replies = replies
        return replies

    def __repr__(self) -> str:
        where = f" to {self._link.server}" if self._link is not None else ""
        return f"<{type(self).__name__} {self._life.state.value}{where}>"
