"""One established connection: bytes in through the parser, bytes out, pings, and its end.

A link lives from the TCP connection to its loss and is never reused. What outlives it
(subscriptions, gathered publishes, the server pool) belongs to the `Connection`.
"""

from __future__ import annotations

import asyncio
import builtins
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

from tidings.nats.core.auth import credentials
from tidings.nats.core.dial import dial
from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server
from tidings.nats.core.tls import context_of, explained, is_tls_error, is_tls_wanted, upgrade
from tidings.nats.core.transport import not_connected
from tidings.nats.errors import (
    AuthorizationError,
    ConnectionClosedError,
    PermissionsError,
    ProtocolError,
    SecureConnFailedError,
    ServerClosedError,
    ServerError,
    StaleConnectionError,
    TimeoutError,
)
from tidings.nats.version import __version__
from tidings.nats.wire import MAX_PAYLOAD, Encoder, Err, Event, Info, Parser, Ping, Pong, Route

__all__ = ["Link", "Mark", "is_harmless", "is_passing", "open_link", "server_error"]

Mark: TypeAlias = tuple[int, int]
"""A place in the row of all that was published: so many messages, and bytes of their headers and payloads."""

# Bytes; the server's own default.
_DEFAULT_MAX_PAYLOAD = 1024 * 1024


class Link(asyncio.BufferedProtocol):
    """The protocol object of one connection: TCP, or whatever stands in its place.

    Args:
        server: what it is connected to.
        routes: subscription id → where messages go; shared with the `Connection`.
        on_event: called with INFO and -ERR once the handshake is over.
        on_lost: called once when the link ends, with the reason.

    Attributes:
        info: the server's last INFO.
        paused: the socket is full, or the link is ending; writing more only fills memory or is lost.
        on_writable: called when the socket takes more after it was full.
        reason: why it ended, if it ended by an error.
        is_lame: the server said that it is about to stop.
        is_secure: whether it goes through TLS.
    """

    def __init__(
        self,
        server: Server,
        routes: dict[int, Route],
        on_event: Callable[[Link, Event], None],
        on_lost: Callable[[Link, Exception | None], None],
    ) -> None:
        self.server = server
        self.info: dict[str, Any] = {}
        self.paused = False
        self.is_secure = False
        self.on_writable: Callable[[], object] | None = None
        self._on_event = on_event
        self._on_lost = on_lost
        self._parser = Parser()
        self._parser.routes = routes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: asyncio.Transport | None = None  # the same, or below TLS
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self.reason: Exception | None = None
        self._writable: asyncio.Future[None] | None = None
        # Who waits for each PONG, None for a ping of our own, and what was published before its PING.
        self._pongs: deque[tuple[asyncio.Future[None] | None, Mark]] = deque()
        self._written: Mark = (0, 0)
        self._confirmed: Mark = (0, 0)
        # Events of the handshake and after it, and who waits for one; None once the link is in use.
        self._handshake: deque[Event] | None = deque()
        self._news: asyncio.Future[None] | None = None
        self._is_greeted = False
        self._ping_timer: asyncio.TimerHandle | None = None
        self.is_lame = False
        self._owes_pong = False
        self._is_reading = True

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = self._socket = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by the loop: where to read into."""
        return self._parser.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Called by the loop: parse, wake the subscriptions that got messages, handle the rest."""
        failure: ProtocolError | None = None
        try:
            events: Sequence[Event] = self._parser.buffer_updated(nbytes)
        except ProtocolError as error:
            events, failure = error.events, error
        self._wake()
        for event in events:
            try:
                self._handle(event)
            except Exception as error:
                self._blame(event, error)
        if failure is not None:
            self.abort(failure)

    def eof_received(self) -> bool:
        """Called by the loop: the server closes its side, so do we."""
        during = "" if self.is_greeted else " during the handshake"
        self.abort(ServerClosedError(f"{self.server} closed the connection{during}"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop, once, last."""
        if self._closed.done():
            return
        self._closed.set_result(None)
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        if self.is_secure and self.reason is None:
            exc = self._end_of_tls(exc)
        self.reason = self.reason or exc
        self._tell_news()
        self._release(self.reason)
        self._on_lost(self, self.reason)

    def _end_of_tls(self, exc: Exception | None) -> Exception:
        if is_tls_error(exc) or (isinstance(exc, builtins.ConnectionError) and self._handshake == deque()):
            # In TLS 1.3 a server refuses our certificate after the handshake, and what it says of that may
            # be lost when it resets the connection.
            return explained(cast(Exception, exc), self.server)
        # TLS keeps the end of the socket to itself.
        return exc or ServerClosedError(f"{self.server} closed the connection")

    def pause_writing(self) -> None:
        """Called by the loop: the socket is full."""
        self.paused = True

    def resume_writing(self) -> None:
        """Called by the loop: there is room again."""
        self.paused = False
        if self._owes_pong:
            self._owes_pong = False
            self.write_control(b"PONG\r\n")
        if self.on_writable is not None:
            self.on_writable()
        self._wake_writers()

    # our side

    @property
    def is_greeted(self) -> bool:
        """Whether the handshake is over."""
        return self._is_greeted

    @property
    def is_lost(self) -> bool:
        """Whether the link has ended."""
        return self._closed.done()

    @property
    def is_closing(self) -> bool:
        """Whether nothing that is written now is sent any more."""
        return self._transport is None or self._transport.is_closing()

    def write(self, data: bytes, published: Mark) -> None:
        """Hand `data` to the socket, with which all that was `published` has been written."""
        if self._transport is not None:
            self._written = published
            self._transport.write(data)

    def write_parts(self, parts: Sequence[bytes | memoryview], published: Mark) -> None:
        """`write` for what lies in several places, which must not change any more."""
        if self._transport is not None:
            self._written = published
            # The last one by `write`: asyncio's `writelines` may not say that the socket is full (3.13.0).
            self._transport.writelines(parts[:-1])
            self._transport.write(parts[-1])

    def confirm(self, published: Mark) -> None:
        """What was `published` until now is no concern of this link."""
        self._written = self._confirmed = published

    def write_control(self, data: bytes) -> None:
        """Hand `data` to the socket; nothing in it is missed if it is lost."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def take_unconfirmed(self) -> Mark:
        """How much was written since what the last PONG proves to have arrived; perhaps it is lost.

        It is told once.
        """
        before, self._confirmed = self._confirmed, self._written
        return self._written[0] - before[0], self._written[1] - before[1]

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message, as far as what it says makes sense."""
        limit = self.info.get("max_payload")
        return min(limit, MAX_PAYLOAD) if type(limit) is int and limit > 0 else _DEFAULT_MAX_PAYLOAD

    async def writable(self) -> None:
        """Wait until the socket takes more, or the link is gone."""
        if not self.paused or self._closed.done():
            return
        if self._writable is None:
            self._writable = self._loop.create_future()
        await asyncio.shield(self._writable)

    @property
    def received(self) -> tuple[int, int]:
        """Messages that came, and bytes of their headers and payloads."""
        return self._parser.messages, self._parser.message_bytes

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """What asyncio encrypts with; None without TLS."""
        if self._transport is None:
            return None
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    def pause_reading(self) -> None:
        """Take nothing more from the socket."""
        # The socket's transport: asyncio's TLS, when paused, keeps the end of the connection to itself and
        # drops in silence what is written after it.
        self._is_reading = False
        if self._socket is not None and not self._socket.is_closing():
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Take from the socket again."""
        if self._is_reading:
            return
        self._is_reading = True
        if self._socket is not None and not self._socket.is_closing():
            self._socket.resume_reading()

    def expect_pong(self, published: Mark) -> asyncio.Future[None]:
        """Completes with the PONG to the PING that the caller sends now. PONGs come in order.

        Args:
            published: what goes before the PING; the PONG confirms it.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append((waiter, published))
        return waiter

    async def retire(self, timeout: float) -> None:
        """Leave a server that still serves us: nothing new from it, and all we wrote has arrived there.

        It takes as long as the server needs for its answer, at most `timeout` seconds.
        """
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        leaving = Encoder()
        for sid in list(self._parser.routes):
            leaving.unsubscribe(sid)
        leaving.ping()
        pong = self.expect_pong(self._written)
        self.write_control(leaving.take())
        try:
            await asyncio.wait([pong], timeout=timeout)
        finally:
            self.abort()

    async def closed(self) -> None:
        """Wait until it has ended."""
        await asyncio.wait([self._closed])

    def start_pings(self, interval: float, max_outstanding: int, send: Callable[[], Mark]) -> None:
        """`send` a PING every `interval` seconds; `max_outstanding` unanswered end the link.

        It goes the way of every command: one that overtook the PING of a flush would take its PONG. `send`
        returns what was published before it.
        """
        self._ping_timer = self._loop.call_later(interval, self._ping, interval, max_outstanding, send)

    def abort(self, reason: Exception | None = None) -> None:
        """End the link now; `reason` is what `on_lost` hears."""
        if self.reason is None:
            self.reason = reason
        self.paused = True
        if self._transport is not None and not self._closed.done():
            self._transport.abort()

    async def close(self, timeout: float = 1.0) -> int:
        """Write out what the socket has not taken yet, for at most `timeout` seconds, and end the link.

        Returns:
            The bytes that the socket did not take.
        """
        transport = self._transport
        if transport is None:
            return 0
        self.resume_reading()  # TLS waits for the other side's word at the end
        transport.close()
        try:
            await asyncio.wait([self._closed], timeout=timeout)
            unsent = transport.get_write_buffer_size()
        finally:
            self.abort()
        await asyncio.wait([self._closed])
        return unsent

    async def greet(self, options: Options) -> None:
        """The handshake: INFO, our CONNECT and PING, and what comes before the PONG.

        A second INFO, or +OK on a verbose connection, may come in between. TLS comes after INFO, or before
        it with ``tls_handshake_first``; below a WebSocket it is there already, or never.
        """
        if self._transport is None:
            raise not_connected()
        if options.tls_handshake_first and not self.server.is_websocket:
            await self._secure(options)
        info = await self._next_event()
        if not isinstance(info, Info):
            raise ProtocolError(f"the server's first line is INFO, not {info!r}")
        self.info = info.fields
        asks_for_tls = self.server.must_be_secure or options.asks_for_tls
        if not (self.is_secure or self.server.is_websocket) and is_tls_wanted(
            self.server, asks_for_tls, self.info
        ):
            await self._secure(options)
        fields = connect_fields(options) | await credentials(self.server, options, self.info)
        if self.is_secure:
            fields["tls_required"] = True
        hello = Encoder()
        hello.connect(fields)
        hello.ping()
        self.write_control(hello.take())
        while not isinstance(event := await self._next_event(), Pong):
            if isinstance(event, Info):
                self.info |= event.fields
            elif isinstance(event, Ping):
                self.write_control(b"PONG\r\n")
            elif isinstance(event, Err):
                raise server_error(event.text)
        self._is_greeted = True

    def begin(self) -> None:
        """The link is in use: handle what came since the handshake, and from now on what comes at once."""
        waiting, self._handshake = self._handshake, None
        for event in waiting or ():
            self._handle(event)

    def silence(self, options: Options) -> str:
        """Why a server that was reached may have said nothing, if there is something to try."""
        if self.server.is_websocket:
            return ""
        asks_for_tls = self.server.must_be_secure or options.asks_for_tls
        if self._transport is None or self.info or not asks_for_tls or options.tls_handshake_first:
            return ""
        return "; one that starts with TLS waits for tls_handshake_first=True"

    async def _secure(self, options: Options) -> None:
        """Go on through TLS. What the server, or whoever stands between, said before is not trusted."""
        context = await context_of(options.tls)
        if self._handshake:
            event = self._handshake.popleft()
            if isinstance(event, Err):
                raise server_error(event.text)
            if isinstance(event, Info):
                raise SecureConnFailedError(
                    f"{self.server} speaks before TLS; tls_handshake_first is for servers that are set to it"
                )
            raise ProtocolError(f"the server sent {event!r} before the TLS handshake")
        if self._transport is None or self.is_lost:
            raise self.reason or ServerClosedError(f"{self.server} closed the connection")
        routes, self._parser = self._parser.routes, Parser()
        self._parser.routes = routes
        self._transport = await upgrade(self._transport, self, self.server, context, options.tls_hostname)
        self.is_secure = True
        # From now on for good, and for those it names: nobody between shall talk us out of it later.
        self.server.insist_on_tls()

    async def _next_event(self) -> Event:
        """The next event of the handshake. Raises what ended the link, if it ended."""
        assert self._handshake is not None
        while not self._handshake:
            if self.is_lost:
                raise self.reason or ServerClosedError(
                    f"{self.server} closed the connection during the handshake"
                )
            self._news = self._loop.create_future()
            await self._news
        return self._handshake.popleft()

    def _wake(self) -> None:
        for route in self._parser.take_touched():
            try:
                route.wake()
            except Exception as error:  # the others' messages came too
                self._blame(route, error)

    def _blame(self, culprit: object, error: Exception) -> None:
        """A fault of ours in handling what came is told, and costs nobody the connection."""
        self._loop.call_exception_handler(
            {"message": f"{culprit!r} of {self.server} was not handled", "exception": error, "protocol": self}
        )

    def _handle(self, event: Event) -> None:
        if self._handshake is not None:
            self._handshake.append(event)
            self._tell_news()
        elif isinstance(event, Ping):
            self._answer_ping()
        elif isinstance(event, Pong):
            waiter, self._confirmed = self._pongs.popleft() if self._pongs else (None, self._confirmed)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        else:
            if isinstance(event, Info):
                self.info |= event.fields
            self._on_event(self, event)

    def _tell_news(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _answer_ping(self) -> None:
        # A server that pings and does not read would fill memory with answers. One will do when it reads
        # again: any PONG starts its count anew.
        if self.paused:
            self._owes_pong = True
        else:
            self.write_control(b"PONG\r\n")

    def _wake_writers(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _ping(self, interval: float, max_outstanding: int, send: Callable[[], Mark]) -> None:
        if not self._is_reading:
            # The answers would wait in the socket. A PONG asks for none, keeps a server content that could
            # miss ours, and its loss shows a connection that was reset: a socket that is not read hides it.
            if not self.paused:
                self.write_control(b"PONG\r\n")
            self.start_pings(interval, max_outstanding, send)
            return
        unanswered = sum(waiter is None for waiter, _ in self._pongs)
        if unanswered >= max_outstanding:
            self.abort(StaleConnectionError(f"{self.server} did not answer {unanswered} pings"))
            return
        self._pongs.append((None, send()))
        self.start_pings(interval, max_outstanding, send)

    def _release(self, reason: Exception | None) -> None:
        """Let nobody wait for a link that is gone."""
        self._wake_writers()
        for waiter, _ in self._pongs:
            if waiter is not None and not waiter.done():
                error = ConnectionClosedError(f"the connection to {self.server} was lost")
                error.__cause__ = reason
                waiter.set_exception(error)
                waiter.exception()  # whoever stopped waiting need not be told
        self._pongs.clear()


async def open_link(
    server: Server,
    options: Options,
    routes: dict[int, Route],
    on_event: Callable[[Link, Event], None],
    on_lost: Callable[[Link, Exception | None], None],
) -> Link:
    """Connect to `server` and greet it, within ``options.connect_timeout``.

    Raises:
        OSError, TimeoutError: it cannot be reached.
        AuthorizationError, ServerError, SecureConnFailedError, SecureConnWantedError,
            InvalidUserCredentialsError, ProtocolError, WebSocketError: it can, and that is all.
        MissingExtraError: a WebSocket needs the extra ``websocket``.
    """
    link = Link(server, routes, on_event, on_lost)
    try:
        async with asyncio.timeout(options.connect_timeout):
            link.is_secure = await dial(server, options, link, link.abort, lambda: link.max_payload)
            await link.greet(options)
    except builtins.TimeoutError as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the kernel's time-out, not ours
        raise TimeoutError(
            f"{server} did not answer within {options.connect_timeout} s{link.silence(options)}"
        ) from None
    finally:
        if not link.is_greeted:
            link.abort()
    return link


def connect_fields(options: Options) -> dict[str, Any]:
    """What CONNECT tells the server, but for the credentials (ADR-5, ADR-4)."""
    fields: dict[str, Any] = {
        "verbose": options.verbose,
        "pedantic": options.pedantic,
        "echo": not options.no_echo,
        "lang": "python-tidings",
        "version": __version__,
        "protocol": 1,
        "headers": True,
        "no_responders": True,
    }
    if options.name is not None:
        fields["name"] = options.name
    return fields


# What the server says and keeps the connection; after anything else it is over (nats.go, processErr).
_HARMLESS = (
    "permissions violation",
    "maximum subscriptions exceeded",
    "invalid subject",
    "invalid publish subject",
)
# It lets us go, but may take us again, or another server may.
_PASSING = (
    "stale connection",
    "maximum connections exceeded",
    "maximum account active connections exceeded",
    "server shutdown",
)


def is_harmless(text: str) -> bool:
    """Whether the connection lives on after an -ERR with this text."""
    return text.lower().startswith(_HARMLESS)


def is_passing(text: str) -> bool:
    """Whether an -ERR with this text ends the link, and a new one may succeed."""
    return text.lower().startswith(_PASSING)


# The server's texts (server/errors.go) → what they mean to us, by their beginning.
_AUTHORIZATION = (
    "authorization violation",
    "user authentication",
    "account authentication",
    "authentication timeout",
    "authentication expired",
)


def server_error(text: str) -> ServerError:
    """The exception for the text of an -ERR."""
    lower = text.lower()
    if lower.startswith(_AUTHORIZATION):
        return AuthorizationError(text)
    if lower.startswith("permissions violation"):
        return PermissionsError(text)
    if lower.startswith("stale connection"):
        return StaleConnectionError(text)
    return ServerError(text)
