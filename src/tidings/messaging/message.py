"""A message as a handler sees it, whatever broker it came by."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar, overload

from .bodies.annotations import name_of
from .bodies.problems import field_errors
from .bodies.validation import reader_for
from .correlation import new_correlation_id
from .errors import DecodeError

__all__ = ["Message"]

NativeT = TypeVar("NativeT")
T = TypeVar("T")


class Message(ABC, Generic[NativeT]):
    """One message; each broker's own subclass adds what only that broker has.

    Made only for handlers that ask for something of it: everything is read from the native message
    when it is asked for.

    Attributes:
        raw: the message of the broker's client.
        route: what the adapter remembers of the source, to tell the parts of the address.
        replied: whether the requester has been answered.
    """

    __slots__ = ("_correlation_id", "raw", "replied", "route")

    native_type: ClassVar[type]
    """What `raw` is; a handler may ask for it by this type."""

    def __init__(self, raw: NativeT, route: Any = None) -> None:
        self.raw = raw
        self.route = route
        self.replied = False
        self._correlation_id = ""

    @property
    @abstractmethod
    def channel(self) -> str:
        """The address it came by: a subject, a topic, a queue."""

    @property
    @abstractmethod
    def body(self) -> bytes:
        """The payload as it was sent."""

    @property
    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """The headers; empty when there are none."""

    @property
    @abstractmethod
    def reply_to(self) -> str:
        """The address for an answer; empty when none is wanted."""

    @property
    @abstractmethod
    def path(self) -> Mapping[str, str]:
        """The named parts of the address: {"level": "info"} for "logs.{level}"."""

    @property
    def content_type(self) -> str:
        """What the body is, for example "application/json"; empty when the sender does not say."""
        headers = self.headers
        # Whose client writes header names as HTTP does, sends the second one.
        return headers.get("content-type") or headers.get("Content-Type") or ""

    @property
    def correlation_id(self) -> str:
        """What this message and all that follow from it have in common.

        A new one where it came without.
        """
        if not self._correlation_id:
            self._correlation_id = self.headers.get("correlation_id") or new_correlation_id()
        return self._correlation_id

    @overload
    async def decode(self) -> Any: ...
    @overload
    async def decode(self, into: type[T]) -> T: ...
    async def decode(self, into: Any = Any) -> Any:
        """The body as a value of the type `into`, by the rules for a handler's one parameter.

        Without a type: JSON where the content type says so or the body is JSON, text otherwise.

        Raises:
            DecodeError: the body is not of that type.
            SetupError: nobody can validate the type.
        """
        reader = _reader_for(into)
        try:
            return reader.read(self.body, self.content_type)
        except Exception as error:
            raise DecodeError(self.channel, name_of(into), field_errors(error)) from None

    # Settling. Here for a source whose messages nobody wants to hear about: a handler need not know.

    @property
    def is_settled(self) -> bool:
        """Whether nobody waits to hear what becomes of it (any more)."""
        return True

    async def ack(self) -> None:
        """Say that it is done; does nothing where it is settled, as do the next three."""

    async def nack(self, delay: float | None = None) -> None:
        """Say that it is not done and shall come again, after so many seconds; None is at once.

        ValueError for a delay that is none.
        """

    async def reject(self, reason: str = "") -> None:
        """Say that it is not done and shall not come again."""

    async def in_progress(self) -> None:
        """Say that it is being worked on and takes its time, so that it does not come again meanwhile."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.channel!r} {len(self.body)} bytes>"


_reader_for = lru_cache(maxsize=256)(reader_for)
