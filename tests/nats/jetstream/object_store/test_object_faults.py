"""What goes wrong while objects are put and read: nothing is left behind, and it is said what happened."""

from __future__ import annotations

import asyncio
import gc
import io
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.nats.jetstream.object_store.storing import MANY, contents, files, made, nothing_left_over
from tests.nats.jetstream.streaming import away
from tests.proxy import Proxy

from tidings.nats import connect
from tidings.nats.errors import ConnectionClosedError, TimeoutError
from tidings.nats.jetstream import ObjectStore, PubAck
from tidings.nats.jetstream.errors import LimitError, UnconfirmedError
from tidings.nats.jetstream.object_store.errors import (
    DigestMismatchError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectIncompleteError,
    ObjectNotFoundError,
    ObjectStoreNotFoundError,
)
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.putting import Putting

CHUNK = bytes(1000)


async def old_is_whole(store: ObjectStore) -> None:
    assert await store.get_bytes("a") == MANY
    await nothing_left_over(store)


async def emptied(store: ObjectStore) -> None:
    """Wait until the chunks that belong to no object are gone."""
    async with asyncio.timeout(20):
        while True:
            chunks, objects = await contents(store)
            if set(chunks) == objects:
                return


# Puts that do not come to their end


@pytest.mark.parametrize("sent", [0, 5, 20_000])
async def test_a_source_that_raises(nats_url: str, name: str, sent: int) -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(sent):
            yield CHUNK
        raise LookupError("the disk")

    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        with pytest.raises(LookupError, match="the disk"):
            await store.put("a", source(), chunk_size=1000)
        await old_is_whole(store)


async def test_a_progress_that_raises(nats_url: str, name: str) -> None:
    def progress(_done: int, _total: int | None) -> None:
        raise LookupError("enough")

    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        with pytest.raises(LookupError):
            await store.put("a", MANY, chunk_size=1000, progress=progress)
        with pytest.raises(LookupError):
            await (await store.get("a", progress=progress)).read()
        await old_is_whole(store)


async def test_a_put_that_is_cancelled(nats_url: str, name: str) -> None:
    sent, never = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield CHUNK
        sent.set()
        await never.wait()

    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        task = asyncio.create_task(store.put("a", source(), chunk_size=1000))
        await sent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await old_is_whole(store)


async def test_a_put_that_is_cancelled_anywhere(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        for turns in range(0, 120, 3):
            task = asyncio.create_task(store.put("a", MANY, chunk_size=20_000))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await emptied(store)
        await nothing_left_over(store)


async def test_chunks_that_may_be_stored_yet_are_not_removed_yet(
    nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk that is stored behind the purge would stay."""
    post, purge = Putting._post, ObjectStore._purge_chunks
    sent: list[asyncio.Future[PubAck]] = []
    is_sent = asyncio.Event()
    purges: list[bool] = []

    def posting(putting: Putting, subject: str, blocks: list[memoryview]) -> None:
        post(putting, subject, blocks)
        sent.extend(future for future, _ in putting._under_way)
        is_sent.set()

    async def purging(store: ObjectStore, nuid: str) -> None:
        purges.append(all(future.done() and not future.cancelled() for future in sent))
        await purge(store, nuid)

    monkeypatch.setattr(Putting, "_post", posting)
    monkeypatch.setattr(ObjectStore, "_purge_chunks", purging)
    async with await connect(nats_url) as client:
        store = await client.jetstream().create_object_store(bucket=name, storage="memory")
        for turns in range(8):
            sent.clear()
            is_sent.clear()
            task = asyncio.create_task(store.put("a", MANY))
            await is_sent.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert purges
        assert all(purges)
        await emptied(store)
        await nothing_left_over(store)


async def test_a_connection_that_is_cut(nats_url: str, name: str) -> None:
    async with (
        await connect(nats_url) as client,
        Proxy(nats_url) as proxy,
        await connect(proxy.url, reconnect_time_wait=0.01, error_cb=lambda error: None) as cut,
    ):
        store = await made(client, name)
        await store.put("a", MANY)

        async def source() -> AsyncIterator[bytes]:
            for _ in range(500):
                yield CHUNK
            proxy.cut()
            await away(cut)
            yield CHUNK

        broken = await cut.jetstream().object_store(name)
        with pytest.raises(UnconfirmedError):
            await broken.put("a", source(), chunk_size=1000)
        await emptied(store)
        await old_is_whole(store)
        await broken.put("a", b"again")
        assert await store.get_bytes("a") == b"again"


async def test_a_cut_while_the_info_is_stored(nats_url: str, name: str) -> None:
    """It is stored, and the acknowledgement is lost: that is found out."""
    async with (
        await connect(nats_url) as client,
        Proxy(nats_url) as proxy,
        await connect(proxy.url, reconnect_time_wait=0.01, error_cb=lambda error: None) as cut,
    ):
        store = await made(client, name)
        await store.put("a", b"old")
        through = await cut.jetstream().object_store(name)
        original = through._write_info
        writes = 0

        async def lost(info: ObjectInfo, last: int) -> int:
            nonlocal writes
            writes += 1
            if writes > 1:
                return await original(info, last)
            async with await store.watch(updates_only=True) as watcher:
                with proxy.deaf("down"):
                    task = asyncio.ensure_future(original(info, last))
                    await watcher.initial()
                    await watcher.updates()
                    proxy.cut()
            return await task

        through._write_info = lost  # type: ignore[method-assign]
        info = await through.put("a", MANY)
        assert writes == 1
        assert info.nuid == (await store.get_info("a")).nuid
        await old_is_whole(store)


async def test_a_cut_while_somebody_else_replaces_it(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", b"old")
        other = await client.jetstream().object_store(name)
        original = store._write_info

        async def lost(info: ObjectInfo, last: int) -> int:
            await original(info, last)
            await other.put("a", MANY)
            raise UnconfirmedError("the acknowledgement is lost")

        store._write_info = lost  # type: ignore[method-assign]
        await store.put("a", b"ours")
        store._write_info = original  # type: ignore[method-assign]
        await old_is_whole(store)


async def test_a_bucket_that_is_full(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name, max_bytes=1_000_000)
        await store.put("a", MANY)
        with pytest.raises(LimitError):
            await store.put("a", MANY * 4, chunk_size=1000)
        await old_is_whole(store)


async def test_a_bucket_that_is_gone(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        result = await store.get("a")
        info = result.info
        await client.jetstream().delete_object_store(name)
        for call in (
            store.put("a", MANY),
            store.get("a"),
            store.delete("a"),
            store.add_link("b", info),
            store.list(),
            store.status(),
            store.seal(),
            result.read(),
        ):
            with pytest.raises(ObjectStoreNotFoundError, match=name):
                await call


async def test_a_client_that_is_closed(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as other:
        store = await made(other, name)
        await store.put("a", MANY)
        client = await connect(nats_url)
        mine = await client.jetstream().object_store(name)

        async def source() -> AsyncIterator[bytes]:
            yield CHUNK
            await client.close()
            yield CHUNK

        with pytest.raises((ConnectionClosedError, UnconfirmedError)):
            await mine.put("b", source(), chunk_size=1000)
        with pytest.raises(ConnectionClosedError):
            await mine.get("a")
        with pytest.raises(ObjectNotFoundError):
            await store.get("b")


# Many at once


async def puts_at_once(stores: list[ObjectStore], count: int) -> None:
    bodies = [bytes([number % 256]) * (1000 + number) for number in range(count)]
    await asyncio.gather(
        *(
            stores[number % len(stores)].put(f"n{number % 2}", body, chunk_size=100)
            for number, body in enumerate(bodies)
        )
    )
    store = stores[0]
    await nothing_left_over(store)
    for number in range(2):
        assert await store.get_bytes(f"n{number}") in bodies[number::2]


async def test_many_who_put_one_name_leave_no_chunks_behind(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as one, await connect(nats_url) as other:
        stores = [await made(one, name), await other.jetstream().object_store(name)]
        await puts_at_once(stores, 60)


async def test_puts_deletes_and_renames_at_once(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)

        async def rename(number: int) -> None:
            await store.update_meta("a", new_name=f"r{number}")

        async def write(number: int) -> None:
            await store.put("a", bytes(number), chunk_size=10)

        async def remove(_number: int) -> None:
            await store.delete("a")

        done = await asyncio.gather(
            *((rename, write, remove)[number % 3](number) for number in range(45)), return_exceptions=True
        )
        unexpected = [
            each
            for each in done
            if each is not None
            and not isinstance(each, ObjectNotFoundError | ObjectChangedError | ObjectExistsError)
        ]
        assert not unexpected
        await nothing_left_over(store)


# Reading what is not whole, or not there any more


async def chunk_sequences(store: ObjectStore, nuid: str) -> list[int]:
    stream = await store.js.stream(store.stream_name)
    subject = f"$O.{store.bucket}.C.{nuid}"
    return [each.seq async for each in stream.get_batch(subject=subject, batch=1000)]


@pytest.mark.parametrize("which", [0, 5, -1], ids=["first", "middle", "last"])
async def test_a_chunk_is_missing(nats_url: str, name: str, tmp_path: Path, which: int) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        info = await store.put("a", MANY, chunk_size=20_000)
        stream = await store.js.stream(store.stream_name)
        await stream.delete_msg((await chunk_sequences(store, info.nuid))[which])
        with pytest.raises(ObjectIncompleteError, match="14 of its 15 chunks are there; put it again"):
            await store.get_bytes("a")
        with pytest.raises(ObjectIncompleteError):
            await store.get_into("a", tmp_path / "a")
        assert files(tmp_path) == []
        assert (await store.status()).stream_info.state.consumer_count == 0


async def test_it_is_not_what_was_put(nats_url: str, name: str, tmp_path: Path) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        info = await store.put("a", MANY)
        other = "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="
        for wrong, expected in (
            (replace(info, digest=other), DigestMismatchError),
            (replace(info, size=5), ObjectIncompleteError),
            (replace(info, size=len(MANY) + 1), ObjectIncompleteError),
            (replace(info, size=2**62), ObjectIncompleteError),
        ):
            await store.js.publish(f"$O.{name}.M.YQ==", wrong.to_json(), headers={"Nats-Rollup": "sub"})
            target = tmp_path / "a"
            target.write_bytes(b"old")
            with pytest.raises(expected, match="put it again"):
                await store.get_into("a", target)
            assert target.read_bytes() == b"old"
            assert files(tmp_path) == ["a"]
            with pytest.raises(expected):
                await store.get_bytes("a")
        without = replace(info, digest=info.digest.rstrip("="))  # as some have written it
        await store.js.publish(f"$O.{name}.M.YQ==", without.to_json(), headers={"Nats-Rollup": "sub"})
        assert await store.get_bytes("a") == MANY


@pytest.mark.parametrize("change", ["put", "delete", "purge"])
async def test_an_object_that_changes_under_the_reader(nats_url: str, name: str, change: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        big = bytes(20_000_000)
        await store.put("a", big)
        async with await store.get("a") as result:
            chunks = aiter(result)
            await anext(chunks)
            if change == "put":
                await store.put("a", b"new")
            elif change == "delete":
                await store.delete("a")
            else:
                await (await store.js.stream(store.stream_name)).purge(subject=f"$O.{name}.C.>")
            expected = ObjectIncompleteError if change == "purge" else ObjectChangedError
            with pytest.raises(expected):
                async for _ in chunks:
                    pass
        late = await store.get("a") if change == "put" else None
        if late is not None:
            assert await late.read() == b"new"


async def test_one_that_changed_before_it_is_read(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        result = await store.get("a")
        await store.put("a", b"new")
        with pytest.raises(ObjectChangedError, match="put anew while it was read: get it again"):
            await result.read()


async def test_a_reading_that_is_left_early(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY, chunk_size=1000)
        async with await store.get("a") as result:
            async for _ in result:
                break
        assert (await store.status()).stream_info.state.consumer_count == 0
        task = asyncio.create_task(store.get_bytes("a"))
        for _ in range(30):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(10):
            while (await store.status()).stream_info.state.consumer_count:
                pass


async def test_a_reading_into_a_file_that_is_cancelled(nats_url: str, name: str, tmp_path: Path) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", bytes(20_000_000))
        begun = asyncio.Event()

        def progress(_done: int, _total: int | None) -> None:
            begun.set()

        task = asyncio.create_task(store.get_into("a", tmp_path / "a", progress=progress))
        await begun.wait()
        assert [each[-5:] for each in files(tmp_path)] == [".part"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert files(tmp_path) == []
        assert (await store.status()).stream_info.state.consumer_count == 0


async def test_a_reader_goes_on_through_cuts(nats_url: str, name: str) -> None:
    async with (
        await connect(nats_url) as client,
        Proxy(nats_url) as proxy,
        await connect(proxy.url, reconnect_time_wait=0.01, error_cb=lambda error: None) as cut,
    ):
        store = await made(client, name)
        body = MANY * 70
        await store.put("a", body)
        seen = bytearray()
        async with await (await cut.jetstream().object_store(name)).get("a", chunk_timeout=20) as result:
            async for chunk in result:
                if len(seen) // 5_000_000 != (len(seen) + len(chunk)) // 5_000_000:
                    proxy.cut()
                seen += chunk
        assert seen == body


async def test_a_chunk_that_does_not_come_in_time(nats_url: str, name: str) -> None:
    async with (
        Proxy(nats_url) as proxy,
        await connect(proxy.url, error_cb=lambda error: None) as client,
    ):
        store = await made(client, name)
        await store.put("a", bytes(20_000_000))
        async with await store.get("a", chunk_timeout=0.2) as result:
            chunks = aiter(result)
            await anext(chunks)
            with proxy.deaf("down"), pytest.raises(TimeoutError, match=r"did not come within 0\.2 s"):
                async for _ in chunks:
                    pass


# Memory


async def test_a_large_object_passes_through_little_memory(nats_url: str, name: str) -> None:
    size, block = 160_000_000, bytes(1_000_000)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    class Counting(io.RawIOBase):
        count = 0

        def write(self, data: object) -> int:
            length = len(data)  # type: ignore[arg-type]
            self.count += length
            return length

    async with await connect(nats_url) as client:
        store = await client.jetstream().create_object_store(bucket=name)
        gc.collect()
        tracemalloc.start()
        try:
            await store.put("a", source())
            put = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            target = Counting()
            await store.get_into("a", target)  # type: ignore[arg-type]
            got = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert target.count == size
        assert put < 48_000_000, put
        assert got < 48_000_000, got
        await client.jetstream().delete_object_store(name)


async def test_one_who_cancels_twice_while_the_info_is_stored(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", b"old")
        original = store._write_info
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(info: ObjectInfo, last: int) -> int:
            revision = await original(info, last)
            begun.set()
            await go_on.wait()
            return revision

        store._write_info = slowly  # type: ignore[method-assign]
        task = asyncio.create_task(store.put("a", MANY))
        await begun.wait()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        go_on.set()
        await emptied(store)
        await old_is_whole(store)
