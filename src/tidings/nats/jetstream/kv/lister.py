"""The keys of a bucket, as they come or as a list."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Self

from tidings.nats.jetstream.kv.watch import KeyWatcher

__all__ = ["KeyLister"]


class KeyLister:
    """Keys, each once: iterate with ``async for``, or await a list. Made by `KeyValue.keys`.

    Who means to stop early does so in an ``async with``, so that the server forgets it at once. A key that is
    deleted while it is listed may still be in the list.
    """

    def __init__(self, watch: Callable[[], Awaitable[KeyWatcher[Any]]]) -> None:
        self._watch = watch
        self._iterations: list[AsyncGenerator[str, None]] = []

    def __aiter__(self) -> AsyncGenerator[str, None]:
        iteration = self._iterate()
        self._iterations.append(iteration)
        return iteration

    async def _iterate(self) -> AsyncGenerator[str, None]:
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
        return [key async for key in self._iterate()]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for iteration in self._iterations:
            await iteration.aclose()
        self._iterations.clear()
