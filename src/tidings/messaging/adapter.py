"""The contract that a broker's adapter fulfils: what messaging needs of a broker, and all of it.

An adapter holds one native client. It knows bodies, headers and addresses, and nothing of handlers,
models or results. Beside it a broker has a `Message`, a `Source` and a `Destination` of its own, a
table of its client's errors, and the class its users write, which names the options.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from .acks import Settler
from .endpoints import Destination, Source
from .errors import ConnectionLostError, PublishError
from .marks import Marks, MarkStore, MemoryMarks
from .message import Message

__all__ = ["Adapter", "Handle", "Send", "Stop"]

SourceT = TypeVar("SourceT", bound=Source, contravariant=True)
DestinationT = TypeVar("DestinationT", bound=Destination, contravariant=True)

Handle: TypeAlias = Callable[[Any], Awaitable[object]]
"""Awaited with each native message of a source, or each list of them where it has a `batch`; raises nothing
but CancelledError. As many at once as the source has workers."""
Send: TypeAlias = Callable[[bytes, Mapping[str, str]], Awaitable[object]]
"""Publishes a body with its headers. PublishError, BrokerConnectionError."""
Stop: TypeAlias = Callable[[float], Awaitable[int]]
"""Ends one source as `Adapter.close` ends all: in so many seconds, leaving so many messages."""


_OF_PROCESS = MemoryMarks()


class Adapter(ABC, Generic[SourceT, DestinationT]):
    """One native client.

    Every method raises errors of `messaging.errors` only, with the client's as their cause.
    """

    message_type: ClassVar[type[Message[Any]]]
    """The message that handlers of this broker see, declared for the native type."""
    on_lost: Callable[[ConnectionLostError], object] | None = None
    """Called when the connection has ended for good, and not by `close`."""

    waits_in_place: ClassVar[bool] = True
    """Whether there is a wait between two tries of a message that is not settled; a test need not have it."""

    # What each message costs; best written in C, with `operator.attrgetter` for example.
    body_of: Callable[[Any], bytes]
    """The payload of a native message."""
    reply_of: Callable[[Any], str]
    """The address for an answer to a native message; empty when none is wanted."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the broker is, without secrets."""

    @property
    @abstractmethod
    def advice(self) -> str:
        """What to do when there is nobody at the address."""

    @property
    @abstractmethod
    def client(self) -> Any:
        """The native client. NotConnectedError before `open` and after `close`."""

    @abstractmethod
    async def open(self) -> None:
        """Connect, trying once.

        Raises:
            BrokerRefusedError: trying again would not help.
            BrokerConnectionError: it might.
        """

    @abstractmethod
    async def close(self, timeout: float) -> int:
        """End all sources, let what was delivered be handled and published, then disconnect.

        Args:
            timeout: seconds for all of it; handlers that still run then are cancelled.

        Returns:
            How many delivered messages were not handled in that time.
        """

    @abstractmethod
    async def ping(self, timeout: float) -> bool:
        """Whether the broker answers within `timeout` seconds."""

    @abstractmethod
    async def listen(self, source: SourceT, handle: Handle) -> Stop:
        """Await `handle` with each message of the source, or each batch, as many at once as it has workers.

        The context of each worker is its own (`contextvars.Context`).
        """

    def trouble(self, stop: Stop) -> str:
        """What keeps messages from the source that `listen` gave `stop` for; empty where nothing does."""
        return ""

    @abstractmethod
    async def ready(self) -> None:
        """Return when the broker knows of every source listened to so far."""

    @abstractmethod
    def message_factory(self, source: SourceT) -> Callable[[Any], Message[Any]]:
        """What makes the messages of the source out of native ones."""

    def message_type_of(self, source: SourceT) -> type[Message[Any]]:
        """What that makes."""
        return self.message_type

    def settler(self, source: SourceT) -> Settler | None:
        """What settles the messages of the source; None where they are not settled."""
        return None

    async def marks(self, store: MarkStore) -> Marks:
        """Those of a store, opened over this connection. SetupError, StoreError."""
        return await store.open(self)

    def shared_marks(self) -> MarkStore:
        """The store for what all processes on this broker share; in this one, where it can hold none."""
        return _OF_PROCESS

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Refuse headers that cannot be sent, where sending does not. PublishError."""

    async def bury(self, message: Message[Any], address: str, headers: Mapping[str, str]) -> None:
        """Publish a message that is not settled to its dead-letter address as it is.

        `headers` go beside its own. It is there for sure when this returns, as far as the broker can say.
        Those that are settled have `Settler.bury`. PublishError, BrokerConnectionError.
        """
        raise PublishError("the broker has no dead letters for messages that are not settled")

    @abstractmethod
    def sender(self, destination: DestinationT) -> Send:
        """What publishes to the destination; headers of its own that are not given go along."""

    @abstractmethod
    async def request(
        self, destination: DestinationT, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> Message[Any]:
        """Publish and return the answer.

        Raises:
            SetupError: the timeout is no number, which `check_timeout` says before anything is sent.
            RemoteError: the other side answered with `reply_error`.
            RequestTimeoutError: no answer within `timeout` seconds.
            NoRespondersError: nobody listens to the destination.
        """

    @abstractmethod
    async def reply(self, message: Message[Any], body: bytes, headers: Mapping[str, str]) -> None:
        """Answer the requester of `message`."""

    @abstractmethod
    async def reply_error(self, message: Message[Any], code: str, description: str) -> None:
        """Answer the requester of `message` so that its request raises RemoteError."""
