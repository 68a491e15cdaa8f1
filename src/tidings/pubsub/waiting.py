"""How threads wait for each other, so that a signal handler or a finalizer may come in between anywhere.

A `threading.Condition` is held while one looks and while one tells. Python runs signal handlers, and
`__del__` of what the garbage collector finds, between any two instructions of a thread: one that closes or
publishes would wait for what its own thread holds, or tell before the thread waits. Here nothing is held.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

__all__ = ["Waiters"]

T = TypeVar("T")


class Waiters:
    """Threads that wait for something to become true."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Lock] = deque()

    def wake(self, most: int | None = None) -> None:
        """Let those who wait look again: all, or the `most` that wait longest. Called after the change."""
        with suppress(IndexError):
            for _ in range(len(self._waiting) if most is None else most):
                self._waiting.popleft().release()

    def wait(self, look: Callable[[], T | None], timeout: float | None = None) -> T | None:
        """What `look` gives, as soon as that is not None; None when it took over `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            waiter = threading.Lock()
            waiter.acquire()
            is_woken = False
            try:
                self._waiting.append(waiter)
                # Whoever changed something before this line saw nobody who waits.
                if (found := look()) is not None:
                    return found
                if deadline is None:
                    is_woken = waiter.acquire()
                elif (left := deadline - time.monotonic()) > 0:
                    is_woken = waiter.acquire(timeout=left)
                else:
                    return None
            finally:
                if not is_woken:
                    try:
                        self._waiting.remove(waiter)
                    except ValueError:
                        self.wake(1)  # we were meant and do not look: somebody else shall
