"""A message of a stream as a handler sees it, and how it is settled."""

from collections.abc import Awaitable, Coroutine, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from tidings.messaging.acks import Settler
from tidings.messaging.durations import check_seconds
from tidings.nats import Error, ProtocolError
from tidings.nats.jetstream import JetStream, JetStreamMsg
from tidings.nats.jetstream.errors import MsgAlreadyAckdError

from .burying import SEQUENCE, STREAM, own_headers
from .errors import translated
from .message import NatsMessage

__all__ = ["NatsSettler", "NatsStreamMessage"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class NatsStreamMessage(NatsMessage):
    """One message of a stream; `raw` is the client's, with all that it can do."""

    __slots__ = ()

    native_type = JetStreamMsg
    raw: JetStreamMsg

    @property
    def headers(self) -> Mapping[str, str]:
        """The first value of each header; `raw.headers` has all of them."""
        try:
            return self.raw.headers
        except ProtocolError:
            return _NO_HEADERS

    @property
    def reply_to(self) -> str:
        """Empty: nobody waits for an answer to what was stored."""
        return ""

    @property
    def stream(self) -> str:
        """The stream that it is in."""
        return self.raw.metadata.stream

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        return self.raw.metadata.sequence.stream

    @property
    def num_delivered(self) -> int:
        """How often it was delivered, this time included."""
        return self.raw.metadata.num_delivered

    @property
    def timestamp(self) -> datetime:
        """When the stream stored it."""
        return self.raw.metadata.timestamp

    @property
    def is_settled(self) -> bool:
        """Whether it was acknowledged, nacked or rejected."""
        return self.raw.is_settled

    async def ack(self) -> None:
        """Say that it is done. BrokerConnectionError where that cannot be said, as the next three."""
        await _tell(self.raw.ack())

    async def nack(self, delay: float | None = None) -> None:
        """Say that it is not done and shall come again, after so many seconds; None is at once."""
        if delay is not None:
            check_seconds(delay, "delay")
        await _tell(self.raw.nak(delay))

    async def reject(self, reason: str = "") -> None:
        """Say that it is not done and shall not come again; the reason is for the server's advisory."""
        await _tell(self.raw.term(reason))

    async def in_progress(self) -> None:
        """Say that it is being worked on: the ``ack_wait`` of the consumer begins anew."""
        await _tell(self.raw.in_progress())


async def _tell(settling: Awaitable[None]) -> None:
    try:
        await settling
    except MsgAlreadyAckdError:
        pass
    except Error as error:
        raise translated(error) from error


class NatsSettler(Settler):
    """Settles messages of a stream; its dead letters go to a subject that a stream stores."""

    def __init__(self, jetstream: JetStream, max_deliver: int) -> None:
        self._jetstream = jetstream
        self.max_deliveries = max(max_deliver, 0)

    def ack(self, native: JetStreamMsg) -> Coroutine[Any, Any, None]:
        """It is done. No coroutine of its own, since it is called for every message."""
        return native.ack()

    async def nack(self, native: JetStreamMsg, delay: float | None) -> None:
        """It shall come again."""
        await native.nak(delay)

    async def reject(self, native: JetStreamMsg, reason: str) -> None:
        """It shall not come again."""
        await native.term(reason)

    def is_settled(self, native: JetStreamMsg) -> bool:
        """Whether it is settled."""
        return native.is_settled

    def deliveries(self, native: JetStreamMsg) -> int:
        """How often it was delivered."""
        return native.metadata.num_delivered

    async def bury(self, native: JetStreamMsg, address: str, headers: Mapping[str, str]) -> None:
        """Publish it to a stream, once even if it is given up twice."""
        metadata = native.metadata
        sequence = str(metadata.sequence.stream)
        # With the time, since a stream that is deleted and made again counts from 1.
        once = f"dead-letter.{metadata.stream}.{sequence}.{metadata.timestamp_ns}.{metadata.consumer}"
        await self._jetstream.publish(
            address,
            native.data,
            headers={**own_headers(native), **headers, STREAM: metadata.stream, SEQUENCE: sequence},
            msg_id=once,
        )
