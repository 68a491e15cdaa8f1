"""`nats.aio.msg`: a message that also carries what nats-py's does."""

from __future__ import annotations

from typing import Any, ClassVar

from tidings.nats.compat import errors
from tidings.nats.compat.border import translates, translating
from tidings.nats.core.connection import Connection
from tidings.nats.jetstream import JetStreamMsg
from tidings.nats.jetstream import Metadata as NativeMetadata
from tidings.nats.wire import HeaderInput, encode_headers
from tidings.nats.wire import Msg as WireMsg

__all__ = ["Msg"]


class Msg(JetStreamMsg):
    """A message of core NATS or of a stream: nats-py has one class for both."""

    __slots__ = ()

    Metadata: ClassVar[type[NativeMetadata]] = NativeMetadata

    class Ack:
        """The payloads of acknowledgements, and the places in an ack subject."""

        Ack = b"+ACK"
        Nak = b"-NAK"
        Progress = b"+WPI"
        Term = b"+TERM"
        Prefix0 = "$JS"
        Prefix1 = "ACK"
        Domain = 2
        AccHash = 3
        Stream = 4
        Consumer = 5
        NumDelivered = 6
        StreamSeq = 7
        ConsumerSeq = 8
        Timestamp = 9
        NumPending = 10

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As nats-py's: ``Msg(_client, subject="", reply="", data=b"", headers=None)``.

        So the tests of programs make messages. The parser makes those that arrive, which have an ``owner``.
        """
        if "owner" in kwargs:
            super().__init__(*args, **kwargs)
        else:
            self._make(*args, **kwargs)

    def _make(
        self,
        _client: Any,
        subject: str = "",
        reply: str = "",
        data: bytes = b"",
        headers: HeaderInput | None = None,
        _metadata: None = None,
        _ackd: bool = False,
        _sid: int | None = None,
    ) -> None:
        block = encode_headers(headers) if headers else None
        owner = None if _ackd else _client
        super().__init__(subject, reply, data, header_block=block, sid=_sid or 0, owner=owner)

    @property
    def _client(self) -> Any:
        return self.owner

    @property
    def headers(self) -> dict[str, str] | None:  # type: ignore[override]
        """The last value of each header, a status among them; None without headers."""
        if not self.has_headers:
            return None
        headers = super().headers
        found = {name: headers.get_all(name)[-1] for name in headers}
        if self.status:
            found["Status"] = str(self.status)
            if self.status_text:
                found["Description"] = self.status_text
        return found

    @property
    def header(self) -> dict[str, str] | None:
        """The same as `headers`."""
        return self.headers

    @property
    def is_acked(self) -> bool:
        """Whether it was acknowledged, refused or ended."""
        return self.owner is None

    @property
    def _ackd(self) -> bool:
        return self.owner is None

    @property
    def metadata(self) -> NativeMetadata:
        """Where the message stands in its stream. Raises NotJSMessageError when it is of none."""
        with translating():
            return super().metadata

    @translates
    async def respond(self, data: bytes = b"", *, headers: HeaderInput | None = None) -> None:  # type: ignore[override]
        """Publish to the reply subject; the headers of the request are not sent back."""
        if not self.reply:
            raise errors.Error("no reply subject available")
        owner: Any = self.owner
        if owner is None:
            raise errors.Error("client not set")
        await owner.publish(self.reply, data, headers=headers)

    async def ack(self) -> None:
        """Acknowledge it."""
        self._check()
        with translating():
            if isinstance(self.owner, Connection):
                await super().ack()
            else:  # made by a program, with a client of nats-py's methods
                await self._settle(self.Ack.Ack)

    async def ack_sync(self, timeout: float = 1.0) -> WireMsg:  # type: ignore[override]
        """Acknowledge it and wait until the server has noted it; its answer is returned."""
        self._check()
        with translating():
            owner: Any = self.owner
            answer: WireMsg = await owner.request(self.reply, self.Ack.Ack, timeout)
        self.owner = None
        return answer

    async def nak(self, delay: float | None = None) -> None:  # type: ignore[override]
        """Have it delivered again, after `delay` seconds."""
        self._check()
        with translating():
            await super().nak(delay or None)

    async def in_progress(self) -> None:
        """Have the ack wait begin anew."""
        if not self.reply:
            raise errors.NotJSMessageError
        with translating():
            await super().in_progress()

    async def term(self, reason: str = "") -> None:
        """Have it never delivered again."""
        self._check()
        with translating():
            await super().term(reason)

    def _check(self) -> None:
        if not self.reply:
            raise errors.NotJSMessageError
        if self.owner is None:
            raise errors.MsgAlreadyAckdError(self)
