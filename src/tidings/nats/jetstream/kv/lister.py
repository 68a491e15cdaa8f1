"""The keys of a bucket, as they come or as a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

from tidings.nats.jetstream.kv.watch import KeyWatcher

__all__ = ["KeyLister"]


class KeyLister:
    """Keys, each once: iterate with ``async for``, or await a list. Made by `KeyValue.keys`.

    One that is deleted while it is listed may still be in the list.
    """

    def __init__(self, watch: Callable[[], Awaitable[KeyWatcher[Any]]]) -> None:
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[str]:
        seen: set[str] = set()
        async with await self._watch() as watcher:
            async for entry in watcher:
                if entry is None:
                    return
                # Where the reading had to begin anew, a key that was written meanwhile comes twice.
                if (key := entry.key) not in seen:
                    seen.add(key)
                    yield key

    def __await__(self) -> Generator[Any, None, list[str]]:
        return self._list().__await__()

    async def _list(self) -> list[str]:
        return [key async for key in self]
