"""Messages of streams that no server stored, and how they are settled."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

from tidings.brokers.memory.message import MemoryMsg
from tidings.messaging.acks import Settler
from tidings.nats.jetstream.errors import MsgAlreadyAckdError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.wire import encode_headers

__all__ = ["StoredMsg", "StreamSettler", "stored_msg"]


class StoredMsg(JetStreamMsg):
    """A message of a stream; `owner` is the memory server's, until it is settled."""

    __slots__ = ()

    async def ack(self) -> None:
        """Say that it is done. MsgAlreadyAckdError where it is settled, as the others."""
        await self._take().ack()

    async def ack_sync(self, timeout: float = 1.0) -> None:
        """The same: nobody is far away."""
        await self.ack()

    async def nak(self, delay: float | timedelta | None = None) -> None:
        """Say that it shall come again."""
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        if seconds is not None and seconds < 0:
            raise ValueError(f"a delay cannot be negative: {delay!r}")
        await self._take().nack(seconds)

    async def in_progress(self) -> None:
        """Nobody waits for it."""

    async def term(self, reason: str = "") -> None:
        """Say that it shall not come again."""
        await self._take().reject(reason)

    def _take(self) -> MemoryMsg:
        message: MemoryMsg | None = self.owner
        if message is None:
            raise MsgAlreadyAckdError(f"the message on {self.subject!r} is settled already")
        self.owner = None
        return message


def stored_msg(
    message: MemoryMsg, stream: str, consumer: str, sequence: int, delivery: int, time_ns: int
) -> StoredMsg:
    """A message as a consumer of a stream delivers it, with what `metadata` reads."""
    place = f"{message.deliveries}.{sequence}.{delivery}.{time_ns}.0"
    block = encode_headers(message.headers) if message.headers else None
    reply = f"$JS.ACK.{stream}.{consumer}.{place}"
    return StoredMsg(message.subject, reply, message.data, header_block=block, owner=message)


class StreamSettler(Settler):
    """Settles messages of streams.

    Args:
        publish: for dead letters.
        max_deliveries: see `Settler`.
    """

    def __init__(
        self, publish: Callable[[str, bytes, Mapping[str, str]], Awaitable[None]], max_deliveries: int
    ) -> None:
        self._publish = publish
        self.max_deliveries = max_deliveries

    def ack(self, native: JetStreamMsg) -> Coroutine[Any, Any, None]:
        """It is done."""
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
        """Publish it to the dead-letter address."""
        await self._publish(address, native.data, {**native.headers, **headers})
