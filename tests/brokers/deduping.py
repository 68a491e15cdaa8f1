"""The part of the conformance tests about messages that are handled once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.brokers.harness import Gate, Harness, Seen
from tidings import AckMessage, Dedupe, MemoryMarks, Message

__all__ = ["Deduplicating", "FailingMarks"]


class FailingMarks(MemoryMarks):
    """A store that does not answer as long as it is `down`."""

    down = True

    async def create(self, key: str, text: str, seconds: float | None) -> int | None:
        if self.down:
            raise ConnectionError("no store")
        return await super().create(key, text, seconds)


class Deduplicating(Harness):
    """Duplicates, failures, keys, stores."""

    def store(self) -> Any:
        """A store that the brokers of this test share."""
        return MemoryMarks()

    async def publish_with(self, broker: Any, value: Any, key: str) -> None:
        await self.publish(broker, value, "in", headers={"order-id": key})

    async def test_a_duplicate_is_not_handled(self) -> None:
        store, seen = self.store(), Seen[int]()

        def service() -> Any:
            broker = self.broker(logger=None)

            @self.subscriber(
                broker, "in", queue="w", dedupe=Dedupe(key="header:order-id", store=store, name="n")
            )
            async def handler(number: int) -> None:
                seen.add(number)

            return broker

        async with service() as broker:
            await broker.start()
            for number, key in ((1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "c")):
                await self.publish_with(broker, number, key)
            assert await seen.until(3) == [1, 3, 5]
        async with service() as broker:
            await broker.start()
            await self.publish_with(broker, 6, "b")
            await self.publish_with(broker, 7, "d")
            assert await seen.until(4) == [1, 3, 5, 7]

    async def test_a_failed_one_is_no_duplicate(self) -> None:
        seen = Seen[int]()
        async with self.broker(logger=None) as broker:

            @self.subscriber(broker, "in", queue="w", dedupe=Dedupe(key="body:id", store=self.store()))
            async def handler(order: dict[str, int]) -> None:
                seen.add(order["try"])
                if order["try"] == 1 and seen.count(1) == 1:
                    raise RuntimeError("not yet")

            await broker.start()
            await self.publish(broker, {"id": 7, "try": 1}, "in")
            await seen.until(1)
            await self.publish(broker, {"id": 7, "try": 2}, "in")
            found = await seen.until(2)  # the first again, or the second one
            await self.publish(broker, {"id": 7, "try": 3}, "in")
            await self.publish(broker, {"id": 8, "try": 4}, "in")
            assert (await seen.until(3))[:3] == [*found, 4]

    async def test_one_that_its_handler_acknowledges_was_handled(self) -> None:
        seen = Seen[int]()
        async with self.broker(logger=None) as broker:

            @self.subscriber(
                broker, "in", queue="w", dedupe=Dedupe(key="header:order-id", store=self.store())
            )
            async def handler(number: int) -> None:
                seen.add(number)
                raise AckMessage

            await broker.start()
            await self.publish_with(broker, 1, "a")
            await self.publish_with(broker, 2, "a")
            await self.publish_with(broker, 3, "b")
            assert await seen.until(2) == [1, 3]

    async def test_two_at_once_are_handled_once(self) -> None:
        seen, gate = Seen[int](), Gate(2)
        async with self.broker(logger=None) as broker:

            @self.subscriber(
                broker, "in", queue="w", workers=3, dedupe=Dedupe(key=key_of, store=self.store())
            )
            async def handler(number: int, message: Message[Any]) -> None:
                seen.add(number)
                await gate.wait()

            await broker.start()
            await self.publish_with(broker, 1, "a")
            await asyncio.wait_for(gate.entered.wait(), 20)
            await self.publish_with(broker, 2, "a")
            await self.publish_with(broker, 3, "b")
            assert await seen.until(2) == [1, 3]
            await self.publish_with(broker, 4, "a")
            await self.publish_with(broker, 5, "c")
            assert await seen.until(3) == [1, 3, 5]

    @pytest.mark.parametrize("missing", ["refuse", "handle"])
    async def test_a_message_without_a_key(self, missing: Any) -> None:
        seen = Seen[int]()
        async with self.broker(logger=None) as broker:
            dedupe = Dedupe(key="header:order-id", store=self.store(), missing=missing)

            @self.subscriber(broker, "in", queue="w", dedupe=dedupe)
            async def handler(number: int) -> None:
                seen.add(number)

            await broker.start()
            await self.publish(broker, 1, "in")
            await self.publish(broker, 2, "in")
            await self.publish_with(broker, 3, "a")
            expected = [3] if missing == "refuse" else [1, 2, 3]
            assert await seen.until(len(expected)) == expected

    async def test_a_store_that_does_not_answer_loses_no_message(self) -> None:
        seen, store = Seen[int](), FailingMarks()
        async with self.broker(logger=None) as broker:

            @self.subscriber(broker, "in", queue="w", dedupe=Dedupe(key="header:order-id", store=store))
            async def handler(number: int) -> None:
                seen.add(number)

            await broker.start()
            await self.publish_with(broker, 1, "a")
            await self.publish_with(broker, 2, "b")
            store.down = False
            await self.publish_with(broker, 3, "c")
            assert sorted(await seen.until(3)) == [1, 2, 3]

    async def test_handlers_of_one_store_do_not_take_from_each_other(self) -> None:
        store, one, other = self.store(), Seen[int](), Seen[int]()
        dedupe = Dedupe(key="header:order-id", store=store)
        async with self.broker(logger=None) as broker:

            @self.subscriber(broker, "in", queue="one", dedupe=dedupe)
            async def first(number: int) -> None:
                one.add(number)

            @self.subscriber(broker, "in", queue="other", dedupe=dedupe)
            async def second(number: int) -> None:
                other.add(number)

            await broker.start()
            for number, key in ((1, "a"), (2, "a"), (3, "b")):
                await self.publish_with(broker, number, key)
            assert await one.until(2) == await other.until(2) == [1, 3]


async def key_of(message: Message[Any]) -> str:
    return message.headers["order-id"]
