"""The life of a connection: its states, what moves it from one to the next, and the way back.

`TRANSITIONS` is the whole of it; `draw_states` makes the diagram of docs/nats/connection.md from it.
"""

from __future__ import annotations

import asyncio
import builtins
import enum
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from tidings.nats.core.link import Link
from tidings.nats.core.options import Options, ReconnectHandler
from tidings.nats.core.servers import Server, ServerPool
from tidings.nats.errors import (
    AuthorizationError,
    ConnectionClosedError,
    Error,
    InvalidUserCredentialsError,
    MissingExtraError,
    NoServersError,
    SecureConnFailedError,
    SecureConnRequiredError,
    SecureConnWantedError,
)

__all__ = [
    "LASTING",
    "TRANSITIONS",
    "Lifecycle",
    "Move",
    "State",
    "WayBack",
    "connect_once",
    "draw_states",
]

logger = logging.getLogger("tidings.nats")

LASTING = 1.0
"""Seconds. A link that lived shorter counts as a failed attempt: its server takes us and drops us."""

# Seconds between rounds where the options ask for none: a server that drops us at once is not stormed.
_LEAST_PAUSE = 0.01


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
    RETRY = "retry"


TRANSITIONS: dict[tuple[State, Move], State] = {
    (State.CONNECTING, Move.ESTABLISHED): State.CONNECTED,
    (State.CONNECTING, Move.FAILED): State.CLOSED,
    (State.CONNECTING, Move.RETRY): State.RECONNECTING,  # retry_on_failed_connect
    (State.CONNECTING, Move.CLOSE): State.CLOSED,
    (State.CONNECTED, Move.LOST): State.RECONNECTING,
    (State.CONNECTED, Move.FAILED): State.CLOSED,  # an -ERR that coming back would not mend
    (State.CONNECTED, Move.DRAIN): State.DRAINING,
    (State.CONNECTED, Move.CLOSE): State.CLOSED,
    (State.RECONNECTING, Move.ESTABLISHED): State.CONNECTED,
    (State.RECONNECTING, Move.FAILED): State.CLOSED,
    (State.RECONNECTING, Move.DRAIN): State.DRAINING,
    (State.RECONNECTING, Move.CLOSE): State.CLOSED,
    (State.DRAINING, Move.ESTABLISHED): State.DRAINING,  # it came back for what is still held
    (State.DRAINING, Move.LOST): State.DRAINING,  # what was delivered is still handed out
    (State.DRAINING, Move.DRAINED): State.CLOSED,
    (State.DRAINING, Move.CLOSE): State.CLOSED,
}


def draw_states() -> str:
    """`TRANSITIONS` as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.CONNECTING.value}"]
    for (state, move), target in TRANSITIONS.items():
        lines.append(f"    {state.value} --> {target.value}: {move.value}")
    lines.append(f"    {State.CLOSED.value} --> [*]")
    return "\n".join(lines) + "\n"


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
    failures: list[tuple[Server, Exception]] = []
    for server in pool:
        try:
            return await open_link(server)
        except (OSError, Error) as error:
            failures.append((server, error))
    for _, reason in reversed(failures):
        if isinstance(reason, _USERS_TO_MEND):
            raise reason
    told = "; ".join(_told(server, reason) for server, reason in failures)
    reasons = {server.address: _why(reason) for server, reason in failures}
    raise NoServersError(f"cannot connect to NATS: {told}", reasons) from failures[-1][1]


class WayBack:
    """Finds a server that takes us: the first attempt at once, then in rounds with a pause between them.

    In one round no server is tried twice, and only a link that lasts ends it. So one that takes us and
    throws us out again is met with the pause, which grows from round to round. A server that failed
    ``max_reconnect_attempts`` times in a row is tried no more.

    Args:
        pool: the servers.
        options: how long to wait, and who decides otherwise.
        open_link: connects to a server and greets it.
        report: takes what a function of the user raises, and what the user has to mend.
        on_failed: called with each attempt that failed.
    """

    def __init__(
        self,
        pool: ServerPool,
        options: Options,
        open_link: Callable[[Server], Awaitable[Link]],
        report: Callable[[Exception], None],
        on_failed: Callable[[Server, Exception], object] | None = None,
    ) -> None:
        self._on_failed = on_failed
        self._pool = pool
        self._options = options
        self._open_link = open_link
        self._report = report
        self._reported: set[str] = set()  # on this way back
        self._tried: set[str] = set()  # addresses, in this round
        self._rounds = 0
        self._hurry: asyncio.Event | None = None
        self._is_over = False

    def ended(self, server: Server, lived: float) -> None:
        """A link to `server` is gone after `lived` seconds; the others come before it now."""
        if lived >= LASTING:
            server.failures = self._rounds = 0
            self._tried.clear()
        elif server.address in self._tried:  # not the first connection, which nobody tried to take up again
            self._failed(server)
        self._pool.move_last(server)

    def hurry(self) -> None:
        """Cut a pause short."""
        if self._hurry is not None:
            self._hurry.set()

    def stop(self) -> None:
        """Nobody wants a server any more. It is noticed too where a task cannot be cancelled: by a function
        of the user's that is asked on the way and closes the client, or swallows the cancellation.
        """
        self._is_over = True

    async def find(self, info: dict[str, Any], reason: Exception | None) -> Link:
        """Try the servers until one takes us.

        Args:
            info: what the last server said of itself, for ``reconnect_to_server_handler``.
            reason: why the last link ended.

        Raises:
            AuthorizationError: a server refused us twice in a row for the same reason, and
                ``ignore_auth_error_abort`` is off.
            NoServersError: no server is left; its cause is the last reason.
            ConnectionClosedError: `stop` was called meanwhile.
        """
        told = f": {reason}" if reason is not None else ""
        self._reported.clear()
        while len(self._pool):
            server = await self._next(info)
            self._check_wanted()
            self._tried.add(server.address)
            try:
                link = await self._open_link(server)
                self._check_wanted(link)
                return link
            except (OSError, Error) as error:
                self._check_wanted()
                reason, told = error, f"; the last: {_told(server, error)}"
                logger.info("cannot reconnect: %s", _told(server, error))
                if self._on_failed is not None:
                    self._on_failed(server, error)
                self._failed(server)
                if _refused_again(server, error) and not self._options.ignore_auth_error_abort:
                    raise
                self._report_what_to_mend(error)
        raise NoServersError(
            f"cannot reconnect to NATS: no server is left, each had max_reconnect_attempts="
            f"{self._options.max_reconnect_attempts}{told}"
        ) from reason

    def _check_wanted(self, link: Link | None = None) -> None:
        if self._is_over:
            if link is not None:
                link.abort()
            raise ConnectionClosedError("the client was closed on the way back")

    async def find_other(self, server: Server) -> Link | None:
        """Try every server but this one, once; None when none takes us. It counts as no attempt."""
        for other in self._pool:
            if other.address != server.address:
                try:
                    return await self._open_link(other)
                except (OSError, Error) as error:
                    logger.info("cannot move: %s", _told(other, error))
        return None

    def _report_what_to_mend(self, error: Exception) -> None:
        """What only the user can mend, once for each text."""
        if isinstance(error, _USERS_TO_MEND) and (text := str(error)) not in self._reported:
            self._reported.add(text)
            self._report(error)

    def _failed(self, server: Server) -> None:
        server.failures += 1
        if 0 <= self._options.max_reconnect_attempts <= server.failures:
            self._pool.discard(server)

    async def _next(self, info: dict[str, Any]) -> Server:
        handler = self._options.reconnect_to_server_handler
        if handler is not None and (chosen := await self._ask(handler, info)):
            return chosen
        untried = self._untried()
        if not untried:
            await self._pause(self._delay())
            untried = self._untried() or list(self._pool)  # the pool may have been replaced meanwhile
        return untried[0]

    def _untried(self) -> list[Server]:
        return [server for server in self._pool if server.address not in self._tried]

    async def _ask(self, handler: ReconnectHandler, info: dict[str, Any]) -> Server | None:
        """The server that the handler chose, after the delay that it asked for; None leaves it to us."""
        try:
            answer = handler(self._pool.shown(), dict(info))
            server, delay = await answer if inspect.isawaitable(answer) else answer
            seconds = _seconds(delay)
        except Exception as error:
            self._report(error)
            return None
        chosen = self._pool.get(server) if server is not None else None
        if chosen is None:
            return None
        if seconds:
            await self._sleep(seconds)
        elif chosen.address in self._tried:
            await self._pause(self._delay())
        return self._pool.get(chosen)

    async def _pause(self, seconds: float) -> None:
        """The pause between two rounds."""
        await self._sleep(seconds)
        self._tried.clear()

    async def _sleep(self, seconds: float) -> None:
        self._check_wanted()
        self._hurry = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except builtins.TimeoutError:
            pass
        finally:
            self._hurry = None

    def _delay(self) -> float:
        """Seconds to wait before the next round."""
        import random  # here, because the import of the client need not pay for it

        self._rounds += 1
        options = self._options
        if options.reconnect_delay_cb is not None:
            try:
                return _seconds(options.reconnect_delay_cb(self._rounds))
            except Exception as error:
                self._report(error)
        grown = float(options.reconnect_time_wait * (1 << min(self._rounds - 1, 30)))
        limit = max(options.max_reconnect_wait, options.reconnect_time_wait)
        is_secure = options.asks_for_tls or any(server.scheme == "tls" for server in self._pool)
        jitter = options.reconnect_jitter_tls if is_secure else options.reconnect_jitter
        return max(min(grown, limit), _LEAST_PAUSE) + random.uniform(0, jitter)


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"a delay is a number of seconds, not {value!r}")
    return float(value)


def _refused_again(server: Server, error: Exception) -> bool:
    """Whether `server` refused our credentials, and did so for the same reason the last time."""
    before, server.refusal = server.refusal, str(error) if isinstance(error, AuthorizationError) else None
    return before is not None and before == server.refusal


def _told(server: Server, error: Exception) -> str:
    """The server and why it could not be used, each once."""
    why = _why(error)
    return why if server.address in why else f"{server.address}: {why}"


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(error, OSError) and error.errno is not None:
        # asyncio puts the address into the place of the system's own words; those of a name lookup stay.
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error) or type(error).__name__
