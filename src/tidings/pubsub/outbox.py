"""What threads publish, until somebody sends it: bounded, so that who publishes waits at last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from tidings.pubsub.errors import BackpressureError

__all__ = ["LIMIT", "Entry", "Outbox"]

Entry: TypeAlias = tuple[str, bytes]
"""The name of a topic, and a message."""

# Bytes gathered from which a publisher waits: enough to make each sending cheap a message.
LIMIT = 1024 * 1024
# What an entry counts for beside its payload: a million empty messages take memory too.
_OVERHEAD = 64


class Outbox:
    """Filled by any number of threads, emptied by one.

    Args:
        on_first: called when the first message is gathered after `take`, by whoever publishes it.

    Attributes:
        published: messages so far.
    """

    def __init__(self, on_first: Callable[[], object]) -> None:
        self.published = 0
        self._on_first = on_first
        self._entries: list[Entry] = []
        self._size = 0
        self._ended: Callable[[], Exception] | None = None
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)

    def publish(self, topic: str, payload: bytes, timeout: float) -> None:
        """Gather a message; waits for room, at most `timeout` seconds.

        Raises:
            BackpressureError: there was none.
            Exception: what `end` was given.
        """
        with self._lock:
            if self._size >= LIMIT or self._ended is not None:
                self._wait_for_room(timeout)
            is_first = not self._size
            self._entries.append((topic, payload))
            self._size += len(payload) + _OVERHEAD
            self.published += 1
        if is_first:
            self._on_first()

    def take(self) -> list[Entry]:
        """Everything gathered."""
        with self._lock:
            entries, self._entries = self._entries, []
            self._size = 0
            self._room.notify_all()
        return entries

    def end(self, error: Callable[[], Exception]) -> None:
        """Take no more: who waits, and who comes, gets `error`. What is gathered can still be taken."""
        with self._lock:
            self._ended = error
            self._room.notify_all()

    def abandon(self, error: Callable[[], Exception]) -> None:
        """In the child of a fork: a lock may be held by a thread that is gone."""
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._ended = error

    def _wait_for_room(self, timeout: float) -> None:
        self._on_first()  # once more: a KeyboardInterrupt may have kept the first message from telling
        self._room.wait_for(lambda: self._size < LIMIT or self._ended is not None, timeout)
        if self._ended is not None:
            raise self._ended()
        if self._size >= LIMIT:
            raise BackpressureError(
                f"for {timeout:g} s there was no room for one more message: "
                f"{self._size} bytes wait for the connection"
            )
