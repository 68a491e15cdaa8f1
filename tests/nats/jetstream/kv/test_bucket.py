"""The operations of a bucket, on a real server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.proxy import Proxy

from tidings.nats import Client, connect
from tidings.nats.errors import ConnectionClosedError, Error, MaxPayloadError, TimeoutError
from tidings.nats.jetstream.errors import ConfigError, LimitError, NotFoundError, WrongLastSequenceError
from tidings.nats.jetstream.kv import KeyValue, KeyValueConfig
from tidings.nats.jetstream.kv.errors import (
    BucketNotFoundError,
    InvalidKeyError,
    InvalidValueError,
    KeyDeletedError,
    KeyExistsError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    TtlNotAllowedError,
)

BAD_KEYS: list[Any] = [
    "", ".", ".a", "a.", "a..b", "a b", "a*", "*", ">", "a.>", "ä", "a\n", "a\r\nPUB x 0",
    "_kv", "_kv.a", "a$b", None, b"a", 1,
]  # fmt: skip


async def made(client: Client, name: str, **fields: Any) -> KeyValue:
    return await client.jetstream().create_key_value(bucket=name, storage="memory", **fields)


async def test_put_and_get(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        before = datetime.now(UTC) - timedelta(seconds=5)
        assert await kv.put("a.b", b"one") == 1
        assert await kv.put("a.b", "zwei ü") == 2
        entry = await kv.get("a.b")
        assert (entry.bucket, entry.key, entry.value, entry.revision) == (name, "a.b", "zwei ü".encode(), 2)
        assert (entry.delta, entry.operation, entry.is_deleted) == (0, "PUT", False)
        assert before < entry.created < before + timedelta(seconds=60)
        assert "a.b" in repr(entry)
        await kv.put("view", memoryview(b"xyz"))
        assert (await kv.get("view")).value == b"xyz"
        await kv.put("empty", b"")
        assert (await kv.get("empty")).value == b""


@pytest.mark.parametrize("key", ["a", "a-b", "a/b", "a=b", "A.b_c.9", "x_kv", "-", "/", "=a="])
async def test_keys_that_can_be(nats_url: str, name: str, key: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        revision = await kv.create(key, b"x")
        assert (await kv.get(key)).revision == revision
        assert await kv.keys(key) == [key]


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
async def test_keys_that_cannot_be_are_refused_before_they_are_sent(
    nats_url: str, name: str, key: Any
) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        sent = client.stats.out_msgs
        for attempt in (
            kv.get(key),
            kv.get(key, 1),
            kv.put(key, b""),
            kv.create(key, b""),
            kv.update(key, b"", 1),
            kv.delete(key),
            kv.purge(key),
            kv.history(key),
        ):
            with pytest.raises(InvalidKeyError) as caught:
                await attempt
            assert isinstance(caught.value, Error)
            assert isinstance(caught.value, ValueError)
        assert client.stats.out_msgs == sent


@pytest.mark.parametrize("value", [None, 1, {"a": 1}, ["x"]], ids=repr)
async def test_values_that_cannot_be(nats_url: str, name: str, value: Any) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        sent = client.stats.out_msgs
        for attempt in (kv.put("a", value), kv.create("a", value), kv.update("a", value, 0)):
            with pytest.raises(InvalidValueError, match="typed"):
                await attempt
        assert client.stats.out_msgs == sent


async def test_what_is_not_there(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        await kv.put("other", b"x")
        with pytest.raises(KeyNotFoundError) as caught:
            await kv.get("a")
        assert (caught.value.bucket, caught.value.key) == (name, "a")
        assert isinstance(caught.value, NotFoundError)
        with pytest.raises(KeyNotFoundError, match="revision 7"):
            await kv.get("a", 7)
        with pytest.raises(KeyNotFoundError):
            await kv.get("a", 1)  # that of another key
        with pytest.raises(KeyNotFoundError):
            await kv.history("a")
        with pytest.raises(ConfigError):
            await kv.get("a", 0)


async def test_a_revision(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, history=3)
        for number in range(3):
            await kv.put("a", str(number))
        entry = await kv.get("a", 2)
        assert (entry.value, entry.revision, entry.key) == (b"1", 2, "a")
        assert entry.created <= (await kv.get("a", 3)).created
        await kv.delete("a")
        with pytest.raises(KeyDeletedError):
            await kv.get("a", 4)
        assert (await kv.get("a", 3)).value == b"2"


async def test_the_leader_answers_where_the_bucket_is_not_direct(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, direct=False, history=2)
        await kv.put("a", b"x")
        entry = await kv.get("a")
        assert (entry.value, entry.revision, entry.operation) == (b"x", 1, "PUT")
        assert (await kv.get("a", 1)).created == entry.created
        with pytest.raises(KeyNotFoundError):
            await kv.get("b")
        await kv.delete("a")
        with pytest.raises(KeyDeletedError):
            await kv.get("a")


async def test_a_bucket_that_is_direct_no_more(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await made(client, name)
        await kv.put("a", b"x")
        await js.update_key_value(bucket=name, storage="memory", direct=False)
        assert (await kv.get("a")).value == b"x"
        assert (await kv.get("a", 1)).value == b"x"


async def test_create(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, history=5)
        assert await kv.create("a", b"1") == 1
        with pytest.raises(KeyExistsError, match="revision 1") as caught:
            await kv.create("a", b"2")
        assert isinstance(caught.value, WrongLastSequenceError)
        assert (await kv.get("a")).value == b"1"
        await kv.delete("a")
        assert await kv.create("a", b"3") == 3
        await kv.purge("a")
        assert await kv.create("a", b"4") == 5


async def test_update(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        assert await kv.update("a", b"1", 0) == 1
        assert await kv.update("a", b"2", last=1) == 2
        for last in (0, 1, 3):
            with pytest.raises(KeyWrongLastSequenceError, match=f"revision {last} is not"):
                await kv.update("a", b"x", last)
        assert (await kv.get("a")).value == b"2"
        for wrong in (-1, "2", None, True):
            with pytest.raises(ConfigError):
                await kv.update("a", b"x", wrong)  # type: ignore[arg-type]


async def test_delete_keeps_the_history(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, history=5)
        await kv.put("a", b"1")
        await kv.put("a", b"2")
        with pytest.raises(KeyWrongLastSequenceError):
            await kv.delete("a", last=1)
        assert await kv.delete("a", last=2) == 3
        with pytest.raises(KeyDeletedError) as caught:
            await kv.get("a")
        assert caught.value.entry.revision == 3
        assert caught.value.entry.operation == "DEL"
        assert isinstance(caught.value, KeyNotFoundError)
        history = await kv.history("a")
        assert [(each.revision, each.operation, each.value) for each in history] == [
            (1, "PUT", b"1"),
            (2, "PUT", b"2"),
            (3, "DEL", b""),
        ]
        assert await kv.delete("never.was") == 4


async def test_purge_removes_the_history(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, history=5)
        await kv.put("a", b"1")
        await kv.put("b", b"1")
        await kv.put("a", b"2")
        with pytest.raises(KeyWrongLastSequenceError):
            await kv.purge("a", last=2)
        assert await kv.purge("a", last=3) == 4
        assert [(each.revision, each.operation) for each in await kv.history("a")] == [(4, "PURGE")]
        with pytest.raises(KeyDeletedError, match="was purged in revision 4"):
            await kv.get("a")
        assert (await kv.get("b")).value == b"1"


async def test_keys(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        assert await kv.keys() == []
        for key in ("a.b", "a.c", "a.c.d", "b", "gone"):
            await kv.put(key, b"x")
        await kv.delete("gone")
        assert await kv.keys() == ["a.b", "a.c", "a.c.d", "b"]
        assert await kv.keys("a.*") == ["a.b", "a.c"]
        assert await kv.keys("a.>") == ["a.b", "a.c", "a.c.d"]
        assert await kv.keys("b", "a.b") == ["a.b", "b"]
        assert await kv.keys("zz.>") == []
        assert [key async for key in kv.keys("a.*")] == ["a.b", "a.c"]
        with pytest.raises(InvalidKeyError):
            kv.keys("a.>.b")


async def test_who_stops_listing_keys_leaves_no_consumer(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        for key in ("a", "b", "c"):
            await kv.put(key, b"x")
        async with kv.keys() as keys:
            async for key in keys:
                assert key == "a"
                break
        assert (await kv.status()).stream_info.state.consumer_count == 0
        await kv.keys()
        await kv.history("a")
        assert (await kv.status()).stream_info.state.consumer_count == 0


async def test_purge_deletes(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, history=3)
        for key in ("a", "b", "c"):
            await kv.put(key, b"1")
            await kv.put(key, b"2")
        await kv.delete("a")
        await kv.purge("b")
        assert await kv.purge_deletes() == 2  # too young to go for good: only their history does
        assert [each.operation for each in await kv.history("a")] == ["DEL"]
        assert await kv.purge_deletes(timedelta()) == 2
        for key in ("a", "b"):
            with pytest.raises(KeyNotFoundError) as caught:
                await kv.get(key)
            assert not isinstance(caught.value, KeyDeletedError)
        assert len(await kv.history("c")) == 2
        assert await kv.purge_deletes(0) == 0
        with pytest.raises(ConfigError):
            await kv.purge_deletes(-1)


async def test_status(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(
            client, name, history=4, ttl=3600, description="d", metadata={"a": "b"}, limit_marker_ttl=60
        )
        await kv.put("a", b"1")
        await kv.put("a", b"2")
        status = await kv.status()
        assert (status.bucket, status.values, status.history, status.ttl) == (name, 2, 4, 3600.0)
        assert (status.limit_marker_ttl, status.is_compressed, status.backing_store) == (
            60.0,
            False,
            "JetStream",
        )
        assert status.bytes > 0
        assert status.config == KeyValueConfig(
            bucket=name,
            history=4,
            ttl=3600,
            description="d",
            metadata={"a": "b"},
            limit_marker_ttl=60,
            storage="memory",
        )


async def test_what_is_too_large(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name, max_value_size=10, max_bytes=1000)
        with pytest.raises(LimitError):
            await kv.put("a", bytes(100))
        with pytest.raises(MaxPayloadError):
            await kv.put("a", bytes(2**21))

        async def fill() -> None:
            for number in range(100):
                await kv.put(f"a.{number}", bytes(10))

        with pytest.raises(LimitError):
            await fill()


async def test_a_ttl_where_it_is_not_allowed(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await made(client, name)
        with pytest.raises(TtlNotAllowedError, match="limit_marker_ttl"):
            await kv.create("a", b"x", ttl=5)
        with pytest.raises(TtlNotAllowedError):
            await kv.purge("a", ttl=5)
        assert (await kv.status()).values == 0
        # Another handle may allow it meanwhile.
        await client.jetstream().update_key_value(bucket=name, storage="memory", limit_marker_ttl=30)
        assert await kv.create("a", b"x", ttl=5) == 1
        with pytest.raises(ConfigError, match="ttl"):
            await kv.create("b", b"x", ttl=0.5)


async def test_a_bucket_that_is_gone(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await made(client, name)
        await kv.put("a", b"x")
        await js.delete_key_value(name)
        for attempt in (
            kv.get("a"),
            kv.get("a", 1),
            kv.put("a", b"x"),
            kv.create("a", b"x"),
            kv.update("a", b"x", 1),
            kv.delete("a"),
            kv.history("a"),
            kv.watch(),
            kv.status(),
            kv.purge_deletes(),
        ):
            with pytest.raises(BucketNotFoundError, match=name):
                await attempt
        with pytest.raises(BucketNotFoundError):
            await kv.keys()


@pytest.mark.parametrize("direct", [True, False])
async def test_no_answer_in_time(nats_url: str, name: str, direct: bool) -> None:
    async with Proxy(nats_url) as proxy, await connect(proxy.url) as client:
        kv = await made(client, name, direct=direct)
        with proxy.deaf():
            for attempt in (
                kv.get("a", timeout=0.05),
                kv.get("a", 1, timeout=0.05),
                kv.put("a", b"", timeout=0.05),
                kv.create("a", b"", timeout=0.05),
                kv.update("a", b"", 1, timeout=0.05),
                kv.delete("a", timeout=0.05),
                kv.purge("a", timeout=0.05),
            ):
                with pytest.raises(TimeoutError):
                    await attempt


async def test_a_closed_client(nats_url: str, name: str) -> None:
    client = await connect(nats_url)
    kv = await made(client, name)
    await client.close()
    for attempt in (kv.get("a"), kv.put("a", b""), kv.create("a", b""), kv.watch(), kv.status()):
        with pytest.raises(ConnectionClosedError):
            await attempt
