"""Objects put, read, described, listed, renamed, deleted."""

from __future__ import annotations

import hashlib
import io
import json
import os
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.nats.jetstream.object_store.storing import MANY, contents, files, made, nothing_left_over, parts

from tidings.nats import connect
from tidings.nats.jetstream import ObjectInfo, ObjectLink
from tidings.nats.jetstream.errors import StreamSealedError
from tidings.nats.jetstream.object_store.errors import (
    InvalidObjectError,
    ObjectDeletedError,
    ObjectExistsError,
    ObjectLinkError,
    ObjectNotFoundError,
    StoredInfoError,
)


def generated() -> Iterator[bytes]:
    for start in range(0, len(MANY), 777):
        yield MANY[start : start + 777]


SOURCES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: MANY,
    "bytearray": lambda path: bytearray(MANY),
    "memoryview": lambda path: memoryview(MANY),
    "path": lambda path: path,
    "open file": lambda path: io.BytesIO(MANY),
    "list": lambda path: [MANY[:5], b"", MANY[5:200_000], MANY[200_000:]],
    "iterator": lambda path: generated(),
    "async iterator": lambda path: parts(MANY[:131_072], MANY[131_072:131_073], MANY[131_073:]),
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_what_is_put_is_read(nats_url: str, name: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "source"
    path.write_bytes(MANY)
    async with await connect(nats_url) as client:
        store = await made(client, name)
        before = datetime.now(UTC) - timedelta(seconds=5)
        info = await store.put("a/b c.pdf", SOURCES[kind](path), description="d", metadata={"k": "v"})
        digest = urlsafe_b64encode(hashlib.sha256(MANY).digest()).decode()
        assert (info.bucket, info.name, info.size, info.chunks) == (name, "a/b c.pdf", len(MANY), 3)
        assert info.digest == f"SHA-256={digest}"
        found = await store.get_info("a/b c.pdf")
        assert found.mtime is not None
        assert found.mtime > before
        assert (found.description, found.metadata, found.chunk_size) == ("d", {"k": "v"}, 131_072)
        assert (found.digest, found.nuid, found.revision) == (info.digest, info.nuid, info.revision)
        assert await store.get_bytes("a/b c.pdf") == MANY
        async with await store.get("a/b c.pdf") as result:
            sizes = [len(chunk) async for chunk in result]
            assert sizes == [131_072, 131_072, len(MANY) - 262_144]
            assert await result.read() == MANY
        await nothing_left_over(store)


async def test_an_open_file_stays_open_and_is_read_from_where_it_is(
    nats_url: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "source"
    path.write_bytes(MANY)
    async with await connect(nats_url) as client:
        store = await made(client, name)
        with path.open("rb") as file:
            file.seek(100_000)
            await store.put("a", file)
            assert not file.closed
        assert await store.get_bytes("a") == MANY[100_000:]


@pytest.mark.parametrize("empty", [b"", "", [], io.BytesIO()], ids=["bytes", "text", "list", "file"])
async def test_an_object_of_nothing(nats_url: str, name: str, empty: Any) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        told: list[tuple[int, int | None]] = []
        info = await store.put("a", empty, progress=lambda *args: told.append(args))
        assert (info.size, info.chunks) == (0, 0)
        assert info.digest == "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="
        assert await store.get_bytes("a") == b""
        assert [chunk async for chunk in await store.get("a")] == []
        assert told == [(0, 0)]


async def test_text_and_chunks_of_a_size_of_ones_own(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        info = await store.put("a", "schön und gut", chunk_size=4, headers={"One": "1", "Two": ["2", "3"]})
        assert (info.size, info.chunks) == (14, 4)
        assert info.headers == {"One": ["1"], "Two": ["2", "3"]}
        assert (await store.get_bytes("a")).decode() == "schön und gut"


@pytest.mark.parametrize("kind", ["bytes", "file", "iterator"])
async def test_chunks_are_cut_alike_from_whatever_it_comes(nats_url: str, name: str, kind: str) -> None:
    """Of one byte, of what divides it, and of more than all of it."""
    data = os.urandom(3000)
    async with await connect(nats_url) as client:
        store = await made(client, name)
        for size, chunks in ((1, 3000), (7, 429), (1000, 3), (4096, 1)):
            pieces = [data[:1], data[1:2], data[2:1500], data[1500:]]
            source = {"bytes": data, "file": io.BytesIO(data), "iterator": parts(*pieces)}[kind]
            info = await store.put("a", source, chunk_size=size)
            assert (info.size, info.chunks) == (3000, chunks)
            assert await store.get_bytes("a") == data
            async with await store.get("a") as result:
                assert {len(chunk) async for chunk in result} <= {size, 3000 % size or size, 3000}
        await nothing_left_over(store)


async def test_it_is_stored_as_others_read_it(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        info = await store.put("ä?", b"abc", headers={"H": "1"})
        await store.add_link("l", info)
        stream = await store.js.stream(f"OBJ_{name}")
        message = await stream.get_msg(last_by_subject=f"$O.{name}.M.w6Q_")
        assert message.headers["Nats-Rollup"] == "sub"
        assert json.loads(message.data) == {
            "name": "ä?",
            "bucket": name,
            "nuid": info.nuid,
            "size": 3,
            "chunks": 1,
            "headers": {"H": ["1"]},
            "options": {"max_chunk_size": 131_072},
            "digest": "SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=",
        }
        link = json.loads((await stream.get_msg(last_by_subject=f"$O.{name}.M.bA==")).data)
        assert link["options"] == {"link": {"bucket": name, "name": "ä?"}}
        assert "digest" not in link


async def test_a_put_replaces_what_was_there_and_its_chunks(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        second = await store.put("a", b"short")
        assert await store.get_bytes("a") == b"short"
        assert await contents(store) == ({second.nuid: 1}, {second.nuid})


async def test_progress_is_told_of_puts_and_reads(nats_url: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(MANY)
    async with await connect(nats_url) as client:
        store = await made(client, name)
        for source, total in ((MANY, len(MANY)), (path, len(MANY)), (generated(), None)):
            told: list[tuple[int, int | None]] = []
            await store.put("a", source, progress=lambda *args: told.append(args))  # noqa: B023
            assert told == [(131_072, total), (262_144, total), (len(MANY), total)]
        told = []
        await store.get_into("a", tmp_path / "copy", progress=lambda *args: told.append(args))
        assert told == [(131_072, len(MANY)), (262_144, len(MANY)), (len(MANY), len(MANY))]


async def test_read_into_a_file(nats_url: str, name: str, tmp_path: Path) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        target = tmp_path / "copy"
        target.write_bytes(b"old")
        info = await store.get_into("a", target)
        assert info.size == len(MANY)
        assert target.read_bytes() == MANY
        await store.get_into("a", str(tmp_path / "other"))
        umask = os.umask(0)
        os.umask(umask)
        assert (tmp_path / "other").stat().st_mode & 0o777 == 0o666 & ~umask
        buffer = io.BytesIO()
        await store.get_into("a", buffer)
        assert buffer.getvalue() == MANY
        with pytest.raises(FileNotFoundError):
            await store.get_into("a", tmp_path / "none" / "copy")
        with pytest.raises(ObjectNotFoundError):
            await store.get_into("b", tmp_path / "b")
        assert files(tmp_path) == ["copy", "other"]


async def test_delete_leaves_a_mark_and_no_chunks(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        gone = await store.delete("a")
        assert (gone.deleted, gone.size, gone.chunks, gone.digest) == (True, 0, 0, "")
        for call in (store.get, store.get_info, store.get_bytes):
            with pytest.raises(ObjectDeletedError, match="'a'"):
                await call("a")
        assert (await store.get_info("a", show_deleted=True)).deleted
        assert await contents(store) == ({}, set())
        assert (await store.delete("a")).revision == gone.revision
        with pytest.raises(ObjectNotFoundError):
            await store.delete("b")
        with pytest.raises(ObjectNotFoundError):
            await store.get("b")
        await store.put("a", b"again")
        assert await store.get_bytes("a") == b"again"


async def test_list(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        assert await store.list() == []
        for each in ("a", "b", "c"):
            await store.put(each, each)
        await store.delete("b")
        assert [info.name for info in await store.list()] == ["a", "c"]
        assert sorted(info.name for info in await store.list(show_deleted=True)) == ["a", "b", "c"]
        await nothing_left_over(store)


# What is stored about objects


async def test_update_meta_changes_what_is_given(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        first = await store.put("a", MANY, description="one", metadata={"k": "v"}, headers={"H": "1"})
        changed = await store.update_meta("a", description="two")
        assert changed.revision > first.revision
        found = await store.get_info("a")
        assert (found.description, found.metadata, found.headers) == ("two", {"k": "v"}, {"H": ["1"]})
        await store.update_meta("a", description="", metadata={}, headers={"X": ["1", "2"]})
        found = await store.get_info("a")
        assert (found.description, found.metadata, found.headers) == ("", {}, {"X": ["1", "2"]})
        assert await store.get_bytes("a") == MANY
        with pytest.raises(ObjectNotFoundError):
            await store.update_meta("b", description="x")
        await store.delete("a")
        with pytest.raises(ObjectDeletedError):
            await store.update_meta("a", new_name="c")


async def test_rename(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        await store.put("b", b"b")
        with pytest.raises(ObjectExistsError, match="'b'"):
            await store.update_meta("a", new_name="b")
        renamed = await store.update_meta("a", new_name="c", description="now c")
        assert (renamed.name, renamed.description) == ("c", "now c")
        assert await store.get_bytes("c") == MANY
        with pytest.raises(ObjectDeletedError):
            await store.get("a")
        # Whatever is done to the old name leaves the chunks to the new one.
        await store.delete("a")
        await store.put("a", b"new")
        await store.delete("b")
        await store.update_meta("c", new_name="b")
        assert await store.get_bytes("b") == MANY
        await nothing_left_over(store)


# Links


async def test_links_are_followed_once(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store, other = await made(client, name), await made(client, f"{name}other")
        target = await other.put("target", MANY)
        here = await store.put("here", b"here")
        link = await store.add_link("link", target)
        assert link.link == ObjectLink(f"{name}other", "target")
        assert await store.get_bytes("link") == MANY
        assert (await store.get("link")).info.name == "target"
        assert (await store.get_info("link")).link == link.link
        await store.add_link("link", here)
        assert await store.get_bytes("link") == b"here"
        with pytest.raises(ObjectLinkError, match="link to what it leads to"):
            await store.add_link("more", await store.get_info("link"))
        with pytest.raises(ObjectExistsError):
            await store.add_link("here", target)
        with pytest.raises(ObjectLinkError, match="was deleted"):
            await store.add_link("more", await other.delete("target"))
        with pytest.raises(InvalidObjectError):
            await store.add_link("more", "target")  # type: ignore[arg-type]
        await store.delete("here")
        with pytest.raises(ObjectLinkError, match="leads nowhere"):
            await store.get("link")
        await store.update_meta("link", description="of old", new_name="renamed")
        assert (await store.get_info("renamed")).link == ObjectLink(name, "here")
        await store.put("renamed", b"an object now")
        assert await store.get_bytes("renamed") == b"an object now"
        await nothing_left_over(store)


async def test_links_that_lead_to_links_or_nowhere(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        target = await store.put("a", b"a")
        await store.add_link("one", target)
        await store.add_link("two", ObjectInfo(bucket=name, name="one"))
        with pytest.raises(ObjectLinkError, match="is a link, too"):
            await store.get("two")
        await store.add_link("far", ObjectInfo(bucket=f"{name}none", name="a"))
        with pytest.raises(ObjectLinkError, match="there is no object store"):
            await store.get("far")


async def test_a_link_to_a_bucket(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store, other = await made(client, name), await made(client, f"{name}other")
        link = await store.add_bucket_link("folder", other)
        assert link.link == ObjectLink(other.bucket)
        await store.add_bucket_link("folder", name)
        with pytest.raises(ObjectLinkError, match="open that"):
            await store.get("folder")
        await store.put("a", b"")
        with pytest.raises(ObjectExistsError):
            await store.add_bucket_link("a", other)
        await store.delete("folder")
        assert [info.name for info in await store.list()] == ["a"]


async def test_a_sealed_store_can_only_be_read(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.put("a", MANY)
        assert not (await store.status()).is_sealed
        assert (await store.seal()).is_sealed
        for call in (
            store.put("a", b"x"),
            store.put("b", MANY),
            store.delete("a"),
            store.update_meta("a", description="x"),
        ):
            with pytest.raises(StreamSealedError):
                await call
        assert await store.get_bytes("a") == MANY


# What cannot be


@pytest.mark.parametrize("bad", ["", None, 5, b"a", "\ud800", "x" * 3000], ids=repr)
async def test_names_that_no_object_can_have(nats_url: str, name: str, bad: Any) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        target = await store.put("a", b"a")
        sent = client.stats.out_msgs
        for call in (
            store.put(bad, b""),
            store.get(bad),
            store.get_info(bad),
            store.delete(bad),
            store.update_meta(bad),
            store.add_link(bad, target),
            store.add_bucket_link(bad, store),
        ):
            with pytest.raises(InvalidObjectError):
                await call
        if bad is not None:
            with pytest.raises(InvalidObjectError):
                await store.update_meta("a", new_name=bad)
        assert client.stats.out_msgs == sent


async def broken() -> AsyncIterator[Any]:
    yield "text"


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (None, {}),
        (5, {}),
        ({"a": 1}, {}),
        (io.StringIO("text"), {}),
        (["text"], {}),
        ([1], {}),
        (broken(), {}),
        (b"", {"chunk_size": 0}),
        (b"", {"chunk_size": 2**21}),
        (b"", {"chunk_size": True}),
        (b"", {"description": 5}),
        (b"", {"metadata": {"a": 1}}),
        (b"", {"metadata": ["a"]}),
        (b"", {"headers": {"a": [1]}}),
        (b"", {"headers": {"": "x"}}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else repr(value),
)
async def test_what_cannot_be_put(nats_url: str, name: str, data: Any, options: dict[str, Any]) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        with pytest.raises(InvalidObjectError):
            await store.put("a", data, **options)
        assert (await store.status()).stream_info.state.messages == 0


async def test_a_path_that_is_not_there(nats_url: str, name: str, tmp_path: Path) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        with pytest.raises(FileNotFoundError):
            await store.put("a", tmp_path / "none")
        with pytest.raises(InvalidObjectError):
            await store.get_into("a", 5)  # type: ignore[arg-type]


async def test_what_is_no_info_is_said(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        store = await made(client, name)
        await store.js.publish(f"$O.{name}.M.YQ==", b"{}")
        with pytest.raises(StoredInfoError):
            await store.get("a")
