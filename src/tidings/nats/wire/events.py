"""What the parser reports besides messages: the control lines of the server, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Err", "Event", "Info", "Ok", "Ping", "Pong"]


@dataclass(frozen=True, slots=True)
class Info:
    """``INFO {json}``: what the server is and accepts; can come at any time."""

    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ping:
    """``PING``: to be answered with PONG."""


@dataclass(frozen=True, slots=True)
class Pong:
    """``PONG``: the answer to the oldest of our PINGs."""


@dataclass(frozen=True, slots=True)
class Ok:
    """``+OK``: the answer to each command of a verbose connection."""


@dataclass(frozen=True, slots=True)
class Err:
    """``-ERR 'text'``: what the server refuses; the text without its quotes."""

    text: str


Event: TypeAlias = Info | Ping | Pong | Ok | Err
