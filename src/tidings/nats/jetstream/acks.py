"""Acknowledgements: one subscription takes those of every publish over a connection."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Sequence
from math import inf
from time import monotonic
from typing import Any, Protocol, TypeAlias

from tidings.nats.core.connection import Connection
from tidings.nats.core.options import SubscriptionLimits, check_timeout
from tidings.nats.core.requests import is_no_responders
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import Error, PermissionsError, ProtocolError
from tidings.nats.jetstream.errors import (
    AckLostError,
    AckTimeoutError,
    ApiError,
    JetStreamError,
    NoStreamResponseError,
)
from tidings.nats.jetstream.puback import AckParser, PubAck
from tidings.nats.wire import HeaderInput, Msg

__all__ = ["RETRY_ATTEMPTS", "RETRY_WAIT", "Acks", "Sender", "Waiting", "acks_of", "is_passing"]

_NO_LIMITS = SubscriptionLimits()

# Passes by itself, so that the same message can be sent again. 10008: temporarily unavailable; 10158: a
# message with this id is just being stored; 10163: after a change of leader, the last sequence of the
# subject is not known yet.
_PASSING = frozenset({10008, 10158, 10163})

# How often, and after how many seconds, a message that no stream takes is sent again (ADR-22).
RETRY_ATTEMPTS = 2
RETRY_WAIT = 0.25
# How far a timer of the loop may be early, in seconds: uvloop counts milliseconds.
_EARLY = 0.001


class Sender(Protocol):
    """Who publishes without waiting for each acknowledgement."""

    pending: int
    """Messages that wait for theirs."""
    ack_timeout: float
    """Seconds that an acknowledgement may take."""
    is_watched: bool
    """Whether somebody waits for `pending` to fall."""

    def look(self) -> None:
        """`pending` has fallen."""

    def failed(self, waiting: Waiting, error: Exception) -> None:
        """A message was not acknowledged. Called before `pending` falls."""

    def retries(self, waiting: Waiting, sent_again: int) -> float | None:
        """Seconds until a message that nobody takes shall be sent again; None gives it up."""


Waiting: TypeAlias = tuple[asyncio.Future[PubAck], float, Sender | None, str, Any, HeaderInput | None]
"""A publish that waits: its future, when its time is over, who sent it, subject, payload, headers.

Without a sender there is no payload, but whether it is one of a batch.

A tuple, since there is one a message; nobody waits for each of those that have a sender.
"""


class Acks(Subscription):
    """The subscription for acknowledgements; each publish has a reply subject of its own.

    Every future that it hands out is completed: by the acknowledgement, by the error in its place, at its
    time, or with `AckLostError` when the connection is lost. There is one timer for all.

    Attributes:
        late: acknowledgements that nobody waited for any more.
    """

    __slots__ = (
        "_again", "_connection", "_due", "_encode", "_loop", "_parser", "_prefix", "_timer", "_tokens",
        "_waiting", "_writer", "late",
    )  # fmt: skip

    drains_last = True

    def __init__(self, connection: Connection) -> None:
        home = connection.registry
        prefix = connection.new_inbox() + "."
        super().__init__(home, home.next_sid(), prefix + "*", "", None, _NO_LIMITS, 0)
        self._connection = connection
        self._writer = connection.writer
        self._encode = connection.writer.encoder.publish
        self._loop = asyncio.get_running_loop()
        self._prefix = prefix
        self._tokens = itertools.count(1)
        self._waiting: dict[str, Waiting] = {}
        self._again: dict[str, int] = {}  # reply subject → how often its message was sent again
        self._parser = AckParser()
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self.late = 0

    # Publishing

    async def ask(
        self,
        subject: str,
        payload: Any,
        headers: HeaderInput | None,
        timeout: float,
        retries: int = 0,
        retry_wait: float = 0.0,
        in_batch: bool = False,
    ) -> PubAck:
        """Publish at once, and wait for the acknowledgement; what is refused for a moment is sent again.

        Raises:
            NoStreamResponseError, ApiError, UnconfirmedError, and what `Encoder.publish` raises.
        """
        check_timeout(timeout)
        deadline = monotonic() + timeout
        while True:
            reply, future = self.post(subject, payload, headers, deadline, in_batch)
            try:
                return await future
            except JetStreamError as error:
                if retries <= 0 or not is_passing(error) or monotonic() + retry_wait > deadline:
                    raise
            finally:
                self._waiting.pop(reply, None)
                self._check_empty()
            retries -= 1
            await asyncio.sleep(retry_wait)

    def post(
        self,
        subject: str,
        payload: Any,
        headers: HeaderInput | None,
        deadline: float,
        in_batch: bool = False,
    ) -> tuple[str, asyncio.Future[PubAck]]:
        """Publish at once; its reply subject, and the future of the acknowledgement.

        Only a message of a batch may be answered with nothing; that is a `PubAck` without a stream.
        """
        reply = f"{self._prefix}{next(self._tokens)}"
        self._encode(subject, payload, reply, headers)
        future: asyncio.Future[PubAck] = self._loop.create_future()
        self._waiting[reply] = (future, deadline, None, subject, in_batch, None)
        if deadline < self._due:
            self._arm(deadline)
        self._writer.write_early()
        return reply, future

    def post_together(
        self, subject: str, payloads: Sequence[memoryview], deadline: float
    ) -> list[asyncio.Future[PubAck]]:
        """`post` for several, which go to the socket as they lie there; nobody may change them any more.

        Returns:
            The futures; none where the socket takes nothing now, and nothing was sent: `post` them.
        """
        if max(map(len, payloads)) > self._writer.encoder.max_payload:
            return []
        replies = [f"{self._prefix}{next(self._tokens)}" for _ in payloads]
        parts: list[bytes | memoryview] = []
        for reply, payload in zip(replies, payloads, strict=True):
            parts += (f"PUB {subject} {reply} {len(payload)}\r\n".encode(), payload, b"\r\n")
        if not self._writer.write_parts(parts, (len(payloads), sum(map(len, payloads)))):
            return []
        futures: list[asyncio.Future[PubAck]] = []
        for reply in replies:
            future: asyncio.Future[PubAck] = self._loop.create_future()
            self._waiting[reply] = (future, deadline, None, subject, False, None)
            futures.append(future)
        if deadline < self._due:
            self._arm(deadline)
        return futures

    def send(
        self, sender: Sender, subject: str, payload: Any, headers: HeaderInput | None
    ) -> tuple[asyncio.Future[PubAck], int]:
        """Gather a publish; the future of its acknowledgement, and the bytes that are gathered."""
        reply = f"{self._prefix}{next(self._tokens)}"
        gathered = self._encode(subject, payload, reply, headers)
        future: asyncio.Future[PubAck] = asyncio.Future(loop=self._loop)
        deadline = monotonic() + sender.ack_timeout
        if type(payload) is not bytes and type(payload) is not str:
            payload = bytes(payload)  # the caller may change it before it has to be sent again
        self._waiting[reply] = (future, deadline, sender, subject, payload, headers)
        sender.pending += 1
        if deadline < self._due:
            self._arm(deadline)
        return future, gathered

    # What comes back

    def wake(self) -> None:
        """Called by the link when acknowledgements came."""
        pop, take, parse = self.pop, self._waiting.pop, self._parser.parse
        while (message := pop()) is not None:
            waiting = take(message.subject, None)
            if waiting is None:
                self.late += 1
                continue
            try:
                ack = parse(message.data) if message.data else _taken(message, waiting)
            except Error as error:
                self._refused(message.subject, waiting, error)
                continue
            future = waiting[0]
            if not future.done():  # as it is when it was cancelled
                future.set_result(ack)
            sender = waiting[2]
            if sender is not None:
                sender.pending -= 1
                if sender.is_watched:
                    sender.look()
        self._check_empty()

    def _refused(self, reply: str, waiting: Waiting, error: Error) -> None:
        sender = waiting[2]
        if sender is not None and is_passing(error) and not waiting[0].done():
            sent_again = self._again.get(reply, 0)
            pause = sender.retries(waiting, sent_again)
            if pause is not None:
                self._again[reply] = sent_again + 1
                self._waiting[reply] = waiting
                self._loop.call_later(pause, self._send_again, reply)
                return
        self._fail(waiting, error)
        self._again.pop(reply, None)

    def _send_again(self, reply: str) -> None:
        waiting = self._waiting.get(reply)
        if waiting is None:
            return  # given up meanwhile
        try:
            self._encode(waiting[3], waiting[4], reply, waiting[5])
        except Error as error:
            del self._waiting[reply]
            self._fail(waiting, error)

    # What does not come back

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self._loop.call_later(max(deadline - monotonic(), 0), self._sweep)

    def _sweep(self) -> None:
        """Fail those whose time is over, and come again when the next one's is."""
        self._timer, self._due = None, inf
        now = monotonic() + _EARLY
        self._give_up([reply for reply, waiting in self._waiting.items() if waiting[1] <= now], _in_time)
        due = min((waiting[1] for waiting in self._waiting.values()), default=inf)
        if due < inf:
            self._arm(due)

    def lost(self) -> None:
        """The link is gone, and with it the acknowledgements that were under way."""
        self._lose(self._connection.last_error)

    def refuse(self, error: PermissionsError) -> None:
        """The server refuses the inbox, or a publish, which fails those who published there."""
        if error.operation == "publish":
            refused = [reply for reply, waiting in self._waiting.items() if waiting[3] == error.subject]
            self._give_up(refused, lambda subject: error)
        super().refuse(error)

    def close(self) -> None:
        """Nothing comes any more: the client is closed, or the server refuses the inbox."""
        super().close()
        if self.failure is not None:
            failure = self.failure
            self._give_up(list(self._waiting), lambda subject: failure)
        self._lose(self._connection.last_error)
        if self._timer is not None:
            self._timer.cancel()

    def _lose(self, reason: Exception | None) -> None:
        def lost(subject: str) -> Exception:
            error = AckLostError(
                f"the connection went before a message to {subject!r} was acknowledged: it may or may not "
                "have been stored; publish it again with the same msg_id"
            )
            error.__cause__ = reason
            return error

        self._give_up(list(self._waiting), lost)

    def _give_up(self, replies: Collection[str], error_for: Any) -> None:
        for number, reply in enumerate(replies):
            waiting = self._waiting.pop(reply)
            self._again.pop(reply, None)
            # Of an error that nobody looks at asyncio says so in its log; the first says it for all.
            self._fail(waiting, error_for(waiting[3]), is_told=number > 0)
        self._check_empty()

    def _fail(self, waiting: Waiting, error: Exception, is_told: bool = False) -> None:
        future, sender = waiting[0], waiting[2]
        if not future.done():
            future.set_exception(error)
            if sender is not None:
                sender.failed(waiting, error)
            if sender is None or is_told:
                future.exception()  # whoever stopped waiting need not be told
        if sender is not None:
            sender.pending -= 1
            if sender.is_watched:
                sender.look()

    # Draining

    @property
    def unhandled(self) -> int:
        """Messages that were not acknowledged yet."""
        return len(self._waiting)

    def _check_empty(self) -> None:
        if self._idle is not None and not self._waiting:
            self._nudge()

    async def emptied(self) -> None:
        """Wait until all that was published is acknowledged, or cannot be any more."""
        while self._waiting and self._connection.is_connected:
            if self._idle is None:
                self._idle = self._loop.create_future()
            await asyncio.shield(self._idle)


def _taken(message: Msg, waiting: Waiting) -> PubAck:
    """An empty answer: the message is taken as one of a batch, or by nobody."""
    if is_no_responders(message):
        raise NoStreamResponseError(f"no stream takes messages to {waiting[3]!r}")
    if waiting[2] is None and waiting[4]:
        return PubAck("", 0)
    raise ProtocolError(f"who answered a message to {waiting[3]!r} is no stream: the answer is empty")


def _in_time(subject: str) -> Exception:
    return AckTimeoutError(
        f"a message to {subject!r} was not acknowledged in time: it may or may not have been stored; "
        "publish it again with the same msg_id"
    )


def is_passing(error: Exception) -> bool:
    """Whether the same message may be taken a moment later (ADR-22)."""
    if isinstance(error, ApiError):
        return error.err_code in _PASSING
    return isinstance(error, NoStreamResponseError)


def acks_of(connection: Connection) -> Acks:
    """The acknowledgements of `connection`, which all its contexts share.

    Raises:
        ConnectionClosedError: it is closed.
    """
    for sub in connection.registry:
        if isinstance(sub, Acks) and not sub.is_closed:
            return sub
    acks = Acks(connection)
    connection.registry.start(acks)
    return acks
