"""The protocol of fast ingest: what a batch tells its server, and what comes back (ADR-50).

Each message tells of its place in the batch by its reply subject,
``<inbox>.<batch id>.<flow>.<gap>.<number>.<operation>.$FI``, so it needs no headers. What comes back there:

======== ============================== ===========================================================
``ack``  ``seq``, ``msgs``              stored up to this number; the next one comes after so many
``gap``  ``last_seq``, ``seq``          the numbers from the one up to, not with, the other are missing
``err``  ``seq``, ``error``             this message was refused
(none)   ``stream``, ``seq``, ``count`` the acknowledgement of the whole: the batch is over
``error``                               the batch is refused
======== ============================== ===========================================================
"""

from __future__ import annotations

import asyncio
import builtins
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tidings.nats.core.connection import Connection
from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.core.requests import is_no_responders
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import PermissionsError, ProtocolError
from tidings.nats.jetstream.acks import RETRY_ATTEMPTS, RETRY_WAIT
from tidings.nats.jetstream.errors import (
    AckLostError,
    AckTimeoutError,
    BatchClosedError,
    BatchCutError,
    BatchGapError,
    BatchMessageError,
    JetStreamError,
    NoStreamResponseError,
    UnconfirmedError,
    api_error,
)
from tidings.nats.jetstream.puback import PubAck, pub_ack
from tidings.nats.wire import HeaderInput, Msg

__all__ = ["APPEND", "COMMIT", "COMMIT_ALONE", "Flow", "FlowOptions", "GapMode", "IngestErrorHandler"]

GapMode: TypeAlias = Literal["fail", "ok"]
"""What happens when messages of a batch are lost or refused: it ends there, or goes on without them."""
IngestErrorHandler: TypeAlias = Callable[[JetStreamError], object]
"""Called with what a batch goes on without; plain or async."""

START, APPEND, COMMIT, COMMIT_ALONE, PING = range(5)

# The server forgets a batch of which it hears nothing for ten seconds.
_KEEP_ALIVE = 4.0
# A ping asks for an acknowledgement that may have been lost: so many within the timeout.
_PINGS = 3


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """How a fast batch flows; see `JetStream.fast_ingest`."""

    flow: int
    max_outstanding_acks: int
    gap: GapMode
    timeout: float


class Flow:
    """What is under way between a fast batch and its server; `FastIngest` is what its user sees.

    Args:
        connection: what it goes over.
        options: how it flows.
        on_error: hears of what it goes on without.
    """

    def __init__(
        self, connection: Connection, options: FlowOptions, on_error: IngestErrorHandler | None
    ) -> None:
        self.id = os.urandom(11).hex()
        self.count = 0
        self.acked = 0
        self.ack: PubAck | None = None
        self._connection = connection
        self._options = options
        self._on_error = on_error
        self._inbox = connection.new_inbox()
        self._head = f"{self._inbox}.{self.id}.{options.flow}.{options.gap}."
        self._channel: _Channel | None = None
        self._flow = 1  # until the server says more
        self._is_open = False
        self._is_committing = False
        self._failure: Exception | None = None
        self._last_refusal: Exception | None = None
        self._subject = ""
        self._pinged_count = -1
        self._keep_alive: asyncio.TimerHandle | None = None
        self._news: asyncio.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more messages: it was committed, or has failed."""
        return self.ack is not None or self._failure is not None

    # What we say

    async def _start(self, subject: str, payload: Any, headers: HeaderInput | None) -> None:
        """The first message; the server says whether it takes a batch, and how fast."""
        self._open()
        writer = self._connection.writer
        for attempt in range(RETRY_ATTEMPTS, -1, -1):
            writer.encoder.publish(subject, payload, f"{self._head}1.{START}.$FI", headers)
            writer.write_early()
            self.count, self._subject = 1, subject
            try:
                await self._wait(lambda: self._is_open)
                break
            except NoStreamResponseError:  # perhaps it has no leader at the moment (ADR-22)
                if not attempt:
                    raise
                await asyncio.sleep(RETRY_WAIT)
                self._failure = None
                self._open()
        self._stay_alive()

    def _open(self) -> None:
        if self._channel is None:
            self._channel = _Channel(self, self._connection, f"{self._inbox}.>")
            self._connection.registry.start(self._channel)

    def _ping(self) -> None:
        """Ask for the last acknowledgement again; the number is that of the last message."""
        self._connection.writer.encoder.publish(
            self._subject, b"", f"{self._head}{self.count}.{PING}.$FI", None
        )
        self._connection.writer.write_early()

    def _stay_alive(self) -> None:
        if self._pinged_count == self.count and self._connection.is_connected:  # nothing since the last look
            self._ping()
        self._pinged_count = self.count
        self._keep_alive = asyncio.get_running_loop().call_later(_KEEP_ALIVE, self._stay_alive)

    def _has_room(self) -> bool:
        return self.count - self.acked < self._flow * self._options.max_outstanding_acks

    async def _wait(self, is_there: Callable[[], bool]) -> None:
        """Wait for something to come of the server, and ask for it again now and then."""
        pause, progress = self._options.timeout / _PINGS, self.acked
        pings = 0
        while not is_there():
            if self._failure is not None:
                raise self._failure
            self._news = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(pause):
                    await self._news
            except builtins.TimeoutError:
                pings += 1
                if pings >= _PINGS:
                    raise self._fail(self._unheard()) from None
                if self._is_open and not self._is_committing and self._connection.is_connected:
                    self._ping()
            if self.acked > progress:
                progress, pings = self.acked, 0

    def _unheard(self) -> AckTimeoutError:
        return AckTimeoutError(f"nothing of the server within {self._options.timeout} s: {self._doubt()}")

    def _doubt(self) -> str:
        return f"messages {self.acked + 1} to {self.count} of the batch may or may not have been stored"

    def _check_open(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.ack is not None or self._is_committing:
            raise BatchClosedError("the batch is committed; make another one")

    # What comes back

    def heard(self, message: Msg) -> None:
        """Called with each message on the batch's inbox."""
        try:
            if not message.data and is_no_responders(message):
                self._unheard_of()
                return
            fields = json.loads(message.data)
            kind = fields.get("type")
            if kind == "ack":
                self._acknowledged(int(fields["seq"]), int(fields["msgs"]))
            elif kind == "gap":
                self._missed(BatchGapError(int(fields["last_seq"]), int(fields["seq"]) - 1))
            elif kind == "err":
                self._refused(int(fields["seq"]), fields["error"])
            elif kind is None:
                self._over(fields)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
            ProtocolError,
        ) as error:
            failure = ProtocolError(f"a fast batch was answered with {message.data[:80]!r}")
            failure.__cause__ = error
            self._fail(failure)

    def _unheard_of(self) -> None:
        """Nobody took a message: there is no such stream, or it has no leader at the moment."""
        nobody = NoStreamResponseError(f"no stream takes messages to {self._subject!r}")
        if not self._is_open:
            self._fail(nobody)
        elif self._options.gap == "fail":
            failure = UnconfirmedError(f"the stream has no leader: {self._doubt()}")
            failure.__cause__ = nobody
            self._fail(failure)
        # With gaps allowed a new leader goes on with the batch, and tells what is missing.

    def _acknowledged(self, number: int, flow: int) -> None:
        self._is_open = True
        self.acked = max(self.acked, number)
        self._flow = max(flow, 1)
        self._tell_news()

    def _missed(self, error: BatchGapError) -> None:
        self._last_refusal = error
        if self._options.gap == "ok":
            self._report(error)

    def _refused(self, number: int, error: Any) -> None:
        refusal = BatchMessageError(number)
        refusal.__cause__ = api_error(error)
        self._last_refusal = refusal
        if self._options.gap == "ok":
            self._report(refusal)

    def _over(self, fields: dict[str, Any]) -> None:
        """The last word on the batch."""
        if refusal := fields.get("error"):
            self._fail(api_error(refusal))
            return
        ack = pub_ack(fields)
        stored = ack.batch_size or 0
        self.acked = max(self.acked, stored)
        if ack.batch_id != self.id:
            self._fail(JetStreamError(f"the stream {ack.stream!r} stored a message and no batch"))
        elif not self._is_committing or stored < self.count:
            failure = BatchCutError(
                f"the server ended the batch after {stored} of {self.count} messages", stored, ack.seq
            )
            failure.__cause__ = self._last_refusal
            self._fail(failure)
        else:
            self.ack = ack
            self._close()

    def lost(self) -> None:
        """The link is gone, and with it, perhaps, messages that the server never got."""
        if self._options.gap == "fail" or self._is_committing or not self._is_open:
            failure = AckLostError(f"the connection went: {self._doubt()}")
            failure.__cause__ = self._connection.last_error
            self._fail(failure)

    def restored(self) -> None:
        """A new link is there: ask how far the batch has come."""
        if self._is_open and not self.is_closed:
            self._ping()

    def ended(self, failure: Exception | None) -> None:
        """The inbox is gone: the client is closed, or the server refuses it."""
        if self._channel is None:
            return  # we left it
        if failure is None:
            failure = AckLostError(f"the client was closed: {self._doubt()}")
        self._fail(failure)

    def refused_publish(self, error: PermissionsError) -> None:
        """The server refuses a subject that we publish to."""
        if error.subject == self._subject:
            self._fail(error)

    def _report(self, error: JetStreamError) -> None:
        if self._on_error is None:
            self._connection.callbacks.report(error)
        else:
            self._connection.callbacks.notify(self._on_error, error)

    def _fail(self, error: Exception) -> Exception:
        if self._failure is None and self.ack is None:
            self._failure = error
        self._close()
        return error

    def _close(self) -> None:
        """Hear nothing more: the server saves what it would say to those who sent too much."""
        if self._keep_alive is not None:
            self._keep_alive.cancel()
            self._keep_alive = None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.end()
        self._tell_news()

    def _tell_news(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class _Channel(Subscription):
    """The inbox of a batch."""

    __slots__ = ("_batch",)

    drains_last = True

    def __init__(self, batch: Flow, connection: Connection, subject: str) -> None:
        home = connection.registry
        super().__init__(home, home.next_sid(), subject, "", None, SubscriptionLimits(), 0)
        self._batch = batch

    def wake(self) -> None:
        while (message := self.pop()) is not None and not self.is_closed:
            self._batch.heard(message)

    def lost(self) -> None:
        self._batch.lost()

    def restored(self) -> None:
        self._batch.restored()

    def refuse(self, error: PermissionsError) -> None:
        if error.operation == "publish":
            self._batch.refused_publish(error)
        super().refuse(error)

    def close(self) -> None:
        super().close()
        self._batch.ended(self.failure)
