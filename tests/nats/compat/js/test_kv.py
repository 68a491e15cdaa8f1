"""Programs of key-value buckets, written for nats-py: each runs on nats-py and on its double."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.compat.conftest import Door

LIMIT = 20.0  # seconds


async def test_put_get_update_and_delete(door: Door, nats_url: str, name: str) -> None:
    errors = door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    kv = await js.create_key_value(bucket=name, history=5, ttl=3600)
    assert await kv.put("a", b"1") == 1
    entry = await kv.get("a")
    assert (entry.bucket, entry.key, entry.value, entry.revision) == (name, "a", b"1", 1)
    assert (entry.operation, entry.delta) == (None, None)
    assert await kv.update("a", b"2", last=1) == 2
    with pytest.raises(errors.KeyWrongLastSequenceError, match="nats: wrong last sequence") as wrong:
        await kv.update("a", b"3", last=1)
    assert isinstance(wrong.value, errors.BadRequestError)
    assert (await kv.get("a", revision=1)).value == b"1"
    with pytest.raises(errors.KeyWrongLastSequenceError):
        await kv.create("a", b"x")
    assert await kv.delete("a") is True
    with pytest.raises(errors.KeyNotFoundError, match="nats: key not found") as gone:
        await kv.get("a")
    assert (gone.value.op, gone.value.entry.revision) == ("DEL", 3)
    assert await kv.create("a", b"4") == 4
    assert [each.value for each in await kv.history("a")] == [b"1", b"2", b"", b"4"]
    assert [each.operation for each in await kv.history("a")] == [None, None, "DEL", None]
    assert await kv.purge("a") is True
    assert [each.operation for each in await kv.history("a")] == ["PURGE"]
    await kv.put("b", b"5")
    with pytest.raises(errors.KeyNotFoundError, match="expected"):
        await kv.get("a", revision=6)
    for bad in ("", ".a", "a.", "a b", "*"):
        with pytest.raises(errors.InvalidKeyError):
            await kv.get(bad)
        with pytest.raises(errors.InvalidKeyError):
            await kv.put(bad, b"")
    status = await kv.status()
    assert (status.bucket, status.values, status.history, status.ttl) == (name, 2, 5, 3600)
    assert await kv.purge_deletes(olderthan=-1) is True
    assert (await kv.status()).values == 1
    assert await js.delete_key_value(name) is True
    await nc.close()


async def test_buckets_are_found_or_not(door: Door, nats_url: str, name: str) -> None:
    api, errors = door.module("js.api"), door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    with pytest.raises(errors.BucketNotFoundError):
        await js.key_value(name)
    with pytest.raises(errors.InvalidBucketNameError):
        await js.key_value("a.b")
    with pytest.raises(errors.KeyHistoryTooLargeError, match="nats: history limited to a max of 64"):
        await js.create_key_value(bucket=name, history=65)
    await js.create_key_value(api.KeyValueConfig(bucket=name, direct=True, limit_marker_ttl=60))
    kv = await js.key_value(name)
    assert await kv.create("ttl", b"", msg_ttl=60) == 1
    assert (await kv.get("ttl")).revision == 1
    assert (await kv.status()).marker_ttl == 60
    await js.delete_key_value(name)
    await nc.close()


async def test_keys_and_watchers(door: Door, nats_url: str, name: str) -> None:
    errors, core = door.module("js.errors"), door.errors
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    kv = await js.create_key_value(bucket=name)
    with pytest.raises(errors.NoKeysError, match="nats: no keys found"):
        await kv.keys()
    empty = await kv.watchall()
    assert await empty.updates(timeout=LIMIT) is None
    await empty.stop()
    for key in ("a.1", "a.2", "b.1"):
        await kv.put(key, key.encode())
    await kv.delete("a.2")
    assert sorted(await kv.keys()) == ["a.1", "b.1"]
    assert await kv.keys(filters=["b"]) == ["b.1"]

    watcher = await kv.watch("a.*")
    async with asyncio.timeout(LIMIT):
        first = await watcher.updates()
        assert (first.key, first.value, first.revision, first.delta) == ("a.1", b"a.1", 1, 1)
        assert first.operation is None
        assert first.created.tzinfo is not None
        removed = await watcher.updates()
        assert (removed.key, removed.operation, removed.delta) == ("a.2", "DEL", 0)
        assert await watcher.updates() is None
        await kv.put("a.3", b"new")
        async for entry in watcher:
            assert (entry.key, entry.value) == ("a.3", b"new")
            break
    with pytest.raises(core.TimeoutError):
        await watcher.updates(timeout=0.05)
    await watcher.stop()
    await js.delete_key_value(name)
    await nc.close()


async def test_a_purge_with_wildcards(door: Door, nats_url: str, name: str) -> None:
    errors = door.module("js.errors")
    nc = await door.connect(nats_url)
    kv = await nc.jetstream(timeout=LIMIT).create_key_value(bucket=name, history=5)
    for key in ("orders.1", "orders.2", "orders.2", "other"):
        await kv.put(key, b"x")
    assert await kv.purge("orders.*") is True
    for key in ("orders.1", "orders.2"):
        with pytest.raises(errors.NotFoundError):
            await kv.get(key)
    assert (await kv.get("other")).value == b"x"
    await nc.close()
