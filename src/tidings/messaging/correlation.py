"""Correlation ids: unique without asking the kernel for randomness at every message."""

import os
import secrets
from itertools import count

__all__ = ["new_correlation_id"]


class _Ids:
    """A random prefix for the process, and a counter."""

    __slots__ = ("next_number", "prefix")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.prefix = secrets.token_hex(8)
        self.next_number = count(1).__next__


_ids = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.restart)


def new_correlation_id() -> str:
    """A new id: 16 hexadecimal digits of the process, a dash, and a number. Thread-safe."""
    return f"{_ids.prefix}-{_ids.next_number():x}"
