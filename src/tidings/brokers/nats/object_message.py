"""What is known of an object, as a handler sees it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from tidings.nats.jetstream import ObjectInfo

from .message import NatsMessage

__all__ = ["NatsObjectMessage", "ObjectChange"]


class ObjectChange(NamedTuple):
    """An info in the shape of a native message: the name, no reply, and the info."""

    data: bytes
    reply: str
    entry: ObjectInfo


class NatsObjectMessage(NatsMessage):
    """That an object was put, changed or deleted; `raw` is the client's `ObjectInfo`."""

    __slots__ = ()

    native_type = ObjectInfo  # type: ignore[assignment]
    raw: ObjectInfo  # type: ignore[assignment]

    @property
    def subject(self) -> str:
        """The name of the object."""
        return self.raw.name

    @property
    def channel(self) -> str:
        """The name of the object."""
        return self.raw.name

    @property
    def name(self) -> str:
        """The name of the object."""
        return self.raw.name

    @property
    def bucket(self) -> str:
        """The store that it is in."""
        return self.raw.bucket

    @property
    def is_deleted(self) -> bool:
        """Whether it says that the object was deleted."""
        return self.raw.deleted

    @property
    def body(self) -> bytes:
        """The name of the object."""
        return self.raw.name.encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """The first value of each header of the object; `raw.headers` has all of them."""
        return MappingProxyType({name: values[0] for name, values in self.raw.headers.items() if values})

    @property
    def reply_to(self) -> str:
        """Empty: nobody waits for an answer to what was stored."""
        return ""

    @property
    def path(self) -> Mapping[str, str]:
        """Empty: a name has no parts."""
        return {}
