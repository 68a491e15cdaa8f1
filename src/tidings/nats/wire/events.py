"""What the parser reports besides messages: the control lines of the server, as values."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Err", "Event", "Info", "Ok", "Ping", "Pong"]


class _Line:
    """A control line. Two are equal when they are of one kind and say the same.

    Written out, since making dataclasses of these would take a tenth of the time of the import.
    """

    __slots__ = ()

    def _said(self) -> tuple[object, ...]:
        return ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Line) and type(self) is type(other) and self._said() == other._said()

    __hash__ = None  # type: ignore[assignment]  # INFO holds a dict

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._said()))})"


class Info(_Line):
    """``INFO {json}``: what the server is and accepts; can come at any time."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def _said(self) -> tuple[object, ...]:
        return (self.fields,)


class Ping(_Line):
    """``PING``: to be answered with PONG."""

    __slots__ = ()


class Pong(_Line):
    """``PONG``: the answer to the oldest of our PINGs."""

    __slots__ = ()


class Ok(_Line):
    """``+OK``: the answer to each command of a verbose connection."""

    __slots__ = ()


class Err(_Line):
    """``-ERR 'text'``: what the server refuses; the text without its quotes."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def _said(self) -> tuple[object, ...]:
        return (self.text,)


Event: TypeAlias = Info | Ping | Pong | Ok | Err
