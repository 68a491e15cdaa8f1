"""A NATS message as a handler sees it."""

from collections.abc import Mapping

from tidings.messaging.message import Message
from tidings.nats import Headers, Msg, ProtocolError

from .subjects import SubjectPattern

__all__ = ["NatsMessage"]


class NatsMessage(Message[Msg], native=Msg):
    """One message of a NATS subject; `raw` is the client's."""

    __slots__ = ("_path", "_pattern")

    def __init__(self, raw: Msg, pattern: SubjectPattern | None = None) -> None:
        super().__init__(raw)
        self._pattern = pattern
        self._path: dict[str, str] | None = None

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
        """The first value of each header; `raw.headers` has all of them.

        Empty too where the header block is malformed, as any publisher can make it.
        """
        try:
            return self.raw.headers
        except ProtocolError:
            return Headers()

    @property
    def reply_to(self) -> str:
        """The subject for an answer; empty when none is wanted."""
        return self.raw.reply

    @property
    def path(self) -> Mapping[str, str]:
        """The named parts of the subject: {"level": "info"} for "logs.{level}"."""
        if self._path is None:
            self._path = self._pattern.match(self.raw.subject) if self._pattern else {}
        return self._path
