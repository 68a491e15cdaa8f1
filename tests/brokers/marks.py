"""What every store of marks does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from tests.brokers.harness import LIMIT
from tidings.messaging.marks import Mark, Marks

__all__ = ["MarksContract"]


class MarksContract:
    """A subclass opens a store, and lets time pass."""

    def marks(self) -> AbstractAsyncContextManager[Marks]:
        raise NotImplementedError

    async def pass_time(self) -> None:
        """Have a look at a mark of one second find it gone soon."""

    async def test_made_once(self) -> None:
        async with self.marks() as marks:
            assert await marks.get("a") is None
            revision = await marks.create("a", "one", 60.0)
            assert revision is not None
            assert await marks.create("a", "two", 60.0) is None
            assert await marks.get("a") == Mark("one", revision)

    async def test_of_many_who_make_one_only_one_does(self) -> None:
        async with self.marks() as marks:
            found = await asyncio.gather(*(marks.create("a", str(each), 60.0) for each in range(20)))
            (won,) = [text for text, revision in enumerate(found) if revision is not None]
            mark = await marks.get("a")
            assert mark is not None
            assert mark.text == str(won)

    async def test_changed_by_who_knows_the_last_revision(self) -> None:
        async with self.marks() as marks:
            first = await marks.create("a", "one", None)
            assert first is not None
            second = await marks.update("a", "two", first, 60.0)
            assert second is not None
            assert await marks.update("a", "three", first, 60.0) is None
            assert await marks.update("b", "none", first, 60.0) is None
            assert await marks.get("a") == Mark("two", second)

    async def test_removed_by_who_knows_the_last_revision(self) -> None:
        async with self.marks() as marks:
            first = await marks.create("a", "one", 60.0)
            assert first is not None
            await marks.delete("a", first + 1)
            assert await marks.get("a") == Mark("one", first)
            await marks.delete("a", first)
            await marks.delete("a", first)
            assert await marks.get("a") is None
            second = await marks.create("a", "two", 60.0)
            assert second is not None
            assert second > first
            assert await marks.update("a", "three", first, 60.0) is None

    async def test_forgotten_when_its_time_is_over(self) -> None:
        async with self.marks() as marks:
            first = await marks.create("short", "one", 1.0)
            assert first is not None
            changed = await marks.create("changed", "one", None)
            assert changed is not None
            assert await marks.update("changed", "two", changed, 1.0)
            kept = await marks.create("kept", "one", None)
            assert kept is not None
            async with asyncio.timeout(LIMIT):
                while await marks.get("short") or await marks.get("changed"):
                    await self.pass_time()
            assert await marks.update("short", "two", first, 1.0) is None
            assert await marks.create("short", "three", 60.0) is not None
            assert await marks.get("kept") == Mark("one", kept)

    async def test_an_update_begins_its_time_anew(self) -> None:
        async with self.marks() as marks:
            first = await marks.create("a", "one", 1.0)
            assert first is not None
            second = await marks.update("a", "two", first, None)
            assert second is not None
            assert await marks.create("marker", "one", 1.0)
            async with asyncio.timeout(LIMIT):
                while await marks.get("marker"):
                    await self.pass_time()
            assert await marks.get("a") == Mark("two", second)


def given(marks: Any) -> AbstractAsyncContextManager[Any]:
    """A store without a connection, as one that is opened."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield marks

    return opened()
