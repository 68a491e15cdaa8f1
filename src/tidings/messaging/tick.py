"""A tick of a schedule, and the message that a handler sees in its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from .message import Message

__all__ = ["Tick", "TickMessage"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tick:
    """One time at which a handler is called.

    Attributes:
        name: of the schedule.
        scheduled: when it was due, in UTC.
        channel: the name and the times, for logs.
    """

    name: str
    scheduled: datetime
    channel: str


class TickMessage(Message[Tick]):
    """A tick for handlers, middlewares and logs that ask for a message. Its body is the scheduled time."""

    __slots__ = ()

    native_type = Tick

    @property
    def channel(self) -> str:
        """The schedule."""
        return self.raw.channel

    @property
    def body(self) -> bytes:
        """The scheduled time, as text."""
        return self.raw.scheduled.isoformat().encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """None."""
        return _NOTHING

    @property
    def reply_to(self) -> str:
        """Nobody wants an answer."""
        return ""

    @property
    def path(self) -> Mapping[str, str]:
        """None."""
        return _NOTHING
