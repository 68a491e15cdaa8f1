"""What came and was not taken yet: a bounded buffer between whoever reads the network and `listen`."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

from tidings.pubsub.errors import BufferFullError
from tidings.pubsub.waiting import Waiters

__all__ = ["BufferPolicy", "Inbox", "Limits", "Sized"]

logger = logging.getLogger("tidings.pubsub")

BufferPolicy: TypeAlias = Literal["block", "drop_oldest", "error"]
"""What happens when the buffer holds as much as it may.

``block`` takes nothing more from the network until half of it is free; ``drop_oldest`` drops what has waited
longest; ``error`` drops what comes, and has `listen` raise `BufferFullError` after what is held.
"""


class Sized(Protocol):
    """A message, by what the buffer has to know of it."""

    def __len__(self) -> int:
        """Bytes."""
        ...


M = TypeVar("M", bound=Sized)


class Limits:
    """How much an inbox holds.

    Attributes:
        messages: so many.
        bytes: of payload; one message is always held, however large.
        policy: see `BufferPolicy`.
    """

    __slots__ = ("bytes", "messages", "policy")

    def __init__(self, messages: int, size: int, policy: BufferPolicy) -> None:
        self.messages = messages
        self.bytes = size
        self.policy = policy


class Inbox(Generic[M]):
    """Filled by one thread or several, emptied by any number of others.

    Taking a message costs no lock while there is one: a deque gives each message to one taker. So it is who
    fills it that keeps count of the bytes, by how many messages are gone since it looked. Nobody waits, logs
    or calls anything with the lock held, and its owner may take it again: see `waiting`.

    Args:
        limits: see `Limits`.
        name: of the backend, for the log.
        on_room: called, by whoever takes, when a full inbox with the policy ``block`` is half empty again.

    Attributes:
        received: messages that came, dropped ones included.
        dropped: messages dropped at a limit, or held when it was closed.
        highest: the most messages that were ever held.
        limits: see above.
    """

    def __init__(self, limits: Limits, name: str, on_room: Callable[[], object] = lambda: None) -> None:
        self.limits = limits
        self.received = 0
        self.dropped = 0
        self.highest = 0
        self._name = name
        self._on_room = on_room
        self._items: deque[M] = deque()
        self._sizes: deque[int] = deque()  # of the items, and of those that were taken since somebody looked
        self._size = 0  # the sum of them
        self._is_full = False
        self._owes_room = False  # it was full, and `on_room` is not called yet
        self._room_at = 0  # so few messages held, and it is full no more
        self._is_dropping = False
        self._is_closed = False
        self._failure: Exception | None = None
        self._lock = threading.RLock()
        self._takers = Waiters()
        self._fillers = Waiters()

    def qsize(self) -> int:
        """Messages held, by the name that `queue.Queue` has for it."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether none is held."""
        return not self._items

    @property
    def size(self) -> int:
        """Bytes of the messages held."""
        with self._lock:
            self._forget_taken()
            return self._size

    @property
    def is_full(self) -> bool:
        """Whether nothing shall be put in, until `on_room` is called. Only with the policy ``block``."""
        return self._is_full

    def put(self, messages: Sequence[M]) -> bool:
        """Append, never waiting, and do at a limit what the policy says. Returns `is_full`."""
        warning: str | None = None
        with self._lock:
            self.received += len(messages)
            if self._is_closed or self._failure is not None:
                self.dropped += len(messages)
                return False
            self._forget_taken()
            if not self._items:
                self._is_dropping = False  # the reader has caught up
            sizes = list(map(len, messages))
            self._sizes.extend(sizes)
            self._size += sum(sizes)
            self._items.extend(messages)
            if self._size >= self.limits.bytes or len(self._items) >= self.limits.messages:
                warning = self._keep_limits()
            self.highest = max(self.highest, len(self._items))
            is_full = self._is_full
        self._takers.wake(None if self._failure is not None else len(messages))
        if warning is not None:
            logger.warning("%s", warning)
        return is_full

    def wait_for_room(self, timeout: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Wait until it is not full, or ended, or `is_over`; False when that took over `timeout` seconds.

        Who makes `is_over` true calls `nudge`.
        """

        def look() -> bool | None:
            return not self._is_full or self._is_closed or self._failure is not None or is_over() or None

        return look() or self._fillers.wait(look, timeout) or False

    def nudge(self) -> None:
        """Let those who wait look again."""
        self._fillers.wake()
        self._takers.wake()

    def take(self, timeout: float | None = None) -> M | None:
        """The oldest message; None when it is closed, or nothing came within `timeout` seconds.

        Raises what it failed with, after what is held.
        """
        try:
            message = self._items.popleft()
        except IndexError:
            awaited = self._takers.wait(self._look, timeout)
            if not awaited:
                return None
            message = awaited[0]
        if self._is_full and len(self._items) <= self._room_at:
            self._make_room()
        return message

    def close(self) -> None:
        """No more messages: what is held is dropped, and whoever waits is told. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._is_full = False
            with suppress(IndexError):
                while True:
                    self._items.popleft()
                    self.dropped += 1
            self._forget_taken()
        self.nudge()

    def fail(self, error: Exception) -> None:
        """No more messages, because of `error`, which `take` raises after what is held."""
        with self._lock:
            if self._failure is None:
                self._failure = error
        self.nudge()

    def abandon(self, error: Exception) -> None:
        """In the child of a fork: hold nothing and fail with `error`."""
        # The lock may be held by a thread that is gone.
        self._lock = threading.RLock()
        self._takers = Waiters()
        self._fillers = Waiters()
        self._items = deque()
        self._failure = error

    def _forget_taken(self) -> None:
        """Take off the sizes of the messages that are gone."""
        if not self._items:
            self._sizes.clear()
            self._size = 0
            return
        for _ in range(len(self._sizes) - len(self._items)):
            self._size -= self._sizes.popleft()

    def _is_over(self) -> bool:
        held = len(self._items)
        return held > self.limits.messages or (self._size > self.limits.bytes and held > 1)

    def _keep_limits(self) -> str | None:
        """Do what the policy says. Returns what is to be told."""
        if self.limits.policy == "block":
            self._is_full = self._owes_room = True
            # Half, so that the network is not stopped and started for each message.
            self._room_at = min(len(self._items), self.limits.messages) // 2
            return None
        before = self.dropped
        while self._is_over():
            try:
                if self.limits.policy == "drop_oldest":
                    self._items.popleft()
                else:
                    self._items.pop()
                    self._size -= self._sizes.pop()
            except IndexError:
                break  # somebody was faster
            self.dropped += 1
            self._forget_taken()
        if self.dropped == before:
            return None
        text = (
            f"{self._name}: the reader is too slow for the buffer of {self.limits.messages} messages and "
            f"{self.limits.bytes} bytes; {self.dropped} dropped so far (buffer_policy={self.limits.policy!r})"
        )
        if self.limits.policy == "error":
            self._failure = BufferFullError(text)
        was_dropping, self._is_dropping = self._is_dropping, True
        return None if was_dropping else text  # told once, until the reader has caught up

    def _make_room(self) -> None:
        with self._lock:
            if self._is_full and len(self._items) > self._room_at:
                return  # it was filled again meanwhile
            self._is_full = False
        self._fillers.wake()
        self._on_room()
        if not self._is_full:  # after it was told: a KeyboardInterrupt may have come between
            self._owes_room = False

    def _look(self) -> tuple[M, ...] | None:
        """A message; none in the tuple when there will be no more; None while one may come."""
        with suppress(IndexError):
            return (self._items.popleft(),)
        if self._is_full or self._owes_room:  # all was taken before it was found to be full
            self._make_room()
        if self._is_closed:
            return ()
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return None
