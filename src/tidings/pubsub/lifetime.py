"""The ends that nobody asks for: the interpreter's exit, and a fork."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["Living", "add", "after_all", "discard"]

logger = logging.getLogger("tidings.pubsub")

# Seconds that all backends left open have at exit to bring out what was published.
_EXIT_PATIENCE = 3.0


class Living(Protocol):
    """A backend that is open."""

    def close(self, timeout: float) -> None:
        """Bring out what was published and end, within `timeout` seconds."""

    def leave_to_parent(self) -> None:
        """In the child of a fork: be of no use, and touch nothing that is shared with the parent."""


_alive: weakref.WeakSet[Living] = weakref.WeakSet()
_lock = threading.RLock()  # again by its owner: a signal handler may close
_at_exit: list[Callable[[], None]] = []
_in_child: list[Callable[[], None]] = []


def add(backend: Living) -> None:
    """Close `backend` at exit."""
    with _lock:
        _alive.add(backend)


def discard(backend: Living) -> None:
    """It is closed already."""
    with _lock:
        _alive.discard(backend)


def after_all(*, at_exit: Callable[[], None], in_child: Callable[[], None]) -> None:
    """Call these after all backends were told of the interpreter's exit, or of a fork."""
    _at_exit.append(at_exit)
    _in_child.append(in_child)


def _exit() -> None:
    deadline = time.monotonic() + _EXIT_PATIENCE
    with _lock:
        living = list(_alive)
    for backend in living:
        try:
            backend.close(max(deadline - time.monotonic(), 0.0))
        except Exception as error:  # the others are to be closed too
            logger.error("at exit: %s", error)
    for end in _at_exit:
        end()


def _forked() -> None:
    global _alive, _lock
    _lock = threading.RLock()  # it may be held by a thread that is gone
    living, _alive = list(_alive), weakref.WeakSet()
    for forget in _in_child:
        forget()
    for backend in living:
        backend.leave_to_parent()


atexit.register(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
