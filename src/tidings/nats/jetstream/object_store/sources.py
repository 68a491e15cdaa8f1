"""What can be put, as blocks of one size."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, BinaryIO, TypeAlias

from tidings.nats.jetstream.object_store.errors import InvalidObjectError
from tidings.nats.jetstream.object_store.threads import in_thread

__all__ = ["Source", "blocks_of", "check_source", "size_of"]

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

_READ = 1024 * 1024  # bytes read from a file at once, about


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


async def blocks_of(source: Any, size: int) -> AsyncIterator[bytes | memoryview]:
    """The bytes of `source` in blocks of `size`; the last may be shorter.

    Raises:
        InvalidObjectError: it gives something else than bytes.
        OSError: a file cannot be read. And whatever an iterator raises.
    """
    if isinstance(source, str):
        source = source.encode()
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)  # so that it stays what it is while it is sent and hashed
    if isinstance(source, bytes):
        view = memoryview(source)
        for start in range(0, len(view), size):
            yield view[start : start + size]
        return
    if isinstance(source, os.PathLike):
        file = await in_thread(open, source, "rb")
        try:
            async for block in _cut(_read(file, size), size):
                yield block
        finally:
            file.close()
        return
    parts = _read(source, size) if hasattr(source, "read") else _each(source)
    async for block in _cut(parts, size):
        yield block


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
    at_once = max(_READ // size, 1) * size
    while part := await in_thread(file.read, at_once):
        yield part


async def _each(parts: Any) -> AsyncIterator[bytes]:
    if isinstance(parts, AsyncIterable):
        async for part in parts:
            yield part
    else:
        for part in parts:
            yield part


async def _cut(parts: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes | memoryview]:
    held = bytearray()
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
        for start in range(0, whole, size):
            yield view[start : start + size]
        held += view[whole:]
    if held:
        yield bytes(held)
