"""A message of a client: what came off the wire, and a way to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tidings.nats.errors import Error
from tidings.nats.wire import HeaderInput, Message

__all__ = ["Msg", "Publisher"]


class Publisher(Protocol):
    """What a message needs of its client."""

    async def publish(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        reply: str = "",
        headers: HeaderInput | None = None,
    ) -> None:
        """Publish; see `Connection.publish`."""


class Msg(Message):
    """One message: ``subject``, ``reply``, ``data`` (bytes), ``headers`` (a multi-dict, maybe empty)."""

    __slots__ = ()

    if TYPE_CHECKING:
        owner: Publisher | None

    async def respond(
        self,
        data: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
    ) -> None:
        """Publish `data` to the reply subject.

        Raises:
            Error: the message asks for no reply, or was not delivered by a client.
            MaxPayloadError, BadHeaderError, ConnectionClosedError: as `publish` does.
        """
        if not self.reply:
            raise Error(f"the message on {self.subject!r} asks for no reply")
        if self.owner is None:
            raise Error("the message was not delivered by a client, so there is nobody to answer through")
        await self.owner.publish(self.reply, data, "", headers)
