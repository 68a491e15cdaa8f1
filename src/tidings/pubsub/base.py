"""`PubSubBackend`: what every messaging system is behind, and what all of them have in common."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tidings.pubsub import lifetime
from tidings.pubsub.errors import (
    ClosedError,
    ConfigError,
    ForkedError,
    LostConnectionError,
    NotSubscribedError,
    PublishError,
    PubSubError,
)
from tidings.pubsub.inbox import Inbox, Limits
from tidings.pubsub.settings import MOST_SECONDS, Settings
from tidings.pubsub.topic import AnyTopic, Topic, name_of

__all__ = ["Counters", "Held", "PubSubBackend", "as_bytes", "check_limit", "closed"]

logger = logging.getLogger("tidings.pubsub")


@dataclass(frozen=True)
class Counters:
    """What passed through a backend since it was made.

    Attributes:
        published: messages taken by `PubSubBackend.publish`.
        failed: of these, those that did not arrive, or of which nobody knows.
        received: messages that came, dropped ones included.
        dropped: of these, those that were dropped because the buffer was full, or by `close`.
        pending, pending_bytes: what is held and not yet taken.
        highest_pending: the most messages that were ever held.
    """

    published: int
    failed: int
    received: int
    dropped: int
    pending: int
    pending_bytes: int
    highest_pending: int

    @property
    def delivered(self) -> int:
        """Messages handed out by `PubSubBackend.listen`."""
        return self.received - self.dropped - self.pending


class Held:
    """A message that is acknowledged when the loop body is done with it.

    Attributes:
        data: the message.
        token: what the messaging system knows it by.
        is_taken: whether a loop body has it.
    """

    __slots__ = ("data", "is_taken", "token")

    def __init__(self, data: bytes, token: Any) -> None:
        self.data = data
        self.token = token
        self.is_taken = False

    def __len__(self) -> int:
        return len(self.data)


class PubSubBackend(ABC):
    """Publish, subscribe and listen from threads that know nothing of asyncio.

    All methods may be called from any thread. A context manager, which closes at its end.

    Args:
        settings: the config, checked.

    Attributes:
        group_id: each message goes to one member of the group; None for every subscriber.
        servers: where it is connected to, without credentials.
        topic: what was subscribed to last; None before.
        queue: what came and was not taken yet.
    """

    def __init__(self, settings: Settings, servers: list[str]) -> None:
        self.group_id: str | None = settings["group_id"]
        self.servers = servers
        self.topic: AnyTopic | None = None
        limits = Limits(settings["buffer_messages"], settings["buffer_bytes"], settings["buffer_policy"])
        self.queue: Inbox[Any] = Inbox(limits, repr(self), self._on_room)
        self._settings = settings
        # Signal handlers and finalizers may come in between anywhere, and close: see `waiting`.
        self._lock = threading.RLock()
        self._ending = threading.Lock()  # held, and never released, by who ends it
        self._subscribing = threading.Lock()
        self._names: set[str] = set()
        self._ended: Callable[[], Exception] | None = None
        self._failed = 0
        self._failure: Exception | None = None  # of a publish; the next `flush` raises it
        self._unreported = 0

    def subscribe(self, topic: AnyTopic) -> None:
        """Have `listen` hand out the messages of `topic` too. Returns when the messaging system knows of it.

        A topic that was subscribed to already stays so.

        Raises:
            TopicError: the messaging system takes no such topic.
            PubSubError: it refuses the subscription; the text says why.
            LostConnectionError, ClosedError, ForkedError: there is no connection.
        """
        self._check_open()
        name = name_of(topic)
        with self._subscribing:
            if name not in self._names:
                self._subscribe(name)
                self._names.add(name)
        self.topic = Topic(topic) if isinstance(topic, str) else topic

    @abstractmethod
    def publish(self, topic: AnyTopic, serialized_data: bytes) -> None:
        """Publish a message. Returns when it is handed to the connection.

        What one thread publishes keeps its order. When the connection cannot keep up, or is away, it waits
        for room.

        Raises:
            BackpressureError: there was none within ``publish_timeout`` seconds; it was not published.
            TopicError, MessageTooLargeError: refused as given.
            LostConnectionError, ClosedError, ForkedError: there is no connection.
        """

    def listen(self, timeout: float | None = None) -> Iterator[bytes]:
        """The messages of every topic subscribed to, as they come.

        It ends when the backend is closed, from this or another thread.

        Args:
            timeout: seconds; it ends too when no message comes for so long. None waits on.

        Raises:
            NotSubscribedError: nothing was subscribed to (a RuntimeError).
            LostConnectionError: while iterating: the connection is gone and did not come back.
            BufferFullError: while iterating: ``buffer_policy`` is "error" and the loop is too slow.
            ClosedError, ForkedError: there is no connection.
        """
        self._check_open()
        check_timeout(timeout)
        if self.topic is None:
            raise NotSubscribedError("nothing to listen to: call subscribe(topic) before listen()")
        return self._listen(timeout)

    @abstractmethod
    def flush(self, timeout: float = 10.0) -> None:
        """Wait until the messaging system has all that was published before.

        Raises:
            FlushError: it did not confirm within `timeout` seconds.
            PublishError: messages published since the last flush did not arrive.
            LostConnectionError, ClosedError, ForkedError: there is no connection.
        """

    def close(self, timeout: float = 5.0) -> None:
        """Bring out what was published and end, and so does every `listen`. Idempotent.

        Raises:
            FlushError, PublishError: not all could be brought out within `timeout` seconds; it is closed.
        """
        check_limit(timeout)
        if self._ended is not None or not self._ending.acquire(blocking=False):
            return
        self._ended = closed
        # A `listen` in another thread ends now, not when the rest is sent.
        self.queue.close()
        lifetime.discard(self)
        self._on_end(closed)
        self._finish(timeout)
        self._raise_failure()

    @property
    def counters(self) -> Counters:
        """What passed through it so far."""
        queue = self.queue
        return Counters(
            published=self._count_published(),
            failed=self._failed,
            received=queue.received,
            dropped=queue.dropped,
            pending=queue.qsize(),
            pending_bytes=queue.size,
            highest_pending=queue.highest,
        )

    @property
    def is_closed(self) -> bool:
        """Whether it can be used no more: closed, its connection lost, or made before a fork."""
        return self._ended is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except PubSubError as failure:
            if error is None:
                raise
            logger.warning("%r: %s", self, failure)

    def __repr__(self) -> str:
        group = f" group_id={self.group_id!r}" if self.group_id else ""
        return f"<{type(self).__name__} {', '.join(self.servers)}{group}>"

    # For the backends

    @abstractmethod
    def _subscribe(self, name: str) -> None:
        """Subscribe to a topic that is not subscribed to yet. Raises as `subscribe`."""

    @abstractmethod
    def _finish(self, timeout: float) -> None:
        """Bring out what was published and release everything, within `timeout` seconds. Called once."""

    def _on_end(self, error: Callable[[], Exception]) -> None:  # noqa: B027  # some need nothing
        """It was closed, or lost: who publishes, or waits for room, shall get `error`."""

    @abstractmethod
    def _abandon(self, error: Callable[[], Exception]) -> None:
        """In the child of a fork: who publishes gets `error`; touch nothing that the parent uses."""

    @abstractmethod
    def _count_published(self) -> int:
        """Messages that `publish` took."""

    def _on_room(self) -> None:  # noqa: B027
        """The buffer was full and is half empty again. Called from whichever thread takes."""

    def _settle(self, token: Any) -> None:  # noqa: B027
        """The loop body is done with the message of this token."""

    def _listen(self, timeout: float | None) -> Iterator[bytes]:
        take = self.queue.take
        while (message := take(timeout)) is not None:
            yield message
            message = None  # the frame is not held while the next one is awaited

    def _listen_and_settle(self, timeout: float | None) -> Iterator[bytes]:
        """As `_listen`, where the buffer holds `Held` messages."""
        while (held := self.queue.take(timeout)) is not None:
            held.is_taken = True
            token = held.token
            yield held.data
            held = None
            self._settle(token)

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._ended()

    def _lose(self, reason: str, cause: BaseException | None) -> None:
        """The connection is gone for good: every call raises, and so does `listen` after what is held."""

        def lost() -> LostConnectionError:
            error = LostConnectionError(f"{self!r}: {reason}; make a new one")
            error.__cause__ = cause
            return error

        if not self._ending.acquire(blocking=False):
            return
        self._ended = lost
        self.queue.fail(lost())
        self._on_end(lost)
        lifetime.discard(self)
        logger.error("%r: %s", self, reason)

    def _in_thread(self, work: Callable[[], None]) -> threading.Thread:
        """A thread that does `work`; an error that nobody expected ends the backend, not the thread alone."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                self._lose(f"{type(error).__name__}: {error}", error)

        name = f"tidings-{work.__name__.strip('_')}"
        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _note_failed(self, count: int, cause: BaseException | None, text: str) -> None:
        """So many messages that were published did not arrive."""
        with self._lock:
            self._failed += count
            self._unreported += count
            error = PublishError(f"{self!r}: {self._unreported} published messages {text}", self._unreported)
            error.__cause__ = cause
            is_first, self._failure = self._failure is None, error
        if is_first:  # told once, until somebody gets it
            logger.error("%s: %s", error, cause)

    def _raise_failure(self) -> None:
        with self._lock:
            failure, self._failure = self._failure, None
            self._unreported = 0 if failure is not None else self._unreported
        if failure is not None:
            raise failure

    def leave_to_parent(self) -> None:
        """In the child of a fork: from now on every call raises ForkedError."""
        self._lock = threading.RLock()
        self._subscribing = threading.Lock()
        self._ended = _forked
        self.queue.abandon(_forked())
        self._abandon(_forked)

    def _is_made(self) -> None:
        """The constructor is done: from now on it is closed at exit, and told of a fork."""
        lifetime.add(self)


def as_bytes(data: Any) -> bytes:
    """The bytes of a buffer. Raises TypeError when it is none."""
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(
            f"what is published is bytes, as serialize() returns, not {type(data).__name__}"
        ) from None


def check_timeout(timeout: float | None) -> None:
    """Refuse what is no number of seconds, or None for no limit. Raises ConfigError."""
    if timeout is not None:
        check_limit(timeout, "a number of seconds, or None")


def check_limit(timeout: Any, what: str = "a number of seconds") -> None:
    """Refuse what is no number of seconds. Raises ConfigError."""
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not is_number or not 0 <= timeout <= MOST_SECONDS:
        raise ConfigError(f"timeout is {what}, at most {MOST_SECONDS}, not {timeout!r}")


def closed() -> ClosedError:
    """The error of a backend that was closed by its user."""
    return ClosedError("the backend is closed; make a new one")


def _forked() -> ForkedError:
    return ForkedError(
        f"this backend was made before process {os.getpid()} was forked, and belongs to its parent; "
        "make a new one in this process"
    )
