"""Object stores with replicas: one that is behind, one that leads no more."""

from __future__ import annotations

import asyncio
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.nats.jetstream.object_store.storing import MANY, made, nothing_left_over
from tests.nats.jetstream.replicas import caught_up
from tests.proxy import Proxy

from tidings.nats import Client, connect
from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream import ObjectStore
from tidings.nats.jetstream.errors import JetStreamError
from tidings.nats.jetstream.object_store.store import Store
from tidings.nats.server import NatsCluster, NatsServer


async def half_there(client: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[ObjectStore, str]:
    """A store as a replica that is behind has it: the leader has all chunks of "a", this one five of 15.

    Returns the store and the subject of the chunks.
    """
    store = await made(client, name)
    info = await store.put("a", MANY[:100_000], chunk_size=20_000)
    digest = "SHA-256=" + urlsafe_b64encode(sha256(MANY).digest()).decode()
    whole = replace(info, size=len(MANY), chunks=15, digest=digest)
    await store.js.publish(f"$O.{name}.M.YQ==", whole.to_json(), headers={"Nats-Rollup": "sub"})
    asked: Callable[[Store, str], Awaitable[int]] = Store._count_chunks

    async def count(store: Store, nuid: str) -> int:
        assert await asked(store, nuid) >= 5
        return 15

    monkeypatch.setattr(Store, "_count_chunks", count)
    return store, f"$O.{name}.C.{info.nuid}"


@pytest.mark.parametrize("way", ["read", "iterate"])
async def test_a_replica_that_is_behind(
    nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with await connect(nats_url) as client:
        store, subject = await half_there(client, name, monkeypatch)
        result, seen = await store.get("a"), b""
        reading = asyncio.ensure_future(result.read()) if way == "read" else aiter(result)
        if isinstance(reading, AsyncIterator):
            for _ in range(5):
                seen += await anext(reading)
        for start in range(100_000, len(MANY), 20_000):
            await store.js.publish(subject, MANY[start : start + 20_000])
        if isinstance(reading, AsyncIterator):
            async for chunk in reading:
                seen += chunk
        else:
            seen = await reading
        assert seen == MANY
        await nothing_left_over(store)


async def test_a_replica_that_stays_behind(nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await connect(nats_url) as client:
        store, _ = await half_there(client, name, monkeypatch)
        with pytest.raises(TimeoutError, match="the next chunk of object 'a' did not come within"):
            await store.get_bytes("a", chunk_timeout=0.5)
        assert (await store.status()).stream_info.state.consumer_count == 0


async def test_no_leader_answers(nats_url: str, name: str) -> None:
    async with Proxy(nats_url) as proxy, await connect(proxy.url) as client:
        info = (await (await made(client, name)).status()).stream_info
        store = ObjectStore(client.jetstream(timeout=0.3), info)
        with proxy.deaf("down"):
            text = f"no reply from the leader of stream 'OBJ_{name}' within 0.3 s"
            with pytest.raises(TimeoutError, match=re.escape(text)):
                await store.get_info("a")


# Three servers


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    """Three servers that the tests of this module share."""
    with NatsServer.cluster(3, durability="fast") as servers:
        yield servers


async def test_many_who_put_one_name_on_three_servers(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as one, await connect(cluster.urls) as other:
        first = await one.jetstream(timeout=30.0).create_object_store(
            bucket=name, replicas=3, storage="memory"
        )
        second = await other.jetstream(timeout=30.0).object_store(name)
        bodies = [os.urandom(1000 + number) for number in range(30)]
        await asyncio.gather(
            *(
                (first, second)[number % 2].put("a", body, chunk_size=100)
                for number, body in enumerate(bodies)
            )
        )
        assert await second.get_bytes("a") in bodies
        await caught_up(one.jetstream(timeout=2.0), first.stream_name)
        await nothing_left_over(first)


async def test_an_object_outlives_its_leader(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls, error_cb=lambda error: None) as client:
        js = client.jetstream(timeout=30.0)
        store = await js.create_object_store(bucket=name, replicas=3, storage="memory")
        body = os.urandom(10_000_000)
        await store.put("a", body)
        async with await store.get("a") as result:
            chunks = aiter(result)
            seen = await anext(chunks)
            await js.api.request(f"STREAM.LEADER.STEPDOWN.{store.stream_name}")
            async for chunk in chunks:
                seen += chunk
        assert seen == body
        await put_persistently(store, "a", b"new")
        assert await store.get_bytes("a") == b"new"


async def put_persistently(store: ObjectStore, name: str, body: bytes) -> None:
    """Put an object again until it is stored: while there is no leader nobody takes it."""
    async with asyncio.timeout(60):
        while True:
            with suppress(JetStreamError, TimeoutError):
                await store.put(name, body)
                return
            await asyncio.sleep(0.1)


async def test_reading_while_there_is_no_leader(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls, error_cb=lambda error: None) as client:
        store = await client.jetstream(timeout=30.0).create_object_store(
            bucket=name, replicas=3, storage="memory"
        )
        await store.put("a", MANY)
        for _ in range(3):
            await store.js.api.request(f"STREAM.LEADER.STEPDOWN.{store.stream_name}")
            assert await store.get_bytes("a") == MANY
