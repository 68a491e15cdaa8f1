"""A message of a stream as a consumer delivers it: what is in it, where it stands, and how it is settled."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tidings.nats.core.connection import Connection
from tidings.nats.errors import NoRespondersError, OutboundBufferLimitError, TimeoutError
from tidings.nats.jetstream.errors import JetStreamError, MsgAlreadyAckdError, NotJSMessageError
from tidings.nats.wire import HeaderInput, Msg

__all__ = ["JetStreamMsg", "Metadata", "SequencePair", "parse_metadata"]

ACK, NAK, PROGRESS, TERM, NEXT = b"+ACK", b"-NAK", b"+WPI", b"+TERM", b"+NXT"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The server lets a pull end before we give up on it, so that no message is sent to nobody.
_NEXT_SLACK = 0.9


class SequencePair(NamedTuple):
    """Where a message stands: the consumer's count of deliveries, and its sequence in the stream."""

    consumer: int
    stream: int


class Metadata(NamedTuple):
    """What the ack subject of a message says of it.

    Attributes:
        sequence: see `SequencePair`.
        num_delivered: how often it was delivered, this time included.
        num_pending: messages that the consumer has still to deliver after it.
        timestamp: when the stream stored it.
        timestamp_ns: the same in nanoseconds since 1970, exactly.
        stream, consumer: their names.
        domain: of the stream; empty when it has none, or the server does not say.
        account_hash: of the stream's account; empty when the server does not say.
    """

    sequence: SequencePair
    num_delivered: int
    num_pending: int
    timestamp: datetime
    timestamp_ns: int
    stream: str
    consumer: str
    domain: str = ""
    account_hash: str = ""


def parse_metadata(reply: str) -> Metadata:
    """Read an ack subject.

    ``$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`` has nine tokens.
    With a domain and an account in the third and fourth (ADR-53) it has eleven, or more: what stands
    behind them may grow.

    Raises:
        NotJSMessageError: it is none.
    """
    tokens = reply.split(".")
    domain = account = ""
    if tokens[:2] == ["$JS", "ACK"]:
        if len(tokens) >= 11:
            domain, account = tokens[2], tokens[3]
            del tokens[2:4], tokens[9:]
            domain = "" if domain == "_" else domain
        if len(tokens) == 9:
            with suppress(ValueError, OverflowError):  # a time that no date can hold is none
                delivered, stream_seq, consumer_seq, nanoseconds, pending = map(int, tokens[4:])
                return Metadata(
                    SequencePair(consumer_seq, stream_seq),
                    delivered,
                    pending,
                    _EPOCH + timedelta(microseconds=nanoseconds // 1000),
                    nanoseconds,
                    tokens[2],
                    tokens[3],
                    domain,
                    account,
                )
    raise NotJSMessageError(f"no consumer of a stream delivered this message: its reply subject is {reply!r}")


class JetStreamMsg(Msg):
    """A message of a stream, delivered by a consumer, to be settled once: acknowledged, refused or ended.

    The reply subject is the ack subject; the message belongs to the client until it is settled, and to nobody
    from then on. The parser makes it, since a wrapper for every message would cost as much as reading it.
    """

    __slots__ = ()

    @property
    def is_settled(self) -> bool:
        """Whether it was acknowledged, refused or ended, or cannot be: nobody waits for it."""
        return self.owner is None

    @property
    def metadata(self) -> Metadata:
        """Where the message stands, read from the ack subject at each call.

        Raises:
            NotJSMessageError: no consumer delivered it.
        """
        return parse_metadata(self.reply)

    async def ack(self) -> None:
        """Say that it is done. Returns once that is gathered for the socket; `ack_sync` waits for the server.

        While the connection is away acknowledgements are held like publishes.

        Raises:
            MsgAlreadyAckdError: it is settled already.
            NotJSMessageError: there is nobody to tell.
            OutboundBufferLimitError, ConnectionClosedError: as `Client.publish`; it is not settled then.
        """
        owner: Connection | None = self.owner
        reply = self.reply
        if owner is None or not reply:
            raise self._unsettleable()
        writer = owner.writer
        try:
            size = writer.encoder.publish(reply, ACK)
        except OutboundBufferLimitError:
            return await self._settle(ACK)  # as reconnect_buffer_policy says, which may be to wait
        self.owner = None
        if size >= writer.limit:
            await writer.relieve()

    async def ack_sync(self, timeout: float = 1.0) -> None:
        """Say that it is done and wait until the server has noted it: a double acknowledgement.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: the server did not confirm in time; it may have noted it all the same, and
                `ack_sync` can be called again.
            NoRespondersError: nobody waits for it: the consumer is gone, or its ack policy is ``none``.
            MsgAlreadyAckdError, NotJSMessageError, ConnectionClosedError: as `ack`.
        """
        await self._ask(ACK, timeout)
        self.owner = None

    async def nak(self, delay: float | timedelta | None = None) -> None:
        """Say that it was not done: the server delivers it again.

        Args:
            delay: seconds to wait before that; None is at once, or as the consumer's ``backoff`` says.

        Raises:
            ValueError: the delay is negative.
            The rest as `ack`.
        """
        if delay is None:
            return await self._settle(NAK)
        await self._settle(b'%b {"delay":%d}' % (NAK, _nanoseconds(delay)))

    async def in_progress(self) -> None:
        """Say that it is being worked on: the ``ack_wait`` of the consumer begins anew. Raises as `ack`."""
        await self._connection().publish(self.reply, PROGRESS)

    async def term(self, reason: str = "") -> None:
        """Say that it is never to be delivered again, though it was not done.

        Args:
            reason: for the advisory that the server publishes.

        Raises as `ack`.
        """
        await self._settle(b"%b %b" % (TERM, reason.encode()) if reason else TERM)

    async def next(self, timeout: float = 5.0) -> JetStreamMsg:
        """Acknowledge this message and wait for the next one of the same consumer.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: none came in time; this one is settled all the same.
            NoRespondersError: nobody waits for it: the consumer is gone, or its ack policy is ``none``.
            JetStreamError: the server refuses to deliver; the text says why.
            MsgAlreadyAckdError, NotJSMessageError, ConnectionClosedError: as `ack`.
        """
        body = b'%b {"batch":1,"expires":%d}' % (NEXT, _nanoseconds(timeout * _NEXT_SLACK))
        try:
            answer = await self._ask(body, timeout, own_inbox=True)
        except TimeoutError:
            self.owner = None
            raise TimeoutError(f"no next message within {timeout} s") from None
        self.owner = None
        if answer.reply:
            return JetStreamMsg(
                answer.subject,
                answer.reply,
                answer.data,
                header_block=answer.header_block,
                sid=answer.sid,
                owner=answer.owner,
            )
        if answer.status in (404, 408):
            raise TimeoutError(f"no next message within {timeout} s: {answer.status_text}")
        raise JetStreamError(f"no next message: {answer.status} {answer.status_text}")

    def respond(
        self, data: bytes | bytearray | memoryview | str = b"", *, headers: HeaderInput | None = None
    ) -> Coroutine[Any, Any, None]:
        """Raises JetStreamError: it is the server that would get the answer, and waits for an `ack`."""
        raise JetStreamError(
            f"the message on {self.subject!r} is of a stream: settle it with ack(), nak() or term(); "
            "an answer would go to the server"
        )

    async def _settle(self, what: bytes) -> None:
        await self._connection().publish(self.reply, what)
        self.owner = None

    async def _ask(self, what: bytes, timeout: float, own_inbox: bool = False) -> Msg:
        connection = self._connection()
        try:
            # A message comes on the subject that it was published to: it needs a subscription of its own.
            return await connection.request(self.reply, what, timeout, old_style=own_inbox)
        except NoRespondersError:
            raise NoRespondersError(
                f"nobody waits for the acknowledgement of a message on {self.subject!r}: "
                "its consumer is gone, or acknowledges nothing (ack_policy none)"
            ) from None

    def _connection(self) -> Connection:
        owner: Connection | None = self.owner
        if owner is None or not self.reply:
            raise self._unsettleable()
        return owner

    def _unsettleable(self) -> Exception:
        if self.reply:
            return MsgAlreadyAckdError(f"the message on {self.subject!r} is settled already")
        return NotJSMessageError(f"the message on {self.subject!r} has no ack subject")


def _nanoseconds(delay: float | timedelta) -> int:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if seconds < 0:
        raise ValueError(f"a delay cannot be negative: {delay!r}")
    return round(seconds * 1e9)
