"""An entry of a key-value bucket as a handler sees it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tidings.nats import Error
from tidings.nats.jetstream import KeyValueEntry

from .message import NatsMessage
from .subjects import SubjectPattern

__all__ = ["Change", "NatsKeyMessage"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Change(NamedTuple):
    """An entry in the shape of a native message: the body, no reply, and the entry."""

    data: bytes
    reply: str
    entry: KeyValueEntry[bytes]


class NatsKeyMessage(NatsMessage):
    """One revision of a key, or that it was removed; `raw` is the client's `KeyValueEntry`."""

    __slots__ = ()

    native_type = KeyValueEntry  # type: ignore[assignment]
    raw: KeyValueEntry[Any]  # type: ignore[assignment]

    @property
    def subject(self) -> str:
        """The key."""
        return self.raw.key

    @property
    def channel(self) -> str:
        """The key."""
        return self.raw.key

    @property
    def key(self) -> str:
        """The key."""
        return self.raw.key

    @property
    def bucket(self) -> str:
        """The bucket that it is in."""
        return self.raw.bucket

    @property
    def revision(self) -> int:
        """Its number in the bucket."""
        return self.raw.revision

    @property
    def is_deleted(self) -> bool:
        """Whether it says that the key was deleted or purged."""
        return self.raw.is_deleted

    @property
    def body(self) -> bytes:
        """The value; empty for a deletion, and where the codec cannot read it."""
        return body_of(self.raw)

    @property
    def headers(self) -> Mapping[str, str]:
        """Empty: a value has none."""
        return _NO_HEADERS

    @property
    def reply_to(self) -> str:
        """Empty: nobody waits for an answer to what was stored."""
        return ""

    @property
    def path(self) -> Mapping[str, str]:
        """The named parts of the key: {"symbol": "abc"} for "prices.{symbol}"."""
        pattern: SubjectPattern | None = self.route
        return pattern.match(self.raw.key) if pattern else {}


def body_of(entry: KeyValueEntry[bytes]) -> bytes:
    """What a handler's payload is read from."""
    if entry.is_deleted:
        return b""
    try:
        return entry.value
    except Error:
        return entry.data
