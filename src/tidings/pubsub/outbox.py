"""What threads publish, until somebody sends it: bounded, so that who publishes waits at last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from tidings.pubsub.errors import BackpressureError
from tidings.pubsub.waiting import Waiters

__all__ = ["LIMIT", "Entry", "Outbox"]

Entry: TypeAlias = tuple[str, bytes]
"""The name of a topic, and a message."""

# Bytes gathered from which a publisher waits: enough to make each sending cheap a message.
LIMIT = 1024 * 1024
# What an entry counts for beside its payload: a million empty messages take memory too.
_OVERHEAD = 64


class Outbox:
    """Filled by any number of threads, emptied by one.

    A signal handler or a finalizer may publish wherever it interrupts a thread: the lock is one that its
    owner may take again, and what stands below it is in order after each statement.

    Args:
        on_first: called when the first message is gathered after `take`, by whoever publishes it.
        is_emptier: whether the calling thread is the one that empties it, and cannot wait for itself.

    Attributes:
        published: messages so far.
    """

    def __init__(self, on_first: Callable[[], object], is_emptier: Callable[[], bool]) -> None:
        self.published = 0
        self._on_first = on_first
        self._is_emptier = is_emptier
        self._entries: list[Entry] = []
        self._size = 0
        self._ended: Callable[[], Exception] | None = None
        self._lock = threading.RLock()
        self._room = Waiters()

    def publish(self, topic: str, payload: bytes, timeout: float) -> None:
        """Gather a message; waits for room, at most `timeout` seconds.

        Raises:
            BackpressureError: there was none.
            Exception: what `end` was given.
        """
        deadline: float | None = None
        while True:
            with self._lock:
                if self._size < LIMIT and self._ended is None:
                    is_first = not self._size
                    self._entries.append((topic, payload))
                    self._size += len(payload) + _OVERHEAD
                    self.published += 1
                    break
            deadline = self._wait_for_room(timeout, deadline)
        if is_first:
            self._on_first()

    def take(self) -> list[Entry]:
        """Everything gathered.

        To be called until there is nothing: what a signal handler publishes in the midst of it tells nobody.
        """
        with self._lock:
            entries, self._entries = self._entries, []
            self._size = 0
        self._room.wake()
        return entries

    def end(self, error: Callable[[], Exception]) -> None:
        """Take no more: who waits, and who comes, gets `error`. What is gathered can still be taken."""
        with self._lock:
            self._ended = error
        self._room.wake()

    def abandon(self, error: Callable[[], Exception]) -> None:
        """In the child of a fork: a lock may be held by a thread that is gone."""
        self._lock = threading.RLock()
        self._room = Waiters()
        self._ended = error

    def _wait_for_room(self, timeout: float, deadline: float | None) -> float:
        """Wait until there may be room, `timeout` seconds from the first time on. Raises as `publish`."""
        if self._ended is None:
            self._on_first()  # once more: a KeyboardInterrupt may have kept the first message from telling
            if self._is_emptier():
                raise BackpressureError(
                    "there is no room for one more message, and the thread that makes it cannot wait for it; "
                    "it came here through a callback, or a handler of the log"
                )
            deadline = deadline or time.monotonic() + timeout
            left = max(deadline - time.monotonic(), 0.0)
            if not self._room.wait(lambda: self._size < LIMIT or self._ended is not None or None, left):
                raise BackpressureError(
                    f"for {timeout:g} s there was no room for one more message: "
                    f"{self._size} bytes wait for the connection"
                )
        if self._ended is not None:
            raise self._ended()
        assert deadline is not None
        return deadline
