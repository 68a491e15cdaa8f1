"""A request as a handler sees it."""

from __future__ import annotations

from typing import Protocol

from tidings.nats.services.errors import error_headers
from tidings.nats.wire import HeaderInput, Headers, Msg

__all__ = ["Request"]


class Counter(Protocol):
    """Whoever counts the errors of an endpoint."""

    def count_error(self, code: int | str, description: str) -> None:
        """One more."""


class Request:
    """One request to an endpoint.

    Attributes:
        msg: the message, with all that a message can do.
        data: the payload.
        is_answered: whether an answer was given.
    """

    __slots__ = ("_counter", "data", "is_answered", "msg")

    def __init__(self, msg: Msg, counter: Counter) -> None:
        self.msg = msg
        self.data: bytes = msg.data
        self.is_answered = False
        self._counter = counter

    @property
    def subject(self) -> str:
        """The subject it was sent to."""
        return self.msg.subject

    @property
    def reply(self) -> str:
        """The subject for the answer; empty when nobody waits for one."""
        return self.msg.reply

    @property
    def headers(self) -> Headers:
        """The headers; empty when there are none. ProtocolError for a header block that is none."""
        return self.msg.headers

    @property
    def has_headers(self) -> bool:
        """Whether a header block came along."""
        return self.msg.has_headers

    async def respond(
        self,
        data: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
    ) -> None:
        """Answer. May be called again, for requesters that take several replies.

        Raises:
            Error: nobody waits for an answer.
            MaxPayloadError, BadHeaderError, ConnectionClosedError: as the client's `publish`.
        """
        await self.msg.respond(data, headers=headers)
        self.is_answered = True

    async def respond_error(
        self,
        code: int | str,
        description: str,
        data: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
    ) -> None:
        """Answer with an error, which is counted; to raise `ServiceError` does the same.

        Args:
            code: a number, in the manner of HTTP.
            description: what went wrong, for people; line breaks become spaces.
            data: a payload to go with it.

        Raises:
            Error, MaxPayloadError, BadHeaderError, ConnectionClosedError: as `respond`.
        """
        self.count_error(code, description)
        await self.respond(data, headers=error_headers(code, description, headers))

    def count_error(self, code: int | str, description: str) -> None:
        """Count an error in the statistics of the endpoint without answering; `respond_error` does it too."""
        self._counter.count_error(code, description)

    def __repr__(self) -> str:
        return f"<Request {self.subject!r} {len(self.data)} bytes>"
