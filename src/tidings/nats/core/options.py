"""What a connection can be told, and the defaults: declared here once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

from tidings.nats.wire import BLOCK, DROP_NEW, DROP_OLD, ERROR, Msg

__all__ = [
    "Callback",
    "ConnectOptions",
    "ErrorCallback",
    "LimitPolicy",
    "MsgCallback",
    "Options",
    "OrderedBy",
    "SubscriptionLimits",
]

Callback: TypeAlias = Callable[[], "Awaitable[object] | object"]
"""Called without arguments when something happened to the connection; plain or async."""
ErrorCallback: TypeAlias = Callable[[Exception], "Awaitable[object] | object"]
"""Called with an error that no call can raise; plain or async."""
MsgCallback: TypeAlias = Callable[[Msg], "Awaitable[object] | object"]
"""Called with each message of a subscription; plain or async."""

LimitPolicy: TypeAlias = Literal["drop_new", "drop_old", "block", "error"]
"""What a subscription does when it holds as much as it may.

``drop_new`` drops what comes, ``drop_old`` what has waited longest; ``error`` drops what comes and ends
the subscription with `SlowConsumerError`; ``block`` drops nothing and reads no more from the socket, for
the whole connection, until half of the limit is free.
"""
OrderedBy: TypeAlias = Callable[[Msg], Hashable] | Literal["subject"]
"""What says which messages several workers handle one after the other: those with the same key."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """Options of a connection. Times are in seconds, sizes in bytes.

    Raises:
        ValueError, TypeError: a value that makes no sense; the text names the option.

    Attributes:
        name: shown by the server's monitoring.
        user, password: credentials; those in a server's URL come first.
        token: a token instead of user and password.
        connect_timeout: for one server: TCP, INFO, CONNECT and the first PONG.
        allow_reconnect: whether a lost connection is taken up again.
        max_reconnect_attempts: failed attempts in a row for each server; negative is no limit.
        reconnect_time_wait: pause after all servers were tried once.
        reconnect_jitter: up to this much is added to the pause, so that clients do not come all at once.
        reconnect_buffer_size: publishes held while the connection is away.
        ping_interval: between two PINGs of ours.
        max_outstanding_pings: so many without an answer, and the connection counts as dead.
        inbox_prefix: first tokens of the subjects on which replies come.
        no_echo: do not deliver to us what we publish.
        verbose: have every command answered by +OK.
        pedantic: have the server check subjects strictly.
        no_randomize: try the servers in the order given.
        drain_timeout: for `drain` when it is given no timeout.
        error_cb: errors that no call can raise: a failing callback, a slow consumer, a permission.
        disconnected_cb, reconnected_cb, closed_cb: what happened to the connection.
    """

    name: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    connect_timeout: float = 2.0
    allow_reconnect: bool = True
    max_reconnect_attempts: int = 60
    reconnect_time_wait: float = 2.0
    reconnect_jitter: float = 0.1
    reconnect_buffer_size: int = 8 * 1024 * 1024
    ping_interval: float = 120.0
    max_outstanding_pings: int = 2
    inbox_prefix: str = "_INBOX"
    no_echo: bool = False
    verbose: bool = False
    pedantic: bool = False
    no_randomize: bool = False
    drain_timeout: float = 30.0
    error_cb: ErrorCallback | None = None
    disconnected_cb: Callback | None = None
    reconnected_cb: Callback | None = None
    closed_cb: Callback | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            # The value may be a secret, so only its type is told.
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise TypeError(f"{name} is a str, not {type(value).__name__}")
        for name in _POSITIVE:
            if not _number(name, getattr(self, name)) > 0:
                raise ValueError(f"{name} is a number above 0, not {getattr(self, name)!r}")
        for name in _NOT_NEGATIVE:
            if not _number(name, getattr(self, name)) >= 0:
                raise ValueError(f"{name} cannot be negative: {getattr(self, name)!r}")
        _number("max_reconnect_attempts", self.max_reconnect_attempts)
        for name in _CALLBACKS:
            callback = getattr(self, name)
            if callback is not None and not callable(callback):
                raise TypeError(f"{name} is a function, not {callback!r}")


_TEXTS = ("name", "user", "password", "token", "inbox_prefix")
_POSITIVE = ("connect_timeout", "ping_interval", "drain_timeout", "max_outstanding_pings")
_NOT_NEGATIVE = ("reconnect_time_wait", "reconnect_jitter", "reconnect_buffer_size")
_CALLBACKS = ("error_cb", "disconnected_cb", "reconnected_cb", "closed_cb")


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is a number, not {value!r}")
    return value


class ConnectOptions(TypedDict, total=False):
    """`Options` as keyword arguments of `connect`; a test keeps the two alike."""

    name: str | None
    user: str | None
    password: str | None
    token: str | None
    connect_timeout: float
    allow_reconnect: bool
    max_reconnect_attempts: int
    reconnect_time_wait: float
    reconnect_jitter: float
    reconnect_buffer_size: int
    ping_interval: float
    max_outstanding_pings: int
    inbox_prefix: str
    no_echo: bool
    verbose: bool
    pedantic: bool
    no_randomize: bool
    drain_timeout: float
    error_cb: ErrorCallback | None
    disconnected_cb: Callback | None
    reconnected_cb: Callback | None
    closed_cb: Callback | None


def options_from(given: Mapping[str, Any]) -> Options:
    """Build `Options`. Raises TypeError that names an option there is not."""
    unknown = sorted(set(given) - set(ConnectOptions.__annotations__))
    if unknown:
        raise TypeError(f"connect() has no option {', '.join(map(repr, unknown))}")
    return Options(**given)


@dataclass(frozen=True, slots=True)
class SubscriptionLimits:
    """How much a subscription holds for a slow reader; 0 is no limit.

    Attributes:
        msgs: messages.
        bytes: of payload.
        policy: what happens to a message beyond.
    """

    msgs: int = 0
    bytes: int = 0
    policy: LimitPolicy = "drop_new"

    def __post_init__(self) -> None:
        if self.policy not in _POLICIES:
            raise ValueError(f"limit_policy is one of {', '.join(_POLICIES)}, not {self.policy!r}")
        for name, value in (("pending_msgs_limit", self.msgs), ("pending_bytes_limit", self.bytes)):
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

DEFAULT_LIMITS = SubscriptionLimits(msgs=512 * 1024, bytes=128 * 1024 * 1024)
"""Those of nats-py."""
