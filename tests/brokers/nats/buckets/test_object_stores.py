"""Subscribers to the objects of a store, and object stores of a broker."""

import asyncio
import os
from typing import Any

import pytest

from tidings.brokers.nats import NatsBroker, NatsObjectMessage, ObjWatch
from tidings.messaging.errors import NotConnectedError, SetupError
from tidings.messaging.params import Context
from tidings.nats import connect
from tidings.nats.jetstream import ObjectInfo, ObjectStoreConfig

LIMIT = 20.0  # seconds


@pytest.fixture
def name() -> str:
    return f"T{os.urandom(6).hex()}"


def config(name: str, **fields: Any) -> ObjectStoreConfig:
    return ObjectStoreConfig(bucket=name, storage="memory", **fields)


async def reach(items: "asyncio.Queue[Any]", count: int) -> list[Any]:
    async with asyncio.timeout(LIMIT):
        return [await items.get() for _ in range(count)]


async def test_objects_first_then_changes_and_deletions(nats_url: str, name: str) -> None:
    broker = NatsBroker(nats_url)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber(obj_watch=ObjWatch(config(name)))
    async def handler(
        filename: str,
        info: ObjectInfo,
        message: NatsObjectMessage,
        deleted: bool = Context("message.is_deleted"),
    ) -> None:
        assert (message.name, message.bucket, message.raw) == (filename, name, info)
        assert message.headers == ({"H": "1"} if filename == "b" else {})
        seen.put_nowait((filename, info.size, deleted))

    async with await connect(nats_url) as client:
        store = await client.jetstream().create_object_store(config(name))
        await store.put("12", b"12345")
        async with broker:
            await broker.start()
            assert await reach(seen, 1) == [("12", 5, False)]
            mine = await broker.object_store(name)
            await mine.put("b", b"b", headers={"H": ["1", "2"]})
            await mine.delete("12")
            assert await reach(seen, 2) == [("b", 1, False), ("12", 0, True)]
            assert (await store.status()).stream_info.state.consumer_count == 1
        assert (await store.status()).stream_info.state.consumer_count == 0


async def test_options_and_a_store_by_its_name(nats_url: str, name: str) -> None:
    broker = NatsBroker(nats_url)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber(obj_watch=ObjWatch(name, ignore_deletes=True, updates_only=True))
    async def handler(filename: bytes) -> None:
        seen.put_nowait(filename)

    async with await connect(nats_url) as client:
        store = await client.jetstream().create_object_store(config(name))
        await store.put("old", b"")
        async with broker:
            await broker.start()
            await store.delete("old")
            await store.put("new", b"")
            assert await reach(seen, 1) == [b"new"]


async def test_what_is_no_info_is_left_out(
    nats_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = NatsBroker(nats_url)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber(obj_watch=name)
    async def handler(filename: str) -> None:
        seen.put_nowait(filename)

    async with await connect(nats_url) as client:
        js = client.jetstream()
        store = await js.create_object_store(config(name))
        await js.publish(f"$O.{name}.M.eA==", b"no JSON")
        await store.put("good", b"")
        async with broker:
            await broker.start()
            assert await reach(seen, 1) == ["good"]
    assert "left out" in caplog.text


async def test_a_handler_that_fails_is_logged_and_the_next_is_handled(
    nats_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = NatsBroker(nats_url)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber(obj_watch=ObjWatch(config(name)))
    async def handler(filename: str) -> None:
        if filename == "bad":
            raise LookupError("no such disk")
        seen.put_nowait(filename)

    async with broker:
        await broker.start()
        store = await broker.object_store(name)
        await store.put("bad", b"")
        await store.put("good", b"")
        assert await reach(seen, 1) == ["good"]
    assert "no such disk" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"subject": "a"},
        {"kv_watch": "b"},
        {"stream": "S"},
        {"queue": "q"},
        {"workers": 2},
        {"durable": "d"},
    ],
    ids=repr,
)
async def test_options_that_cannot_be(nats_url: str, options: dict[str, Any]) -> None:
    broker = NatsBroker(nats_url)

    @broker.subscriber(obj_watch="b", **options)
    async def handler(filename: str) -> None: ...

    async with broker:
        with pytest.raises(SetupError, match=next(iter(options))):
            await broker.start()


async def test_a_store_of_the_broker(nats_url: str, name: str) -> None:
    broker = NatsBroker(nats_url)
    with pytest.raises(NotConnectedError):
        await broker.object_store(name)
    async with broker:
        await broker.connect()
        with pytest.raises(SetupError, match="declare='never'"):
            await broker.object_store(name, declare="never")
        with pytest.raises(SetupError, match="there is no bucket"):
            await broker.object_store(config(name), declare="never")
        with pytest.raises(SetupError):
            await broker.object_store("a.b")
        await (await broker.object_store(f"{name}-named")).put("a", b"a")
        assert await (await broker.object_store(f"{name}-named")).get_bytes("a") == b"a"
        store = await broker.object_store(config(name))
        await store.put("a", b"a")
        assert await (await broker.object_store(config(name))).get_bytes("a") == b"a"
        with pytest.raises(SetupError, match="description"):
            await broker.object_store(config(name, description="new"))
        changed = await broker.object_store(config(name, description="new"), declare="update")
        assert (await changed.status()).config.description == "new"
