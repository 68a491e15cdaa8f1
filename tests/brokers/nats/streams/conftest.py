"""A stream of the test's own, and a look at it from outside of the broker."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tidings.nats import connect
from tidings.nats.jetstream import ConsumerInfo, JetStream, StoredMsg, StreamConfig


@pytest.fixture
def name() -> str:
    """A name for a stream of the test's own, and the first token of its subjects."""
    return f"T{os.urandom(6).hex()}"


class Outside:
    """A stream of all that is below its name, through connections of its own."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStream]:
        """Streams, seen from outside."""
        async with await connect(self.url) as client:
            yield client.jetstream()

    async def make(self, **config: Any) -> None:
        """Make it."""
        async with self.jetstream() as js:
            await js.create_stream(StreamConfig(name=self.name, subjects=[f"{self.name}.>"], **config))

    async def info(self, durable: str = "w") -> ConsumerInfo:
        """What the server tells of a consumer."""
        async with self.jetstream() as js:
            return await js.consumer_info(self.name, durable)

    async def consumers(self) -> list[str]:
        """The names of all."""
        async with self.jetstream() as js:
            return [each async for each in js.consumer_names(self.name)]

    async def numbers(self, durable: str = "w") -> list[int]:
        """Payloads that a consumer has for somebody else right now; they are acknowledged."""
        found: list[int] = []
        async with self.jetstream() as js:
            consumer = await js.consumer(self.name, durable)
            while messages := await consumer.fetch(1000, 5.0, no_wait=True):
                for message in messages:
                    await message.ack()
                found.extend(int(message.data) for message in messages)
                await js.api.connection.flush()
        return found

    async def put(self, count: int, subject: str = "in") -> None:
        """Store the numbers below `count`."""
        async with self.jetstream() as js:
            for number in range(count):
                await js.publish_async(f"{self.name}.{subject}", str(number).encode())
            await js.publish_async_completed()

    async def last(self, subject: str) -> StoredMsg:
        """The last message on a subject below its name."""
        async with self.jetstream() as js:
            return await (await js.stream(self.name)).get_msg(last_by_subject=f"{self.name}.{subject}")

    async def is_settled(self, durable: str = "w") -> bool:
        """Whether nothing that a consumer delivered is open. The server takes in acks a little after us."""
        return (await self.info(durable)).num_ack_pending == 0

    async def is_done(self, durable: str = "w") -> bool:
        """Whether a consumer delivered all there is, and all of it is settled."""
        info = await self.info(durable)
        return info.num_pending == 0 and info.num_ack_pending == 0 and info.delivered.consumer_seq > 0


@pytest.fixture
def stream(nats_url: str, name: str) -> Outside:
    """The stream."""
    outside = Outside(nats_url, name)
    asyncio.run(outside.make())
    return outside


async def until(reached: Callable[[], Awaitable[bool]], timeout: float = 20.0) -> None:
    """Wait for what only the server knows."""
    async with asyncio.timeout(timeout):
        while True:
            if await reached():
                return
            await asyncio.sleep(0.01)
