"""A NATS message as a handler sees it."""

from collections.abc import Mapping
from types import MappingProxyType

from tidings.messaging.message import Message
from tidings.nats import Msg, ProtocolError

from .subjects import SubjectPattern

__all__ = ["NatsMessage"]


class NatsMessage(Message[Msg]):
    """One message of a NATS subject; `raw` is the client's, `route` the pattern of the source."""

    __slots__ = ()

    native_type = Msg

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
        if not self.raw.has_headers:
            return _NO_HEADERS
        try:
            return self.raw.headers
        except ProtocolError:
            return _NO_HEADERS

    @property
    def reply_to(self) -> str:
        """The subject for an answer; empty when none is wanted."""
        return self.raw.reply

    @property
    def path(self) -> Mapping[str, str]:
        """The named parts of the subject: {"level": "info"} for "logs.{level}"."""
        pattern: SubjectPattern | None = self.route
        return pattern.match(self.raw.subject) if pattern else {}

    def note_error(self, code: str, description: str) -> None:
        """Called when it is answered with an error; a subclass may count them."""


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
