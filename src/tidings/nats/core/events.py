"""What happens to a connection, as a stream of typed values that several can listen to."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque

from tidings.nats.errors import SlowConsumerError

__all__ = [
    "Closed",
    "Connected",
    "ConnectionEvent",
    "Disconnected",
    "ErrorReported",
    "EventStream",
    "Events",
    "LameDuck",
    "ReconnectFailed",
    "Reconnected",
    "ServersDiscovered",
    "SlowConsumer",
]

# Events held for a listener that does not read; the oldest make room.
_HELD = 1024


class ConnectionEvent:
    """Root of the events. Written out: making dataclasses of them would slow the import down."""

    __slots__: tuple[str, ...] = ()
    __match_args__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConnectionEvent) and (type(self), self._said()) == (
            type(other),
            other._said(),
        )

    __hash__ = None  # type: ignore[assignment]  # an event may hold an error

    def __repr__(self) -> str:
        said = (f"{name}={value!r}" for name, value in zip(self.__match_args__, self._said(), strict=True))
        return f"{type(self).__name__}({', '.join(said)})"

    def _said(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)


class _AtServer(ConnectionEvent):
    __slots__ = ("server",)
    __match_args__ = ("server",)

    def __init__(self, server: str) -> None:
        self.server = server


class Connected(_AtServer):
    """The first connection is up; `server` is ``nats://host:port``, without credentials."""

    __slots__ = ()


class Reconnected(_AtServer):
    """The connection is back, every subscription with it; `server` as in `Connected`."""

    __slots__ = ()


class LameDuck(_AtServer):
    """The server is about to shut down and asks its clients to leave; `server` as in `Connected`."""

    __slots__ = ()


class ReconnectFailed(ConnectionEvent):
    """An attempt to come back failed at `server`, because of `reason`; the next one follows."""

    __slots__ = ("reason", "server")
    __match_args__ = ("server", "reason")

    def __init__(self, server: str, reason: Exception) -> None:
        self.server = server
        self.reason = reason


class _WithReason(ConnectionEvent):
    __slots__ = ("reason",)
    __match_args__ = ("reason",)

    def __init__(self, reason: Exception | None) -> None:
        self.reason = reason


class Disconnected(_WithReason):
    """The connection was lost; `reason` is None when the server just closed it."""

    __slots__ = ()


class Closed(_WithReason):
    """The client is closed, and no event comes after this; `reason` is its last error, if it had one."""

    __slots__ = ()


class ServersDiscovered(ConnectionEvent):
    """The cluster made servers known; `urls` are the new ones."""

    __slots__ = ("urls",)
    __match_args__ = ("urls",)

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls


class ErrorReported(ConnectionEvent):
    """An error that no call can raise, as the error callback hears it."""

    __slots__ = ("error",)
    __match_args__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class SlowConsumer(ConnectionEvent):
    """A subscription's limit was reached; `error` says which one's, and how many messages it dropped."""

    __slots__ = ("error",)
    __match_args__ = ("error",)

    def __init__(self, error: SlowConsumerError) -> None:
        self.error = error


class EventStream:
    """The events from now on, for one listener; ``async for`` ends when the client is closed.

    Attributes:
        dropped: events lost because the listener did not read; the oldest go first.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._held: deque[ConnectionEvent] = deque()
        self._ended = False
        self._news = asyncio.Event()

    def put(self, event: ConnectionEvent) -> None:
        """Hand `event` to the listener."""
        if len(self._held) >= _HELD:
            self._held.popleft()
            self.dropped += 1
        self._held.append(event)
        self._news.set()

    def end(self) -> None:
        """No event comes any more; those held can still be read."""
        self._ended = True
        self._news.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ConnectionEvent:
        while not self._held:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._held.popleft()


class Events:
    """Hands each event to every listener. A stream that nobody holds any more is forgotten."""

    def __init__(self) -> None:
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._ended = False

    def listen(self) -> EventStream:
        """A stream of its own for one listener."""
        stream = EventStream()
        if self._ended:
            stream.end()
        self._streams.add(stream)
        return stream

    def emit(self, event: ConnectionEvent) -> None:
        """Tell every listener."""
        for stream in tuple(self._streams):
            stream.put(event)

    def emit_error(self, error: Exception) -> None:
        """Tell every listener of an error, a slow consumer by its own event."""
        self.emit(SlowConsumer(error) if isinstance(error, SlowConsumerError) else ErrorReported(error))

    def end(self) -> None:
        """No event comes any more."""
        self._ended = True
        for stream in tuple(self._streams):
            stream.end()
