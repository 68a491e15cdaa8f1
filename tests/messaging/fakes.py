"""A broker without a transport: messages are put in by hand, what goes out is kept in a list."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Self, Unpack

from tidings.messaging.acks import Settler
from tidings.messaging.adapter import Adapter, Handle, Send, Stop
from tidings.messaging.broker import Broker, BrokerKeywords, BrokerOptions
from tidings.messaging.endpoints import Destination, Source
from tidings.messaging.errors import BrokerConnectionError, NotConnectedError, PublishError
from tidings.messaging.message import Message
from tidings.messaging.publisher import PublisherMethod
from tidings.messaging.subscriber import SubscriberMethod


@dataclass
class Native:
    """What the fake's client would deliver."""

    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reply: str = ""
    address: str = "in"
    deliveries: int = 1
    settled: list[str] = field(default_factory=list)  # how; should be once


@dataclass
class Sent:
    """One message that went out."""

    address: str
    body: bytes
    headers: dict[str, str]
    error: tuple[str, str] | None = None


class FakeMessage(Message[Native]):
    __slots__ = ()

    native_type = Native

    @property
    def channel(self) -> str:
        return self.raw.address

    @property
    def body(self) -> bytes:
        return self.raw.data

    @property
    def headers(self) -> Mapping[str, str]:
        return self.raw.headers

    @property
    def reply_to(self) -> str:
        return self.raw.reply

    @property
    def path(self) -> Mapping[str, str]:
        return {"level": self.raw.address.rpartition(".")[2]}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSource(Source):
    address: str = field(kw_only=False)

    @property
    def channel(self) -> str:
        return self.address

    def prefixed(self, prefix: str) -> Self:
        return replace(self, address=prefix + self.address)

    def takes(self, destination: Destination) -> bool:
        return destination.channel == self.address

    @property
    def path_names(self) -> Collection[str]:
        return ["level"] if "{level}" in self.address else []


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeDestination(Destination):
    address: str = field(kw_only=False)

    @property
    def channel(self) -> str:
        return self.address

    def prefixed(self, prefix: str) -> Self:
        return replace(self, address=prefix + self.address)


class FakeSettler(Settler):
    """Notes in each message how it was settled."""

    def __init__(self) -> None:
        self.buried: list[tuple[str, Native, dict[str, str]]] = []
        self.refuses: set[str] = set()  # what raises: "ack", "bury" …

    async def ack(self, native: Native) -> None:
        self._settle(native, "ack")

    async def nack(self, native: Native, delay: float | None) -> None:
        self._settle(native, "nack" if delay is None else f"nack {delay:g}")

    async def reject(self, native: Native, reason: str) -> None:
        self._settle(native, f"reject {reason}")

    def is_settled(self, native: Native) -> bool:
        return bool(native.settled)

    def deliveries(self, native: Native) -> int:
        return native.deliveries

    async def bury(self, native: Native, address: str, headers: Mapping[str, str]) -> None:
        if "bury" in self.refuses:
            raise PublishError("no stream")
        self.buried.append((address, native, dict(headers)))

    def _settle(self, native: Native, how: str) -> None:
        if how.split()[0] in self.refuses:
            raise BrokerConnectionError("gone")
        if native.settled:
            raise RuntimeError("settled already")
        native.settled.append(how)


class FakeClient:
    """The native client."""


class FakeAdapter(Adapter[FakeSource, FakeDestination]):
    message_type = FakeMessage
    body_of = attrgetter("data")
    reply_of = attrgetter("reply")
    address = "fake://here"
    advice = "Start the fake"

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.handles: dict[str, Handle] = {}
        self.unreachable: deque[Exception] = deque()  # what the next `open`s raise
        self.refused: set[str] = set()  # addresses that nothing can be sent to
        self.left = 0  # what `close` finds not handled
        self.is_open = False
        self.settling: FakeSettler | None = None  # for all sources

    def settler(self, source: FakeSource) -> Settler | None:
        return self.settling

    @property
    def client(self) -> FakeClient:
        if not self.is_open:
            raise NotConnectedError("call connect() first")
        return FakeClient()

    async def open(self) -> None:
        if self.unreachable:
            raise self.unreachable.popleft()
        self.is_open = True

    async def close(self, timeout: float) -> int:
        self.is_open = False
        return self.left

    async def ping(self, timeout: float) -> bool:
        return self.is_open

    async def listen(self, source: FakeSource, handle: Handle) -> Stop:
        self.client  # noqa: B018  which raises before `open`
        self.handles[source.address] = handle

        async def stop(timeout: float) -> int:
            del self.handles[source.address]
            return self.left

        return stop

    async def ready(self) -> None:
        if not self.is_open:
            raise BrokerConnectionError("gone")

    def message_factory(self, source: FakeSource) -> Callable[[Any], FakeMessage]:
        return FakeMessage

    def sender(self, destination: FakeDestination) -> Send:
        async def send(body: bytes, headers: Mapping[str, str]) -> None:
            self._send(destination.address, body, {**(destination.headers or {}), **headers})

        return send

    async def request(
        self, destination: FakeDestination, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> FakeMessage:
        self._send(destination.address, body, dict(headers))
        return FakeMessage(Native(body, dict(headers)))

    async def reply(self, message: Message[Any], body: bytes, headers: Mapping[str, str]) -> None:
        self._send(message.reply_to, body, dict(headers))

    async def reply_error(self, message: Message[Any], code: str, description: str) -> None:
        self._send(message.reply_to, b"", {"correlation_id": message.correlation_id}, (code, description))

    def _send(
        self, address: str, body: bytes, headers: dict[str, str], error: tuple[str, str] | None = None
    ) -> None:
        if address in self.refused:
            raise PublishError(f"{address} refuses")
        self.sent.append(Sent(address, body, headers, error))


class FakeBroker(Broker[FakeAdapter]):
    subscriber = SubscriberMethod(FakeSource)
    publisher = PublisherMethod(FakeDestination)

    def __init__(self, **options: Unpack[BrokerKeywords]) -> None:
        super().__init__(FakeAdapter(), BrokerOptions(**options))

    async def publish(self, message: Any, address: str) -> None:
        """As the adapters' brokers do it."""
        await self.adapter.sender(FakeDestination(address))(*self.compose(message, None, ""))

    async def deliver(self, data: bytes | Native, address: str = "in") -> None:
        """Have the handler of an address handle a message."""
        native = data if isinstance(data, Native) else Native(data, address=address)
        await self.adapter.handles[address](native)

    @property
    def sent(self) -> list[Sent]:
        """What went out."""
        return self.adapter.sent
