"""Watchers: what is there, the mark, what changes; and through what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.jetstream.streaming import away
from tests.proxy import Proxy

from tidings.nats import Client, connect
from tidings.nats.errors import BadSubscriptionError, TimeoutError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.kv import KeyValue, KeyWatcher
from tidings.nats.jetstream.kv.errors import BucketNotFoundError, InvalidKeyError


async def made(client: Client, name: str, **fields: Any) -> KeyValue:
    return await client.jetstream().create_key_value(bucket=name, storage="memory", **fields)


async def filled(client: Client, name: str) -> KeyValue:
    """Revisions: a 1 and 2, b.c 3, gone 4 and its deletion 5."""
    kv = await made(client, name, history=5)
    for key, value in (("a", b"1"), ("a", b"2"), ("b.c", b"3"), ("gone", b"4")):
        await kv.put(key, value)
    await kv.delete("gone")
    return kv


async def initial(watcher: KeyWatcher[bytes]) -> list[int]:
    return [entry.revision for entry in await watcher.initial()]


async def test_what_is_there_the_mark_and_what_changes(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await filled(client, name)
        async with await kv.watch() as watcher:
            seen = []
            async for entry in watcher:
                if entry is None:
                    break
                seen.append((entry.key, entry.revision, entry.operation, entry.value, entry.delta))
            assert seen == [("a", 2, "PUT", b"2", 2), ("b.c", 3, "PUT", b"3", 1), ("gone", 5, "DEL", b"", 0)]
            assert watcher.is_current
            assert await watcher.initial() == []
            await kv.put("new", b"6")
            await kv.purge("a")
            first, second = await watcher.updates(), await watcher.updates()
            assert first is not None
            assert second is not None
            assert (first.key, first.value, first.operation) == ("new", b"6", "PUT")
            assert (second.key, second.value, second.operation) == ("a", b"", "PURGE")
            assert second.created >= first.created


async def test_the_mark_comes_where_nothing_is(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        for keys in ((), ("a",), ("a.>", "b.*")):
            async with await kv.watch(*keys) as watcher:
                assert await watcher.updates() is None
        await kv.put("a", b"1")
        async with await kv.watch("b", include_history=True) as watcher:
            assert await watcher.updates() is None
        async with await kv.watch(resume_from_revision=100) as watcher:
            assert await watcher.updates() is None


async def test_one_key_and_many_filters(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await filled(client, name)
        for keys, expected in (
            (("a",), [2]),
            (("b.*",), [3]),
            (("b.>",), [3]),
            (("a", "gone"), [2, 5]),
            (("*",), [2, 5]),
            ((">",), [2, 3, 5]),
        ):
            async with await kv.watch(*keys) as watcher:
                assert await initial(watcher) == expected


async def test_options(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await filled(client, name)
        async with await kv.watch(include_history=True) as watcher:
            assert await initial(watcher) == [1, 2, 3, 4, 5]
        async with await kv.watch(ignore_deletes=True) as watcher:
            assert await initial(watcher) == [2, 3]
        async with await kv.watch(include_history=True, ignore_deletes=True) as watcher:
            assert await initial(watcher) == [1, 2, 3, 4]
        async with await kv.watch(resume_from_revision=3) as watcher:
            assert await initial(watcher) == [3, 4, 5]
        async with await kv.watch(meta_only=True) as watcher:
            entries = await watcher.initial()
            assert [(entry.key, entry.value, entry.operation) for entry in entries] == [
                ("a", b"", "PUT"),
                ("b.c", b"", "PUT"),
                ("gone", b"", "DEL"),
            ]
        async with await kv.watch(updates_only=True) as watcher:
            assert await watcher.updates() is None
            await kv.put("a", b"x")
            entry = await watcher.updates()
            assert entry is not None
            assert entry.revision == 6


@pytest.mark.parametrize(
    "options",
    [
        {"include_history": True, "updates_only": True},
        {"include_history": True, "resume_from_revision": 1},
        {"updates_only": True, "resume_from_revision": 1},
        {"resume_from_revision": 0},
        {"resume_from_revision": "1"},
        {"inactive_threshold": -1},
    ],
    ids=lambda options: "-".join(options),
)
async def test_options_that_cannot_work(nats_url: str, name: str, options: dict[str, Any]) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        sent = client.stats.out_msgs
        with pytest.raises(ConfigError):
            await kv.watch(**options)
        assert client.stats.out_msgs == sent


@pytest.mark.parametrize(
    "keys", ["", "a..b", ".", "a.", "a b", "a.>.b", "a*", "a>", "_kv", "_kv.>", None, 1, "ü"]
)
async def test_filters_that_cannot_be(nats_url: str, name: str, keys: Any) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        sent = client.stats.out_msgs
        with pytest.raises(InvalidKeyError):
            await kv.watch(keys)
        with pytest.raises(InvalidKeyError):
            await kv.watch("fine", keys)
        assert client.stats.out_msgs == sent


async def test_the_end(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await filled(client, name)
        watcher = await kv.watch()
        assert (await kv.status()).stream_info.state.consumer_count == 1
        await watcher.stop()
        await watcher.stop()
        assert [entry async for entry in watcher] == []
        with pytest.raises(BadSubscriptionError):
            await watcher.updates()
        assert (await kv.status()).stream_info.state.consumer_count == 0


async def test_nothing_in_time(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        async with await kv.watch() as watcher:
            assert await watcher.updates() is None
            with pytest.raises(TimeoutError):
                await watcher.updates(timeout=0.01)
            await kv.put("a", b"1")
            entry = await watcher.updates()
            assert entry is not None
            assert entry.revision == 1


async def test_who_is_cancelled_leaves_nothing_behind(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await filled(client, name)
        is_current = asyncio.Event()

        async def read() -> None:
            async with await kv.watch() as watcher:
                async for entry in watcher:
                    if entry is None:
                        is_current.set()

        task = asyncio.create_task(read())
        await is_current.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await kv.status()).stream_info.state.consumer_count == 0


async def test_a_client_that_closes_ends_it(nats_url: str, name: str) -> None:
    client = await connect(nats_url)
    kv = await filled(client, name)
    watcher = await kv.watch()
    await watcher.initial()

    async def rest() -> list[object]:
        return [entry async for entry in watcher]

    reading = asyncio.create_task(rest())
    await asyncio.sleep(0)
    await client.close()
    assert await reading == []


async def test_a_bucket_that_is_deleted_ends_it(nats_url: str, name: str) -> None:
    async with await connect(nats_url, error_cb=lambda error: None) as client:
        kv = await filled(client, name)
        async with await kv.watch() as watcher:
            await watcher.initial()
            await client.jetstream().delete_key_value(name)
            with pytest.raises(BucketNotFoundError):
                await watcher.updates(timeout=20)


async def test_a_bucket_that_is_made_anew_ends_it(nats_url: str, name: str) -> None:
    """It counts from 1 again: who read on behind the last revision would miss what is there."""
    async with Proxy(nats_url) as proxy, await connect(nats_url) as writer:
        kv = await filled(writer, name)
        async with await connect(
            proxy.url, reconnect_time_wait=0.01, max_reconnect_attempts=-1, error_cb=lambda error: None
        ) as client:
            there = await client.jetstream(timeout=1.0).key_value(name)
            async with await there.watch() as watcher:
                await watcher.initial()
                async with proxy.away():
                    await away(client)
                    await writer.jetstream().delete_key_value(name)
                    await (await made(writer, name)).put("a", b"new")
                with pytest.raises(BucketNotFoundError, match="another one"):
                    await watcher.updates(timeout=20)
            async with await there.watch() as watcher:  # the handle goes on with the other one
                (entry,) = await watcher.initial()
                assert entry.value == b"new"
                proxy.cut()
                await kv.put("b", b"2")
                second = await watcher.updates(timeout=20)
                assert second is not None
                assert second.key == "b"


async def test_keys_that_go_while_they_are_read(nats_url: str, name: str) -> None:
    """The rest of the initial entries is purged: the mark comes nevertheless."""
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        js = client.jetstream()
        for number in range(2000):
            await js.publish_async(f"$KV.{name}.k.{number}", b"x")
        await js.publish_async_completed()
        async with await kv.watch() as watcher:
            first = await watcher.updates()
            assert first is not None
            await (await js.stream(f"KV_{name}")).purge()
            rest = await asyncio.wait_for(watcher.initial(), 30)
            assert len(rest) < 2000
            await kv.put("after", b"x")
            entry = await watcher.updates()
            assert entry is not None
            assert entry.key == "after"


@pytest.mark.parametrize("updates_only", [False, True])
async def test_through_cuts_without_gap_or_repeat(nats_url: str, name: str, updates_only: bool) -> None:
    async with Proxy(nats_url) as proxy, await connect(nats_url) as writer:
        kv = await made(writer, name, history=64)
        async with await connect(
            proxy.url, reconnect_time_wait=0.01, max_reconnect_attempts=-1, error_cb=lambda error: None
        ) as client:
            there = await client.jetstream(timeout=1.0).key_value(name)
            async with await there.watch(updates_only=updates_only) as watcher:
                if updates_only:
                    assert await watcher.updates() is None
                    # Before its first entry came, and while it is away.
                    async with proxy.away():
                        await away(client)
                        await kv.put("k", b"0")
                else:
                    await kv.put("k", b"0")
                seen: list[int] = []
                async for entry in watcher:
                    if entry is None:
                        continue
                    seen.append(entry.revision)
                    if len(seen) == 60:
                        break
                    if len(seen) % 20 == 0:
                        async with proxy.away():
                            await away(client)
                            await kv.put("k", str(len(seen)))
                    elif len(seen) % 7 == 0:
                        proxy.cut()
                    if seen[-1] == len(seen) and len(seen) % 20:
                        await kv.put("k", str(len(seen)))
                assert seen == list(range(1, 61))


async def test_many_keys_through_a_cut_while_they_come(nats_url: str, name: str) -> None:
    async with Proxy(nats_url) as proxy, await connect(nats_url) as writer:
        kv = await made(writer, name)
        js = writer.jetstream()
        for number in range(5000):
            await js.publish_async(f"$KV.{name}.k.{number}", b"x")
        await js.publish_async_completed()
        async with await connect(
            proxy.url, reconnect_time_wait=0.01, max_reconnect_attempts=-1, error_cb=lambda error: None
        ) as client:
            async with await (await client.jetstream(timeout=1.0).key_value(name)).watch() as watcher:
                seen = []
                async for entry in watcher:
                    if entry is None:
                        break
                    seen.append(entry.key)
                    if len(seen) in (1000, 3000):
                        proxy.cut()
                assert seen == [f"k.{number}" for number in range(5000)]
                await kv.put("last", b"x")
                entry = await watcher.updates(timeout=20)
                assert entry is not None
                assert entry.key == "last"
            assert len(await kv.keys("k.>")) == 5000


async def test_a_consumer_that_is_deleted_is_made_anew(nats_url: str, name: str) -> None:
    async with await connect(nats_url, error_cb=lambda error: None) as client:
        kv = await filled(client, name)
        stream = await client.jetstream().stream(f"KV_{name}")
        async with await kv.watch(updates_only=True) as watcher:
            assert await watcher.updates() is None
            (consumer,) = [each async for each in stream.consumer_names()]
            await stream.delete_consumer(consumer)
            await kv.put("a", b"x")
            entry = await watcher.updates(timeout=20)
            assert entry is not None
            assert entry.revision == 6


async def test_entries_alone(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await filled(client, name)
        async with await kv.watch() as watcher:
            seen: list[int] = []
            async for entry in watcher.entries():
                seen.append(entry.revision)
                if entry.revision == 5:
                    await kv.put("a", b"6")
                if entry.revision == 6:
                    break
            assert seen == [2, 3, 5, 6]
            assert watcher.pending == 0
