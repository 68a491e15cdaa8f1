"""Watchers of objects: what is there, the mark, what changes."""

from __future__ import annotations

import pytest
from tests.nats.jetstream.object_store.storing import made
from tests.nats.jetstream.streaming import away
from tests.proxy import Proxy

from tidings.nats import connect
from tidings.nats.errors import BadSubscriptionError, TimeoutError
from tidings.nats.jetstream import ObjectInfo, ObjectWatcher
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.object_store.errors import ObjectStoreNotFoundError


async def told(watcher: ObjectWatcher) -> tuple[str, bool]:
    info = await watcher.updates()
    assert isinstance(info, ObjectInfo)
    return info.name, info.deleted


async def test_what_is_there_the_mark_and_what_changes(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        first = await store.put("a", b"1")
        await store.put("b", b"2")
        await store.delete("b")
        async with await store.watch() as watcher:
            assert not watcher.is_current
            info = await watcher.updates()
            assert info is not None
            assert (info.name, info.nuid, info.revision) == ("a", first.nuid, first.revision)
            assert info.mtime is not None
            assert await told(watcher) == ("b", True)
            assert await watcher.updates() is None
            assert watcher.is_current
            assert await watcher.initial() == []
            await store.put("c", b"3")
            await store.delete("a")
            assert await told(watcher) == ("c", False)
            assert await told(watcher) == ("a", True)
            with pytest.raises(TimeoutError):
                await watcher.updates(timeout=0.05)
        with pytest.raises(BadSubscriptionError):
            await watcher.updates()
        assert (await store.status()).stream_info.state.consumer_count == 0


async def test_options(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", b"1")
        await store.put("b", b"2")
        await store.delete("b")
        async with (
            await store.watch(ignore_deletes=True) as no_deletes,
            await store.watch(updates_only=True) as updates,
            await store.watch(include_history=True) as history,
        ):
            assert [info.name for info in await no_deletes.initial()] == ["a"]
            assert await updates.initial() == []
            assert [info.name for info in await history.initial()] == ["a", "b"]
            await store.delete("a")
            await store.put("d", b"")
            assert await told(no_deletes) == ("d", False)
            assert await told(updates) == ("a", True)
        with pytest.raises(ConfigError):
            await store.watch(include_history=True, updates_only=True)


async def test_through_cuts_nothing_is_missed_or_told_twice(nats_url: str, name: str) -> None:
    async with (
        await connect(nats_url) as client,
        Proxy(nats_url) as proxy,
        await connect(proxy.url, reconnect_time_wait=0.01, error_cb=lambda error: None) as cut,
    ):
        store = await made(client, name)
        watching = await cut.jetstream().object_store(name)
        async with await watching.watch() as watcher:
            assert await watcher.initial() == []
            for round_ in range(3):
                async with proxy.away():
                    await away(cut)
                    for number in range(5):
                        await store.put(f"{round_}.{number}", b"x")
                seen = [(await told(watcher))[0] for _ in range(5)]
                assert seen == [f"{round_}.{number}" for number in range(5)]


async def test_a_bucket_that_is_deleted_ends_it(nats_url: str, name: str) -> None:
    async with await connect(nats_url, error_cb=lambda error: None) as client:
        store = await made(client, name)
        async with await store.watch() as watcher:
            await watcher.initial()
            await client.jetstream().delete_object_store(name)
            with pytest.raises(ObjectStoreNotFoundError):
                await watcher.updates(timeout=20)
        with pytest.raises(ObjectStoreNotFoundError):
            await store.watch()
