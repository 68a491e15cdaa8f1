from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.brokers.marks import MarksContract
from tidings import SetupError, StoreError
from tidings.brokers.memory import MemoryBroker
from tidings.brokers.nats import KvMarks, NatsBroker
from tidings.messaging.marks import Marks
from tidings.nats.jetstream import KeyValueConfig


class TestKvMarks(MarksContract):
    @pytest.fixture(autouse=True)
    def _server(self, nats_url: str) -> None:
        self.url, self.bucket = nats_url, f"M{os.urandom(6).hex()}"

    def marks(self) -> AbstractAsyncContextManager[Marks]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Marks]:
            async with NatsBroker(self.url) as broker:
                yield await broker.adapter.marks(KvMarks(self.bucket))

        return opened()

    async def pass_time(self) -> None:
        await asyncio.sleep(0.05)

    async def test_what_is_removed_leaves_nothing(self) -> None:
        async with NatsBroker(self.url) as broker:
            marks = await KvMarks(self.bucket).open(broker.adapter)
            revision = await marks.create("a", "x", 60.0)
            assert revision is not None
            await marks.delete("a", revision)
            stream = await broker.adapter.jetstream.stream(f"KV_{self.bucket}")
            async with asyncio.timeout(20):
                while (await stream.info()).state.messages:
                    await self.pass_time()

    async def test_over_the_connection_of_another_broker(self) -> None:
        async with NatsBroker(self.url) as nats, MemoryBroker() as memory:
            marks = await memory.adapter.marks(KvMarks(self.bucket, broker=nats))
            assert await marks.create("a", "x", 60.0)
            with pytest.raises(SetupError, match="KvMarks are in a bucket of NATS, and this broker"):
                await memory.adapter.marks(KvMarks(self.bucket))

    async def test_a_bucket_that_would_not_do_is_refused(self) -> None:
        async with NatsBroker(self.url) as broker:
            with pytest.raises(SetupError, match="give it limit_marker_ttl=1, history=1, direct=False"):
                await broker.adapter.marks(KvMarks(KeyValueConfig(bucket=self.bucket)))
            await broker.key_value(KeyValueConfig(bucket=self.bucket))
            with pytest.raises(SetupError, match="allow_msg_ttl"):
                await broker.adapter.marks(KvMarks(self.bucket))

    async def test_a_bucket_that_is_gone_does_not_answer(self) -> None:
        async with NatsBroker(self.url) as broker:
            marks = await broker.adapter.marks(KvMarks(self.bucket))
            await broker.adapter.jetstream.delete_key_value(self.bucket)
            for asking in (
                marks.create("a", "x", 1.0),
                marks.get("a"),
                marks.update("a", "x", 1, 1.0),
                marks.delete("a", 1),
            ):
                with pytest.raises(StoreError, match=f"bucket '{self.bucket}' does not answer"):
                    await asking

    async def test_an_update_with_a_ttl_of_the_client(self) -> None:
        async with NatsBroker(self.url) as broker:
            marks = await broker.adapter.marks(KvMarks(self.bucket))
            kv = await broker.key_value(self.bucket)
            last = await kv.create("a", b"one")
            await kv.update("a", b"two", last, ttl=1)
            async with asyncio.timeout(20):
                while (await marks.get("a")) is not None:
                    await self.pass_time()
