"""What can be put, in parts that chunks are cut from."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, BinaryIO, TypeAlias

from tidings.nats.jetstream.object_store.errors import InvalidObjectError
from tidings.nats.jetstream.object_store.threads import PART_SIZE, in_thread

__all__ = ["Source", "check_source", "parts_of", "size_of"]

Source: TypeAlias = (
    bytes
    | bytearray
    | memoryview
    | str
    | os.PathLike[str]
    | BinaryIO
    | io.IOBase
    | Iterable[bytes]
    | AsyncIterable[bytes]
)
"""What can be put: bytes, text that is stored as UTF-8, a path, an open binary file, an iterator of bytes."""

_BLOCKS = 64  # of a part, at most


def check_source(source: Any) -> None:
    """Refuse what cannot be put. Raises InvalidObjectError."""
    if isinstance(source, io.TextIOBase):
        raise InvalidObjectError('a file is put as bytes: open it with "rb"')
    if isinstance(source, bytes | bytearray | memoryview | str | os.PathLike) or hasattr(source, "read"):
        return
    if not isinstance(source, Iterable | AsyncIterable) or isinstance(source, dict | set):
        raise InvalidObjectError(
            "an object is put from bytes, text, a path, a binary file or an iterator of bytes, not "
            f"{type(source).__name__}"
        )


async def parts_of(source: Any, size: int) -> AsyncIterator[memoryview]:
    """The bytes of `source` in parts of one or several blocks of `size`; only the last block may be shorter.

    Raises:
        InvalidObjectError: it gives something else than bytes.
        OSError: a file cannot be read. And whatever an iterator raises.
    """
    if isinstance(source, str):
        source = source.encode()
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)  # so that it stays what it is while it is sent and hashed
    if isinstance(source, bytes):
        view, step = memoryview(source), _step(size)
        for start in range(0, len(view), step):
            yield view[start : start + step]
        return
    if isinstance(source, os.PathLike):
        file = await in_thread(open, source, "rb")
        try:
            async for part in _cut(_read(file, size), size):
                yield part
        finally:
            file.close()
        return
    parts = _read(source, size) if hasattr(source, "read") else _each(source)
    async for part in _cut(parts, size):
        yield part


def _step(size: int) -> int:
    """Bytes of a part: what is sent, and hashed, together."""
    return min(max(PART_SIZE // size, 1), _BLOCKS) * size


def size_of(source: Any) -> int | None:
    """How many bytes there will be, where that can be known. Raises OSError for a path that is not there."""
    if isinstance(source, str):
        return len(source.encode())
    if isinstance(source, bytes | bytearray | memoryview):
        return memoryview(source).nbytes
    if isinstance(source, os.PathLike):
        return os.stat(source).st_size
    return None


async def _read(file: Any, size: int) -> AsyncIterator[bytes]:
    at_once = max(PART_SIZE // size, 1) * size
    while part := await in_thread(file.read, at_once):
        yield part


async def _each(parts: Any) -> AsyncIterator[bytes]:
    if isinstance(parts, AsyncIterable):
        async for part in parts:
            yield part
    else:
        for part in parts:
            yield part


async def _cut(parts: AsyncIterator[bytes], size: int) -> AsyncIterator[memoryview]:
    step, held = _step(size), bytearray()
    async for part in parts:
        if not isinstance(part, bytes | bytearray | memoryview):
            raise InvalidObjectError(f"an object is put from bytes, not from {type(part).__name__}")
        part = bytes(part)  # which is no copy of what is bytes
        if held:
            held += part
            if len(held) < size:
                continue
            part, held = bytes(held), bytearray()
        view = memoryview(part)
        whole = len(view) - len(view) % size
        for start in range(0, whole, step):
            yield view[start : min(start + step, whole)]
        held += view[whole:]
    if held:
        yield memoryview(bytes(held))
