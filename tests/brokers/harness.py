"""What the conformance tests know of a broker, and how they wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

__all__ = ["LIMIT", "Gate", "Harness", "Order", "Seen", "soon"]

LIMIT = 20.0  # seconds that a test waits for anything
T = TypeVar("T")


class Order(BaseModel):
    id: int
    shop: str = "berlin"


class Seen(list[T], Generic[T]):
    """What handlers have seen, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def add(self, value: T) -> None:
        self.append(value)
        self._news.set()

    async def until(self, count: int) -> list[T]:
        """What was seen, once it is so many."""
        async with asyncio.timeout(LIMIT):
            while len(self) < count:
                self._news.clear()
                await self._news.wait()
        return list(self)


class Gate:
    """Holds handlers until so many are in it together, or it is opened."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def wait(self) -> None:
        self._count -= 1
        self.entered.set()
        if self._count <= 0:
            self.opened.set()
        async with asyncio.timeout(LIMIT):
            await self.opened.wait()


async def soon(reached: Callable[[], bool]) -> None:
    """Wait for what tells nobody when it is reached."""
    async with asyncio.timeout(LIMIT):
        while True:
            if reached():
                return
            await asyncio.sleep(0.01)


class Harness:
    """What a test knows of a broker; a subclass overrides what differs."""

    name = ""

    @pytest.fixture(autouse=True)
    def _names_of_its_own(self) -> None:
        """Addresses of one test are not those of another, as brokers may keep what is published."""
        self.name = f"T{os.urandom(6).hex()}"

    def broker(self, **options: Any) -> Any:
        """A broker that reaches the others of this test."""
        raise NotImplementedError

    def address(self, name: str) -> str:
        return f"{self.name}.{name}"

    def subscriber(self, broker: Any, name: str, *, queue: str = "", **options: Any) -> Any:
        """A subscriber; those of a queue share its messages, the others get all."""
        return broker.subscriber(self.address(name), queue=queue, **options)

    def publisher(self, broker: Any, name: str, **options: Any) -> Any:
        return broker.publisher(self.address(name), **options)

    async def publish(self, broker: Any, value: Any, name: str, **options: Any) -> None:
        await broker.publish(value, self.address(name), **options)

    async def request(self, broker: Any, value: Any, name: str, **options: Any) -> Any:
        return await broker.request(value, self.address(name), **options)

    def is_closed(self, client: Any) -> bool:
        """Whether a native client holds nothing of the system's any more."""
        return True

    def seen(self, broker: Any, name: str, into: Any = Any, **options: Any) -> Seen[Any]:
        """What comes to an address, as values of a type."""
        seen = Seen[Any]()

        async def see(value: Any) -> None:
            seen.add(value)

        see.__annotations__["value"] = into
        self.subscriber(broker, name, **options)(see)
        return seen
