"""MessagePack, as much of it as `Data` needs: https://github.com/msgpack/msgpack/blob/master/spec.md.

None, booleans, 64-bit integers, floats, text, bytes, lists and maps. What comes from the network is checked
before it is believed: no length is taken for granted, and nothing nests deeper than a few levels.
"""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

from tidings.pubsub.errors import DataError

__all__ = ["Buffer", "pack", "unpack"]

Buffer: TypeAlias = bytes | bytearray | memoryview

_MAX_DEPTH = 32


def pack(value: Any) -> bytes:
    """`value` in MessagePack. A buffer among it is copied once, into the result.

    Raises:
        DataError: something that has no form in it; the text names the type.
    """
    parts: list[Buffer] = []
    _pack(value, parts, 0)
    return b"".join(parts)


def unpack(data: Buffer) -> Any:
    """What `data` says; bytes in it are views of `data`, not copies.

    Raises:
        DataError: it is no MessagePack, ends too early, or goes on behind its end.
    """
    reader = _Reader(memoryview(data).cast("B").toreadonly())
    value = reader.value(0)
    if reader.at != len(reader.view):
        raise DataError(f"{len(reader.view) - reader.at} bytes stand behind the end of the data")
    return value


def _pack(value: Any, parts: list[Buffer], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise DataError(f"data nests deeper than {_MAX_DEPTH} levels")
    if value is None:
        parts.append(b"\xc0")
    elif isinstance(value, bool):
        parts.append(b"\xc3" if value else b"\xc2")
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, float):
        parts.append(struct.pack(">Bd", 0xCB, value))
    elif isinstance(value, str):
        text = _utf8(value)
        parts += (_head(len(text), 0xA0, 31, (0xD9, 0xDA, 0xDB)), text)
    elif isinstance(value, bytes | bytearray | memoryview):
        view = memoryview(value)
        if not view.c_contiguous:
            view = memoryview(bytes(view))
        parts += (_head(view.nbytes, 0, -1, (0xC4, 0xC5, 0xC6)), view)
    elif isinstance(value, list | tuple):
        parts.append(_head(len(value), 0x90, 15, (None, 0xDC, 0xDD)))
        for each in value:
            _pack(each, parts, depth + 1)
    elif isinstance(value, dict):
        parts.append(_head(len(value), 0x80, 15, (None, 0xDE, 0xDF)))
        for name, each in value.items():
            _pack(name, parts, depth + 1)
            _pack(each, parts, depth + 1)
    else:
        raise DataError(f"{type(value).__name__} cannot be serialized")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"a text cannot be serialized: {error.reason}") from None


def _integer(value: int) -> bytes:
    if 0 <= value < 128:
        return bytes((value,))
    if -32 <= value < 0:
        return struct.pack(">b", value)
    if -(2**63) <= value < 2**63:
        return struct.pack(">Bq", 0xD3, value)
    if 0 <= value < 2**64:
        return struct.pack(">BQ", 0xCF, value)
    raise DataError(f"a number beyond 64 bits cannot be serialized: {value.bit_length()} bits")


def _head(size: int, fix: int, most: int, codes: tuple[int | None, int, int]) -> bytes:
    """The head of something of that size: in one byte up to `most`, else with 8, 16 or 32 bits of length."""
    short, middle, long = codes
    if size <= most:
        return bytes((fix | size,))
    if short is not None and size < 2**8:
        return struct.pack(">BB", short, size)
    if size < 2**16:
        return struct.pack(">BH", middle, size)
    if size < 2**32:
        return struct.pack(">BI", long, size)
    raise DataError(f"{size} bytes cannot be serialized: the most is 4 GiB")


_NUMBERS = {
    0xCA: ">f", 0xCB: ">d",
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_LENGTHS = {
    0xC4: ">B", 0xC5: ">H", 0xC6: ">I",
    0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
    0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I",
}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class _Reader:
    """A place in a buffer."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.at = 0

    def value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise DataError(f"data nests deeper than {_MAX_DEPTH} levels")
        code = self._take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0x90:
            return self._map(code & 15, depth)
        if code < 0xA0:
            return self._list(code & 15, depth)
        if code < 0xC0:
            return self._text(code & 31)
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            return self._number(_NUMBERS[code])
        if code not in _LENGTHS:
            raise DataError(f"byte {self.at - 1} is {code:#04x}, which begins nothing that data holds")
        size: int = self._number(_LENGTHS[code])
        if code <= 0xC6:
            return self._take(size)
        if code <= 0xDB:
            return self._text(size)
        return self._list(size, depth) if code <= 0xDD else self._map(size, depth)

    def _take(self, size: int) -> memoryview:
        start, self.at = self.at, self.at + size
        if self.at > len(self.view):
            raise DataError(f"the data ends at byte {len(self.view)}, in the middle of something")
        return self.view[start : self.at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self, size: int) -> str:
        try:
            return str(self._take(size), "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"the text that ends at byte {self.at} is no UTF-8") from None

    def _list(self, size: int, depth: int) -> list[Any]:
        self._check_room(size)
        return [self.value(depth + 1) for _ in range(size)]

    def _map(self, size: int, depth: int) -> dict[str, Any]:
        self._check_room(2 * size)
        found = {}
        for _ in range(size):
            name = self.value(depth + 1)
            if not isinstance(name, str):
                raise DataError(f"a name is a text, not {type(name).__name__}")
            found[name] = self.value(depth + 1)
        return found

    def _check_room(self, items: int) -> None:
        """Each item takes a byte at least: a length that lies is found before it is believed."""
        if self.at + items > len(self.view):
            raise DataError(f"the data ends at byte {len(self.view)}, in the middle of something")
