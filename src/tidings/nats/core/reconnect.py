"""The life of a connection: its states, what moves it from one to the next, and the way back.

::

    CONNECTING ──established──▶ CONNECTED ──lost──▶ RECONNECTING ──established──▶ CONNECTED
        │                           │                    │
      failed                      drain            failed, drain
        ▼                           ▼                    ▼
      CLOSED ◀──lost, drained── DRAINING               CLOSED          (close leads to CLOSED from anywhere)
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from collections.abc import Awaitable, Callable

from tidings.nats.core.link import Link
from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server, ServerPool
from tidings.nats.errors import (
    AuthorizationError,
    Error,
    InvalidUserCredentialsError,
    MissingExtraError,
    NoServersError,
    SecureConnFailedError,
    SecureConnRequiredError,
    SecureConnWantedError,
)

__all__ = ["TRANSITIONS", "Lifecycle", "Move", "State", "connect_once", "reconnect"]

logger = logging.getLogger("tidings.nats")


# What the user has to mend; it is raised as it is, rather than as the cause of a NoServersError.
_USERS_TO_MEND = (
    AuthorizationError,
    InvalidUserCredentialsError,
    MissingExtraError,
    SecureConnFailedError,
    SecureConnRequiredError,
    SecureConnWantedError,
)


class State(enum.Enum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DRAINING = "draining"
    CLOSED = "closed"


class Move(enum.Enum):
    """What moves a connection to another state."""

    ESTABLISHED = "established"
    FAILED = "failed"
    LOST = "lost"
    DRAIN = "drain"
    DRAINED = "drained"
    CLOSE = "close"


TRANSITIONS: dict[tuple[State, Move], State] = {
    (State.CONNECTING, Move.ESTABLISHED): State.CONNECTED,
    (State.CONNECTING, Move.FAILED): State.CLOSED,
    (State.CONNECTING, Move.CLOSE): State.CLOSED,
    (State.CONNECTED, Move.LOST): State.RECONNECTING,
    (State.CONNECTED, Move.DRAIN): State.DRAINING,
    (State.CONNECTED, Move.CLOSE): State.CLOSED,
    (State.RECONNECTING, Move.ESTABLISHED): State.CONNECTED,
    (State.RECONNECTING, Move.FAILED): State.CLOSED,
    (State.RECONNECTING, Move.DRAIN): State.DRAINING,
    (State.RECONNECTING, Move.CLOSE): State.CLOSED,
    (State.DRAINING, Move.LOST): State.DRAINING,  # what was delivered is still handed out
    (State.DRAINING, Move.DRAINED): State.CLOSED,
    (State.DRAINING, Move.CLOSE): State.CLOSED,
}


class Lifecycle:
    """The state of one connection; it changes as `TRANSITIONS` says and in no other way."""

    def __init__(self) -> None:
        self.state = State.CONNECTING

    def move(self, move: Move) -> bool:
        """Follow `move` if the table has it from here; whether it has."""
        target = TRANSITIONS.get((self.state, move))
        if target is None:
            return False
        self.state = target
        return True


async def connect_once(pool: ServerPool, open_link: Callable[[Server], Awaitable[Link]]) -> Link:
    """Try each server once, in order.

    Raises:
        AuthorizationError: the last server that answered refused the credentials.
        InvalidUserCredentialsError, MissingExtraError: they cannot be read, or not be used.
        SecureConnFailedError, SecureConnRequiredError, SecureConnWantedError: there is no TLS with it.
        NoServersError: none could be reached; its cause is the last reason.
    """
    reasons: list[Exception] = []
    for server in pool:
        try:
            return await open_link(server)
        except (OSError, Error) as error:
            reasons.append(error)
    for reason in reversed(reasons):
        if isinstance(reason, _USERS_TO_MEND):
            raise reason
    raise _no_servers(pool, reasons[-1]) from reasons[-1]


async def reconnect(
    pool: ServerPool,
    options: Options,
    open_link: Callable[[Server], Awaitable[Link]],
    *,
    pause_first: bool = False,
) -> Link:
    """Try the servers in turn until one takes us: the first at once, a pause after each round.

    With `pause_first` the pause comes before the first one too, for a server that takes us and throws
    us out again.

    A server that failed ``max_reconnect_attempts`` times in a row is tried no more.

    Raises:
        AuthorizationError: a server refused us twice in a row for the same reason, and
            ``ignore_auth_error_abort`` is off.
        NoServersError: no server is left; its cause is the last reason.
    """
    last: Exception | None = None
    if pause_first:
        await _pause(options)
    while len(pool):
        for server in pool:
            try:
                return await open_link(server)
            except (OSError, Error) as error:
                last = error
                server.failures += 1
                logger.info("cannot reconnect to %s: %s", server, error)
                if _refused_again(server, error) and not options.ignore_auth_error_abort:
                    raise
            if 0 <= options.max_reconnect_attempts <= server.failures:
                pool.discard(server)
        if len(pool):
            await _pause(options)
    raise _no_servers(pool, last) from last


def _refused_again(server: Server, error: Exception) -> bool:
    """Whether `server` refused our credentials, and did so for the same reason the last time."""
    before, server.refusal = server.refusal, str(error) if isinstance(error, AuthorizationError) else None
    return before is not None and before == server.refusal


async def _pause(options: Options) -> None:
    await asyncio.sleep(options.reconnect_time_wait + random.uniform(0, options.reconnect_jitter))


def _no_servers(pool: ServerPool, last: Exception | None) -> NoServersError:
    tried = ", ".join(server.address for server in pool) or "no server is left"
    return NoServersError(f"cannot connect to NATS ({tried}): {last}")
