"""Work that would hold up the loop: files, and hashes of many bytes."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

__all__ = ["PART_SIZE", "Digest", "in_thread"]

T = TypeVar("T")
_KEPT = 16 * 1024 * 1024  # bytes; glibc follows up to 32 MiB
PART_SIZE = 1024 * 1024
"""Bytes that are hashed, or read from a file, at once: fewer are done sooner than a thread begins."""


class Digest:
    """The hash of what passes. A thread works on one part while the next one comes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._gathered: list[bytes | memoryview] = []
        self._size = 0
        self._working: asyncio.Future[None] | None = None

    async def add(self, data: bytes | memoryview) -> None:
        """Take in the next bytes; waits while the thread is more than a part behind."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= PART_SIZE:
            await self._settle()
            part, self._gathered, self._size = self._gathered, [], 0
            self._working = asyncio.get_running_loop().run_in_executor(None, self._work, part)

    async def text(self) -> str:
        """As it is stored."""
        await self._settle()
        self._work(self._gathered)
        self._gathered = []
        return "SHA-256=" + urlsafe_b64encode(self._hash.digest()).decode()

    async def _settle(self) -> None:
        if self._working is not None:
            await asyncio.shield(self._working)

    def _work(self, part: list[bytes | memoryview]) -> None:
        for data in part:
            self._hash.update(data)
        part.clear()  # the executor lets go of it only after it has told that this is done


async def in_thread(call: Callable[..., T], *args: Any) -> T:
    """Call a function that waits for a disk. When cancelled, it is over before the caller goes on."""
    future = asyncio.get_running_loop().run_in_executor(None, call, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # the caller is gone
        raise


@cache
def keep_memory() -> None:
    """Have the allocator keep what chunks lay in, for those that follow.

    The thresholds from which glibc takes memory from the system, and gives it back, follow the largest block
    that was freed; by default each chunk would be touched for the first time anew, which costs as much as
    its hash. This one is never touched itself.
    """
    bytes(_KEPT)
