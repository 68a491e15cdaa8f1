"""`nats.aio.client`: nats-py's client over ours."""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
from collections import UserString
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import ParseResult, urlparse

from tidings.nats import errors as native_errors
from tidings.nats.client import Client as Native
from tidings.nats.compat import errors
from tidings.nats.compat.aio.constants import (
    CTRL_STATUS,
    DEFAULT_BUFFER_SIZE,
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_DRAIN_TIMEOUT,
    DEFAULT_FLUSH_TIMEOUT,
    DEFAULT_INBOX_PREFIX,
    DEFAULT_MAX_FLUSHER_QUEUE_SIZE,
    DEFAULT_MAX_OUTSTANDING_PINGS,
    DEFAULT_MAX_PAYLOAD_SIZE,
    DEFAULT_MAX_RECONNECT_ATTEMPTS,
    DEFAULT_PENDING_SIZE,
    DEFAULT_PING_INTERVAL,
    DEFAULT_RECONNECT_TIME_WAIT,
    MAX_CONTROL_LINE_SIZE,
    NO_RESPONDERS_STATUS,
)
from tidings.nats.compat.aio.msg import Msg
from tidings.nats.compat.aio.servers import Server, ServerVersion, Srv, shown
from tidings.nats.compat.aio.subscription import (
    DEFAULT_SUB_PENDING_BYTES_LIMIT,
    DEFAULT_SUB_PENDING_MSGS_LIMIT,
    Subscription,
)
from tidings.nats.compat.border import translated, translates
from tidings.nats.core.creds import RawCredentials as NativeCredentials
from tidings.nats.core.link import Link
from tidings.nats.core.options import SubscriptionLimits, options_from
from tidings.nats.core.servers import Server as NativeServer
from tidings.nats.version import __version__
from tidings.nats.wire import HeaderInput

if TYPE_CHECKING:
    from tidings.nats.compat.js.client import JetStreamContext
    from tidings.nats.compat.js.manager import JetStreamManager

__all__ = [
    "CTRL_STATUS",
    "DEFAULT_BUFFER_SIZE",
    "DEFAULT_CONNECT_TIMEOUT",
    "DEFAULT_DRAIN_TIMEOUT",
    "DEFAULT_FLUSH_TIMEOUT",
    "DEFAULT_INBOX_PREFIX",
    "DEFAULT_MAX_FLUSHER_QUEUE_SIZE",
    "DEFAULT_MAX_OUTSTANDING_PINGS",
    "DEFAULT_MAX_PAYLOAD_SIZE",
    "DEFAULT_MAX_RECONNECT_ATTEMPTS",
    "DEFAULT_PENDING_SIZE",
    "DEFAULT_PING_INTERVAL",
    "DEFAULT_RECONNECT_TIME_WAIT",
    "MAX_CONTROL_LINE_SIZE",
    "NO_RESPONDERS_STATUS",
    "DEFAULT_SUB_PENDING_BYTES_LIMIT",
    "DEFAULT_SUB_PENDING_MSGS_LIMIT",
    "Client",
    "Msg",
    "RawCredentials",
    "Server",
    "ServerVersion",
    "Srv",
    "Subscription",
]

log = logging.getLogger("tidings.nats")

_PATIENCE = 5.0  # seconds for the error callback, when connecting has failed

Callback = Callable[[], Awaitable[None] | None]
ErrorCallback = Callable[[Exception], Awaitable[None] | None]
ReconnectToServerHandler = Callable[[list[Server], dict[str, Any]], tuple[Server | None, float]]


class _Telling(Native):
    """Tells the error callback of each attempt to connect that fails, and of a server that closes it.

    Attributes:
        failure: of the last attempt that failed.
    """

    failure: Exception | None = None

    async def _open_link(self, server: NativeServer) -> Link:
        try:
            return await super()._open_link(server)
        except Exception as error:
            self._callbacks.report(error)
            self.failure = error
            raise

    def _on_lost(self, link: Link, reason: Exception | None) -> None:
        if link is self._link and isinstance(reason, native_errors.ServerClosedError):
            self._callbacks.report(reason)
        super()._on_lost(link, reason)


class RawCredentials(UserString):
    """The text of a creds file."""

    def __repr__(self) -> str:
        return "<RawCredentials>"


Credentials = str | tuple[str, str] | RawCredentials | Path


class Client:
    """nats-py's client. Made first and connected then, by `connect`; see there for the differences."""

    msg_class: ClassVar[type[Msg]] = Msg

    DISCONNECTED = 0
    CONNECTED = 1
    CLOSED = 2
    RECONNECTING = 3
    CONNECTING = 4
    DRAINING_SUBS = 5
    DRAINING_PUBS = 6

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self._connection: Native | None = None
        self._is_connecting = False
        self._last_error: Exception | None = None
        self._error_cb: ErrorCallback = _log_error

    def __repr__(self) -> str:
        return f"<nats client v{__version__}>"

    async def connect(
        self,
        servers: str | list[str] = "nats://localhost:4222",
        error_cb: ErrorCallback | None = None,
        disconnected_cb: Callback | None = None,
        closed_cb: Callback | None = None,
        discovered_server_cb: Callback | None = None,
        reconnected_cb: Callback | None = None,
        name: str | None = None,
        pedantic: bool = False,
        verbose: bool = False,
        allow_reconnect: bool = True,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT,
        reconnect_time_wait: float = DEFAULT_RECONNECT_TIME_WAIT,
        max_reconnect_attempts: int = DEFAULT_MAX_RECONNECT_ATTEMPTS,
        ping_interval: float = DEFAULT_PING_INTERVAL,
        max_outstanding_pings: int = DEFAULT_MAX_OUTSTANDING_PINGS,
        dont_randomize: bool = False,
        flusher_queue_size: int = DEFAULT_MAX_FLUSHER_QUEUE_SIZE,
        no_echo: bool = False,
        tls: ssl.SSLContext | None = None,
        tls_hostname: str | None = None,
        tls_handshake_first: bool = False,
        user: str | Callable[[], str] | None = None,
        password: str | Callable[[], str] | None = None,
        token: str | Callable[[], str] | None = None,
        drain_timeout: float = DEFAULT_DRAIN_TIMEOUT,
        signature_cb: Callable[[str], bytes] | None = None,
        user_jwt_cb: Callable[[], bytes | bytearray] | None = None,
        user_credentials: Credentials | None = None,
        nkeys_seed: str | None = None,
        nkeys_seed_str: str | None = None,
        inbox_prefix: str | bytes = DEFAULT_INBOX_PREFIX,
        pending_size: int = DEFAULT_PENDING_SIZE,
        flush_timeout: float | None = None,
        ws_connection_headers: dict[str, list[str]] | None = None,
        reconnect_to_server_handler: ReconnectToServerHandler | None = None,
        lame_duck_mode_cb: Callback | None = None,
        skip_subject_validation: bool = False,
        **more: Any,
    ) -> None:
        """Connect; times in seconds.

        Each server is tried once, and then it raises, with ``retry_on_failed_connect=True`` it goes on in
        the background: nats-py blocks for up to ``max_reconnect_attempts`` times ``reconnect_time_wait``.
        Callbacks may be plain functions. ``flusher_queue_size`` and ``flush_timeout`` are accepted and have
        no meaning here. Other options of `tidings.nats.connect` can be given too.

        Raises:
            NoServersError, AuthorizationError, and what else `tidings.nats.connect` raises.
        """
        given = {key: value for key, value in locals().items() if key not in ("self", "more", "servers")}
        if isinstance(inbox_prefix, bytes):
            inbox_prefix = inbox_prefix.decode()
        if isinstance(user_credentials, UserString):
            given["user_credentials"] = NativeCredentials(user_credentials.data)
        self._error_cb = error_cb or _log_error
        self.options = {key: given[key] for key in _SHOWN_OPTIONS}
        rest = {key: value for key, value in given.items() if key not in _OWN_OPTIONS and value is not None}
        rest |= more
        if reconnect_to_server_handler is not None:
            rest["reconnect_to_server_handler"] = _choosing(reconnect_to_server_handler)
        native = _Telling(
            servers,
            options_from(
                rest
                | {
                    "error_cb": self._report,
                    "closed_cb": _one_after_the_other(disconnected_cb, closed_cb),
                    "no_randomize": dont_randomize,
                    "reconnect_buffer_size": pending_size,
                    "inbox_prefix": inbox_prefix,
                }
            ),
        )
        native.registry.message_type = self.msg_class
        self._is_connecting = True
        try:
            await self._open(native)
        finally:
            self._is_connecting = False
        self._connection = native

    @translates
    async def _open(self, native: _Telling) -> None:
        try:
            await native.open()
        except native_errors.Error as error:
            await native.callbacks.finish(_PATIENCE)  # the error callback has heard of it before the caller
            self._last_error = error
            if native.options.allow_reconnect or native.failure is None:
                raise
            self._last_error = failure = native.failure
            if isinstance(failure.__cause__, ssl.SSLError):
                raise failure.__cause__ from error
            raise translated(failure) from error

    def _report(self, error: Exception) -> Awaitable[None] | None:
        return self._error_cb(translated(error))

    @property
    def _native(self) -> Native:
        if self._connection is None:
            raise errors.ConnectionClosedError
        return self._connection

    # Messages

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: HeaderInput | None = None
    ) -> None:
        """Publish a message."""
        try:
            await self._native.publish(subject, payload, reply, headers)
        except native_errors.Error as error:
            raise translated(error) from error

    @translates
    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: Callable[[Msg], Awaitable[None] | None] | None = None,
        future: asyncio.Future[Msg] | None = None,
        max_msgs: int = 0,
        pending_msgs_limit: int = DEFAULT_SUB_PENDING_MSGS_LIMIT,
        pending_bytes_limit: int = DEFAULT_SUB_PENDING_BYTES_LIMIT,
    ) -> Subscription:
        """Subscribe to a subject; `future` gets the first message."""
        native = self._native
        if native.is_closed:
            raise errors.ConnectionClosedError
        if native.is_draining:
            raise errors.ConnectionDrainingError
        if future is not None:
            cb = _settling(future)
        limits = SubscriptionLimits(msgs=max(pending_msgs_limit, 0), bytes=max(pending_bytes_limit, 0))
        registry = native.registry
        sub = Subscription(registry, registry.next_sid(), subject, queue, cb, limits, max_msgs)  # type: ignore[arg-type]
        registry.start(sub)
        return sub

    @translates
    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float | None = 0.5,
        old_style: bool = False,
        headers: HeaderInput | None = None,
    ) -> Msg:
        """Publish a message and wait for the first reply."""
        reply = await self._native.request(subject, payload, timeout, headers=headers, old_style=old_style)
        assert isinstance(reply, Msg)
        return reply

    def new_inbox(self) -> str:
        """A subject that nobody else uses."""
        return self._native.new_inbox()

    @translates
    async def flush(self, timeout: float = 10) -> None:
        """Wait until the server has all that was published."""
        if timeout <= 0:
            raise errors.BadTimeoutError
        await self._native.flush(timeout)

    @translates
    async def rtt(self, timeout: float = 10) -> float:
        """Seconds that a PING takes."""
        if timeout <= 0:
            raise errors.BadTimeoutError
        return await self._native.rtt(timeout)

    # The end

    async def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            await self._connection.close()

    async def drain(self) -> None:
        """Close it when what was delivered is handled; what takes too long is told to ``error_cb``."""
        native = self._native
        if native.is_draining:
            return
        if native.is_closed:
            raise errors.ConnectionClosedError
        if native.is_reconnecting:
            raise errors.ConnectionReconnectingError
        try:
            await native.drain()
        except native_errors.DrainTimeoutError as error:
            result = self._report(error)
            if result is not None:
                await result

    @translates
    async def force_reconnect(self) -> None:
        """Leave the server for another."""
        if self.is_connected and self.options["allow_reconnect"]:
            await self._native.force_reconnect()

    def set_server_pool(self, servers: list[str]) -> None:
        """Know these servers from now on."""
        if self.is_closed:
            raise errors.ConnectionClosedError
        self._native.set_server_pool(servers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # JetStream

    def jetstream(self, **opts: Any) -> JetStreamContext:
        """A context for JetStream."""
        from tidings.nats.compat.js.client import JetStreamContext

        return JetStreamContext(self, **opts)

    def jsm(self, **opts: Any) -> JetStreamManager:
        """What manages streams and consumers."""
        from tidings.nats.compat.js.manager import JetStreamManager

        return JetStreamManager(self, **opts)

    # What can be asked of it

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._connection is not None and self._connection.is_closed

    @property
    def is_connected(self) -> bool:
        """Whether there is a server at the other end, a drain apart."""
        native = self._connection
        return native is not None and native.is_connected and not native.is_closed

    @property
    def is_connecting(self) -> bool:
        """Whether `connect` is under way."""
        return self._is_connecting

    @property
    def is_reconnecting(self) -> bool:
        """Whether the connection was lost and is being taken up again."""
        return self._connection is not None and self._connection.is_reconnecting

    @property
    def is_draining(self) -> bool:
        """Whether `drain` is under way."""
        return self._connection is not None and self._connection.is_draining

    @property
    def is_draining_pubs(self) -> bool:
        """Never: publishing is possible until the client is closed."""
        return False

    @property
    def _status(self) -> int:
        states = {
            self.CLOSED: self.is_closed,
            self.DRAINING_SUBS: self.is_draining,
            self.RECONNECTING: self.is_reconnecting,
            self.CONNECTED: self.is_connected,
            self.CONNECTING: self.is_connecting,
        }
        return next((state for state, holds in states.items() if holds), self.DISCONNECTED)

    @property
    def stats(self) -> dict[str, int]:
        """Counters, under nats-py's names."""
        names = ("in_msgs", "out_msgs", "in_bytes", "out_bytes", "reconnects")
        if self._connection is None:
            return dict.fromkeys((*names, "errors_received"), 0)
        stats = self._connection.stats
        return {name: getattr(stats, name) for name in names} | {"errors_received": stats.errors}

    @property
    def client_id(self) -> int | None:
        """The number that the server knows the connection by."""
        return None if self._connection is None else self._connection.client_id

    @property
    def client_ip(self) -> str | None:
        """The address from which the server sees us."""
        return None if self._connection is None else self._connection.client_ip

    @property
    def connected_server_version(self) -> ServerVersion:
        """The version of the server."""
        return ServerVersion(self._server_info.get("version", ""))

    @property
    def connected_url(self) -> ParseResult | None:
        """The URL of the server, without credentials; None while there is none."""
        url = None if self._connection is None else self._connection.connected_url
        return None if url is None else urlparse(url)

    @property
    def servers(self) -> list[ParseResult]:
        """The URLs of all servers that are known."""
        return [server.uri for server in self._server_pool]

    @property
    def discovered_servers(self) -> list[ParseResult]:
        """The URLs of those that a server named."""
        return [server.uri for server in self._server_pool if server.discovered]

    @property
    def server_pool(self) -> list[Server]:
        """All servers that are known: a copy."""
        return [Server(server.uri, server.reconnects) for server in self._server_pool]

    @property
    def _server_pool(self) -> list[Srv]:
        if self._connection is None:
            return []
        pool = [shown(each) for each in self._connection.server_pool]
        for each in pool:
            if each.uri == self.connected_url:
                each.did_connect, each.server_version = True, self._server_info.get("version")
        return pool

    @property
    def _server_info(self) -> dict[str, Any]:
        return {} if self._connection is None else self._connection.server_info

    @property
    def _subs(self) -> dict[int, Subscription]:
        subs = [] if self._connection is None else self._connection.subscriptions
        return {sub.sid: sub for sub in subs if isinstance(sub, Subscription)}

    @property
    def max_payload(self) -> int:
        """Bytes that the server accepts in one message."""
        return 1024 * 1024 if self._connection is None else self._connection.max_payload

    @property
    def last_error(self) -> Exception | None:
        """The last error of the connection."""
        error = self._last_error if self._connection is None else self._connection.last_error
        return None if error is None else translated(error)

    @property
    def pending_data_size(self) -> int:
        """Bytes that wait to be written."""
        return 0 if self._connection is None else len(self._connection.writer)

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """The context that was given, or that of the system."""
        context: ssl.SSLContext | None = self.options.get("tls")
        return context or ssl.create_default_context(ssl.Purpose.SERVER_AUTH)


# What `options` shows, as nats-py's does; credentials are not among it.
_SHOWN_OPTIONS = (
    "verbose", "pedantic", "name", "allow_reconnect", "dont_randomize", "reconnect_time_wait",
    "max_reconnect_attempts", "ping_interval", "max_outstanding_pings", "no_echo", "connect_timeout",
    "drain_timeout", "tls", "tls_hostname", "tls_handshake_first", "ws_connection_headers",
    "skip_subject_validation",
)  # fmt: skip
# What ours has no option for, or another one.
_OWN_OPTIONS = (
    "error_cb", "dont_randomize", "flusher_queue_size", "inbox_prefix", "pending_size", "flush_timeout",
    "reconnect_to_server_handler",
)  # fmt: skip


async def _log_error(error: Exception) -> None:
    log.error("nats: encountered error", exc_info=error)


def _one_after_the_other(*callbacks: Callback | None) -> Callback:
    """A callback that calls all of them; what one raises stops none."""

    async def call_all() -> None:
        async with AsyncExitStack() as stack:
            for each in reversed(callbacks):
                if each is not None:
                    stack.push_async_callback(_called, each)

    return call_all


async def _called(callback: Callback) -> None:
    result = callback()
    if inspect.isawaitable(result):
        await result


def _settling(future: asyncio.Future[Msg]) -> Callable[[Msg], None]:
    def settle(message: Msg) -> None:
        if not future.done():
            future.set_result(message)

    return settle


def _choosing(
    handler: ReconnectToServerHandler,
) -> Callable[[list[NativeServer], dict[str, Any]], tuple[NativeServer | None, float]]:
    """`handler` for our servers; one that it gives back is found by its URL."""

    def choose(servers: list[NativeServer], info: dict[str, Any]) -> tuple[NativeServer | None, float]:
        seen = [shown(server) for server in servers]
        chosen, delay = handler([Server(each.uri, each.reconnects) for each in seen], info)
        if chosen is None:
            return None, delay
        for server, each in zip(servers, seen, strict=True):
            if each.uri.netloc == chosen.uri.netloc.rpartition("@")[2]:
                return server, delay
        raise errors.ServerNotInPoolError

    return choose
