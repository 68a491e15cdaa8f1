"""A message of the memory broker, as it is delivered and as a handler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from tidings.messaging.durations import check_seconds
from tidings.messaging.message import Message
from tidings.messaging.subjects import SubjectPattern

__all__ = ["NO_HEADERS", "LastTry", "MemoryMessage", "MemoryMsg", "TakesBack"]


NO_HEADERS: Mapping[str, str] = MappingProxyType({})
"""Of a message that was published without."""


class TakesBack(Protocol):
    """Where a message goes that was not handled: the inbox that it came from."""

    def take_back(self, message: MemoryMsg, delay: float) -> None:
        """Deliver it again, in so many seconds."""


class MemoryMsg:
    """One message in one inbox.

    Attributes:
        subject: the subject it was published to.
        data: the payload.
        headers: as they were published.
        reply: where an answer goes; empty when none is wanted.
        inbox: where it goes when it is nacked; None once it is settled, and for an answer.
        deliveries: how often it was delivered, this time included.
    """

    __slots__ = ("data", "deliveries", "headers", "inbox", "reply", "subject")

    def __init__(
        self,
        subject: str,
        data: bytes,
        headers: Mapping[str, str],
        reply: str = "",
        inbox: TakesBack | None = None,
        deliveries: int = 1,
    ) -> None:
        self.subject = subject
        self.data = data
        self.headers = headers
        self.reply = reply
        self.inbox = inbox
        self.deliveries = deliveries

    @property
    def is_settled(self) -> bool:
        """Whether it was acknowledged, nacked or rejected, or nobody wants to know."""
        return self.inbox is None

    async def ack(self) -> None:
        """Say that it is done; does nothing where it is settled, as do the next two."""
        self.inbox = None

    async def nack(self, delay: float | None = None) -> None:
        """Say that it shall come again, after so many seconds; None is at once."""
        if delay is not None:
            check_seconds(delay, "delay")
        inbox, self.inbox = self.inbox, None
        if inbox is not None:
            inbox.take_back(self, delay or 0.0)

    async def reject(self, reason: str = "") -> None:
        """Say that it shall not come again."""
        self.inbox = None

    def again(self, inbox: TakesBack, *, is_last: bool = False) -> MemoryMsg:
        """The same for its next delivery; this one stays settled, in whoever's hands it is."""
        make = LastTry if is_last else MemoryMsg
        return make(self.subject, self.data, self.headers, self.reply, inbox, self.deliveries + 1)

    def __repr__(self) -> str:
        return f"<MemoryMsg {self.subject!r} {len(self.data)} bytes>"


class LastTry(MemoryMsg):
    """A message that comes again for the last time, because nobody will be there later."""

    __slots__ = ()


class MemoryMessage(Message[MemoryMsg]):
    """One message of a subject; `raw` is the memory broker's, `route` the pattern of the source."""

    __slots__ = ()

    native_type = MemoryMsg

    @property
    def subject(self) -> str:
        """The subject it was published to."""
        return self.raw.subject

    @property
    def channel(self) -> str:
        """The subject."""
        return self.raw.subject

    @property
    def body(self) -> bytes:
        """The payload as it was sent."""
        return self.raw.data

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self.raw.headers

    @property
    def reply_to(self) -> str:
        """The subject for an answer; empty when none is wanted."""
        return self.raw.reply

    @property
    def path(self) -> Mapping[str, str]:
        """The named parts of the subject: {"level": "info"} for "logs.{level}"."""
        pattern: SubjectPattern | None = self.route
        return pattern.match(self.raw.subject) if pattern else {}

    @property
    def num_delivered(self) -> int:
        """How often it was delivered, this time included."""
        return self.raw.deliveries

    @property
    def is_settled(self) -> bool:
        """Whether it was acknowledged, nacked or rejected."""
        return self.raw.is_settled

    async def ack(self) -> None:
        """Say that it is done."""
        await self.raw.ack()

    async def nack(self, delay: float | None = None) -> None:
        """Say that it is not done and shall come again, after so many seconds; None is at once."""
        await self.raw.nack(delay)

    async def reject(self, reason: str = "") -> None:
        """Say that it is not done and shall not come again."""
        await self.raw.reject(reason)
