"""What a connection can be told, and the defaults: declared here once."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from tidings.nats.core.creds import RawCredentials
from tidings.nats.core.record import Record
from tidings.nats.core.servers import Server
from tidings.nats.core.tls import TLSOptions
from tidings.nats.wire import BLOCK, DROP_NEW, DROP_OLD, ERROR, Msg

__all__ = [
    "BufferPolicy",
    "Callback",
    "Credentials",
    "ErrorCallback",
    "JwtCallback",
    "LimitPolicy",
    "MsgCallback",
    "Options",
    "OrderedBy",
    "ReconnectHandler",
    "SeedFile",
    "SignatureCallback",
    "SubscriptionLimits",
    "Text",
    "Transport",
    "WebSocketHeaders",
    "check_timeout",
]

Callback: TypeAlias = Callable[[], "Awaitable[object] | object"]
"""Called without arguments when something happened to the connection; plain or async."""
ErrorCallback: TypeAlias = Callable[[Exception], "Awaitable[object] | object"]
"""Called with an error that no call can raise; plain or async."""
MsgCallback: TypeAlias = Callable[[Msg], "Awaitable[object] | object"]
"""Called with each message of a subscription; plain or async."""
ReconnectHandler: TypeAlias = Callable[
    [list[Server], dict[str, Any]],
    "tuple[Server | None, float] | Awaitable[tuple[Server | None, float]]",
]
"""Called with the servers (without credentials) and the last INFO; returns which is next, and after how
many seconds; None leaves the choice to the client. Plain or async."""

FilePath: TypeAlias = str | os.PathLike[str]
Text: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A text, or a function, plain or async, that is asked for it at each connect."""
SeedFile: TypeAlias = FilePath | Callable[[], FilePath | Awaitable[FilePath]]
"""The path of a file that holds a seed."""
CredentialsValue: TypeAlias = FilePath | bytes | RawCredentials | tuple[FilePath, FilePath]
Credentials: TypeAlias = CredentialsValue | Callable[[], CredentialsValue | Awaitable[CredentialsValue]]
"""The path of a creds file, its content, or the paths of a JWT and a seed."""
SignatureCallback: TypeAlias = Callable[[str], bytes | str | Awaitable[bytes | str]]
"""Called with the server's nonce; gives the Ed25519 signature over it: 64 bytes, or base64 of them."""
JwtCallback: TypeAlias = Callable[[], str | bytes | bytearray | Awaitable[str | bytes | bytearray]]
"""Called for the user's JWT; plain or async."""

WebSocketHeadersValue: TypeAlias = Mapping[str, str | Sequence[str]]
WebSocketHeaders: TypeAlias = (
    WebSocketHeadersValue | Callable[[], WebSocketHeadersValue | Awaitable[WebSocketHeadersValue]]
)
"""Names of HTTP headers with a value or several each, or a function, plain or async, that is asked for them
at each connect."""
Transport: TypeAlias = Callable[[str, int, asyncio.BufferedProtocol], Awaitable[object]]
"""Connects a protocol to a host and a port, in its own way.

When it returns, it has called ``protocol.connection_made`` with an `asyncio.Transport`, as the loop's
``create_connection`` does: one that can write, close, abort, pause and resume reading, and tells how much
it has not written. What it returns is not looked at.
"""

LimitPolicy: TypeAlias = Literal["drop_new", "drop_old", "block", "error"]
"""What a subscription does when it holds as much as it may.

``drop_new`` drops what comes, ``drop_old`` what has waited longest; ``error`` drops what comes and ends
the subscription with `SlowConsumerError`; ``block`` drops nothing and reads no more from the socket, for
the whole connection, until half of the limit is free.
"""
BufferPolicy: TypeAlias = Literal["error", "drop_new", "drop_old", "block"]
"""What `publish` does while the connection is away and the reconnect buffer is full.

``error`` raises `OutboundBufferLimitError`; ``block`` waits until the connection is back; ``drop_new`` drops
what is published, ``drop_old`` what has waited longest. A request is not waited for: it raises.
"""
OrderedBy: TypeAlias = Callable[[Msg], Hashable] | Literal["subject"]
"""What says which messages several workers handle one after the other: those with the same key."""


class Options(Record):
    """Options of a connection. Times are in seconds, sizes in bytes.

    Raises:
        ValueError, TypeError: a value that makes no sense; the text names the option.

    Attributes:
        name: shown by the server's monitoring.
        user, password: credentials; those in a server's URL come first. These and the following may be
            functions, plain or async, and are then asked at each connect; files are read at each connect.
        token: a token instead of user and password.
        user_credentials: a creds file; its content as bytes or `RawCredentials`; or the paths of a JWT
            and a seed.
        nkeys_seed, nkeys_seed_str: the file of a user's seed, or the seed itself.
        signature_cb: signs the server's nonce, for a key that is kept elsewhere.
        user_jwt_cb: gives the JWT that goes with the seed or the signature.
        nkey: the public key that goes with ``signature_cb`` where there is no JWT.
        ignore_auth_error_abort: go on reconnecting to a server that refused us twice for the same reason.
        tls: a context, or files for one; either asks for TLS. Without it a server that insists on TLS,
            or a ``tls://`` one, is verified by the authorities of the system.
        tls_hostname: the name in the server's certificate, where that is not the name dialled.
        tls_handshake_first: TLS before the server's INFO, for a server that is set to it.
        ws_connection_headers: HTTP headers for the request that opens a WebSocket, for a proxy; see
            `WebSocketHeaders`.
        ws_compression: ask a WebSocket for compression (permessage-deflate); it takes part if it is set to.
        transport: connects to a server in place of TCP, see `Transport`; TLS and WebSocket go over it.
        connect_timeout: for one server: TCP, INFO, CONNECT and the first PONG.
        allow_reconnect: whether a lost connection is taken up again.
        max_reconnect_attempts: failed attempts in a row for each server; negative is no limit.
        reconnect_time_wait: pause after all servers were tried once.
        reconnect_jitter: up to this much is added to the pause, so that clients do not come all at once.
        reconnect_jitter_tls: the same where the next server is spoken to through TLS, which costs it more.
        max_reconnect_wait: the pause doubles from round to round, up to this.
        reconnect_delay_cb: called with the number of the round, from 1; returns the pause in its place.
        reconnect_to_server_handler: chooses the next server and the delay before it; see `ReconnectHandler`.
        retry_on_failed_connect: when no server can be reached, `connect` returns nevertheless and goes on
            trying in the background, as if the connection had been lost.
        ignore_discovered_servers: stay with the servers given, whatever others a server names.
        reconnect_buffer_size: publishes held while the connection is away; 0 or less holds none, and
            the policy applies at once.
        reconnect_buffer_policy: what `publish` does when so much is held; see `BufferPolicy`.
        ping_interval: between two PINGs of ours.
        max_outstanding_pings: so many without an answer, and the connection counts as dead.
        inbox_prefix: first tokens of the subjects on which replies come.
        no_echo: do not deliver to us what we publish.
        verbose: have every command answered by +OK.
        pedantic: have the server check subjects strictly.
        skip_subject_validation: publish to subjects with empty tokens or wildcards too, and leave it to the
            server what becomes of them. What would break the protocol is refused nevertheless.
        no_randomize: try the servers in the order given.
        drain_timeout: for `drain` when it is given no timeout.
        error_cb: errors that no call can raise: a failing callback, a slow consumer, a permission.
        disconnected_cb, reconnected_cb, closed_cb: what happened to the connection.
        discovered_server_cb: servers were named that the client did not know.
        lame_duck_mode_cb: the server is about to stop; the client moves to another by itself.
    """

    hidden = frozenset(
        (
            "user",
            "password",
            "token",
            "user_credentials",
            "nkeys_seed",
            "nkeys_seed_str",
            "signature_cb",
            "user_jwt_cb",
            "ws_connection_headers",
            "transport",  # may be a partial that holds a proxy's password
        )
    )

    name: str | None = None
    user: Text | None = None
    password: Text | None = None
    token: Text | None = None
    user_credentials: Credentials | None = None
    nkeys_seed: SeedFile | None = None
    nkeys_seed_str: Text | None = None
    signature_cb: SignatureCallback | None = None
    user_jwt_cb: JwtCallback | None = None
    nkey: Text | None = None
    ignore_auth_error_abort: bool = False
    tls: ssl.SSLContext | TLSOptions | None = None
    tls_hostname: str | None = None
    tls_handshake_first: bool = False
    ws_connection_headers: WebSocketHeaders | None = None
    ws_compression: bool = False
    transport: Transport | None = None
    connect_timeout: float = 2.0
    allow_reconnect: bool = True
    max_reconnect_attempts: int = 60
    reconnect_time_wait: float = 2.0
    reconnect_jitter: float = 0.1
    reconnect_jitter_tls: float = 1.0
    max_reconnect_wait: float = 8.0
    reconnect_delay_cb: Callable[[int], float] | None = None
    reconnect_to_server_handler: ReconnectHandler | None = None
    retry_on_failed_connect: bool = False
    ignore_discovered_servers: bool = False
    reconnect_buffer_size: int = 8 * 1024 * 1024
    reconnect_buffer_policy: BufferPolicy = "error"
    ping_interval: float = 120.0
    max_outstanding_pings: int = 2
    inbox_prefix: str = "_INBOX"
    no_echo: bool = False
    verbose: bool = False
    pedantic: bool = False
    skip_subject_validation: bool = False
    no_randomize: bool = False
    drain_timeout: float = 30.0
    error_cb: ErrorCallback | None = None
    disconnected_cb: Callback | None = None
    reconnected_cb: Callback | None = None
    closed_cb: Callback | None = None
    discovered_server_cb: Callback | None = None
    lame_duck_mode_cb: Callback | None = None

    def _check(self) -> None:
        for name in _TEXTS:
            # The value may be a secret, so only its type is told.
            value = getattr(self, name)
            if not isinstance(value, str | None) and not (name in _ASKED and callable(value)):
                raise TypeError(f"{name} is a str, not {type(value).__name__}")
        for name in _POSITIVE:
            if not _number(name, getattr(self, name)) > 0:
                raise ValueError(f"{name} is a number above 0, not {getattr(self, name)!r}")
        for name in _NOT_NEGATIVE:
            if not _number(name, getattr(self, name)) >= 0:
                raise ValueError(f"{name} cannot be negative: {getattr(self, name)!r}")
        for name in _NUMBERS:
            _number(name, getattr(self, name))
        for name in _CALLBACKS:
            callback = getattr(self, name)
            if callback is not None and not callable(callback):
                raise TypeError(f"{name} is a function, not {callback!r}")
        for name in ("signature_cb", "user_jwt_cb"):
            if not callable(callback := getattr(self, name)) and callback is not None:
                raise TypeError(f"{name} is a function, not {type(callback).__name__}")
        if not isinstance(self.tls, ssl.SSLContext | TLSOptions | None):
            raise TypeError(f"tls is an ssl.SSLContext or TLSOptions, not {self.tls!r}")
        headers = self.ws_connection_headers
        if headers is not None and not isinstance(headers, Mapping) and not callable(headers):
            raise TypeError(f"ws_connection_headers is a mapping or a function, not {type(headers).__name__}")
        if self.reconnect_buffer_policy not in get_args(BufferPolicy):
            raise ValueError(
                f"reconnect_buffer_policy is one of {', '.join(get_args(BufferPolicy))}, "
                f"not {self.reconnect_buffer_policy!r}"
            )
        _check_keys(self)

    @property
    def asks_for_tls(self) -> bool:
        """Whether an option for TLS was given, so that we do not speak in the clear."""
        return self.tls is not None or self.tls_handshake_first or self.tls_hostname is not None


_ASKED = ("user", "password", "token", "nkeys_seed_str", "nkey")
_TEXTS = ("name", *_ASKED, "tls_hostname", "inbox_prefix")
_POSITIVE = ("connect_timeout", "ping_interval", "drain_timeout", "max_outstanding_pings")
_NOT_NEGATIVE = ("reconnect_time_wait", "reconnect_jitter", "reconnect_jitter_tls", "max_reconnect_wait")
_NUMBERS = ("max_reconnect_attempts", "reconnect_buffer_size")
_CALLBACKS = (
    "error_cb",
    "disconnected_cb",
    "reconnected_cb",
    "closed_cb",
    "discovered_server_cb",
    "lame_duck_mode_cb",
    "reconnect_delay_cb",
    "reconnect_to_server_handler",
    "transport",
)


def _check_keys(options: Options) -> None:
    """Two keys cannot both be ours, and one without the other half signs nothing."""
    keys = [name for name in _KEYS if getattr(options, name) is not None]
    if len(keys) > 1:
        raise ValueError(f"{' and '.join(keys)} are given; one of them says who we are")
    if options.user_credentials is not None and options.user_jwt_cb is not None:
        raise ValueError("user_credentials and user_jwt_cb are given; each brings a JWT")
    if options.nkey is not None and (options.signature_cb is None or options.user_jwt_cb is not None):
        raise ValueError("nkey goes with signature_cb, and with no JWT")
    if options.signature_cb is not None and options.nkey is None and options.user_jwt_cb is None:
        raise ValueError("signature_cb needs user_jwt_cb or nkey, to say whose signature it is")


_KEYS = ("user_credentials", "nkeys_seed", "nkeys_seed_str", "signature_cb")


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is a number, not {value!r}")
    return value


def options_from(given: Mapping[str, Any]) -> Options:
    """Build `Options`. Raises TypeError that names an option there is not."""
    unknown = sorted(set(given) - set(Options.fields))
    if unknown:
        raise TypeError(f"connect() has no option {', '.join(map(repr, unknown))}")
    return Options(**given)


class SubscriptionLimits(Record):
    """How much a subscription holds for a slow reader; 0 is no limit.

    Attributes:
        msgs: messages.
        bytes: of payload.
        policy: what happens to a message beyond.
    """

    msgs: int = 0
    bytes: int = 0
    policy: LimitPolicy = "drop_new"

    def _check(self) -> None:
        if self.policy not in _POLICIES:
            raise ValueError(f"limit_policy is one of {', '.join(_POLICIES)}, not {self.policy!r}")
        for name, value in (("pending_msgs_limit", self.msgs), ("pending_bytes_limit", self.bytes)):
            if not isinstance(value, int):
                raise TypeError(f"{name} is a whole number, not {value!r}; 0 is no limit")
            if value < 0:
                raise ValueError(f"{name} cannot be negative: {value!r}; 0 is no limit")

    @property
    def policy_number(self) -> int:
        """The policy as a `Route` knows it."""
        return _POLICIES[self.policy]


_POLICIES: dict[LimitPolicy, int] = {
    "drop_new": DROP_NEW,
    "drop_old": DROP_OLD,
    "block": BLOCK,
    "error": ERROR,
}


def check_timeout(timeout: object) -> None:
    """Refuse what nothing can wait for, before anything is sent. TypeError."""
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
        raise TypeError(f"a timeout is a number of seconds, or None, not {timeout!r}")


DEFAULT_LIMITS = SubscriptionLimits(msgs=512 * 1024, bytes=128 * 1024 * 1024)
"""Those of nats-py."""
