"""Buckets on three servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.nats.jetstream.replicas import caught_up

from tidings.nats import connect
from tidings.nats.jetstream import KeyValue
from tidings.nats.jetstream.errors import AckTimeoutError, NoStreamResponseError
from tidings.nats.jetstream.kv.errors import KeyExistsError, KeyWrongLastSequenceError
from tidings.nats.server import NatsCluster, NatsServer

MANY = 400


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    """Three servers that the tests of this module share."""
    with NatsServer.cluster(3, durability="fast") as servers:
        yield servers


async def test_of_many_who_create_at_once_one_does(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as one, await connect(cluster.urls) as other:
        first = await one.jetstream(timeout=30.0).create_key_value(bucket=name, replicas=3, storage="memory")
        second = await other.jetstream(timeout=30.0).key_value(name)
        await first.put("there", b"x")
        for key in ("new", "deleted"):
            if key == "deleted":
                await first.put(key, b"x")
                await first.delete(key)
            found = await asyncio.gather(
                *((first, second)[number % 2].create(key, str(number)) for number in range(MANY)),
                return_exceptions=True,
            )
            winners = [number for number, each in enumerate(found) if isinstance(each, int)]
            assert len(winners) == 1
            assert sum(isinstance(each, KeyExistsError) for each in found) == MANY - 1
            await caught_up(one.jetstream(timeout=2.0), f"KV_{name}")
            assert (await second.history(key))[-1].value == str(winners[0]).encode()


async def test_of_many_who_update_a_revision_one_does(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls) as client:
        kv = await client.jetstream(timeout=30.0).create_key_value(bucket=name, replicas=3, storage="memory")
        revision = await kv.put("a", b"x")
        found = await asyncio.gather(
            *(kv.update("a", str(number), revision) for number in range(MANY)), return_exceptions=True
        )
        assert sum(isinstance(each, int) for each in found) == 1
        assert sum(isinstance(each, KeyWrongLastSequenceError) for each in found) == MANY - 1


async def test_a_watcher_goes_on_with_another_leader(cluster: NatsCluster, name: str) -> None:
    async with await connect(cluster.urls, error_cb=lambda error: None) as client:
        js = client.jetstream(timeout=30.0)
        kv = await js.create_key_value(bucket=name, replicas=3, storage="memory", history=64)
        async with await kv.watch() as watcher:
            assert await watcher.updates() is None
            acknowledged = [await kv.put("a", str(number)) for number in range(5)]
            await (await js.stream(f"KV_{name}")).step_down()
            acknowledged += [await put_persistently(kv, "a", str(number)) for number in range(5, 10)]
            await caught_up(client.jetstream(timeout=2.0), f"KV_{name}")
            # A put that was not acknowledged may have been stored all the same.
            stored = [entry.revision for entry in await kv.history("a")]
            assert set(acknowledged) <= set(stored)
            seen: list[int] = []
            while len(seen) < len(stored):
                # A pull that is lost with the leader costs two heartbeats, a request for another consumer
                # the timeout of the context.
                entry = await watcher.updates(timeout=90)
                assert entry is not None
                seen.append(entry.revision)
            assert seen == stored


async def put_persistently(kv: KeyValue[bytes], key: str, value: str) -> int:
    """Put a value again until it is acknowledged: while there is no leader, servers lose what is sent."""
    while True:
        with suppress(AckTimeoutError, NoStreamResponseError):
            return await kv.put(key, value, timeout=2.0)
