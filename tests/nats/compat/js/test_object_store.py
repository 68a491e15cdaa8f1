"""Programs of object stores, written for nats-py: each runs on nats-py and on its double."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest
from tests.nats.compat.conftest import Door

LIMIT = 20.0  # seconds


async def test_put_get_list_and_delete(door: Door, nats_url: str, name: str, tmp_path: Path) -> None:
    api, errors = door.module("js.api"), door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    obs = await js.create_object_store(name, description="objects")
    with pytest.raises(errors.NotFoundError):
        await obs.list()
    blob = os.urandom(300_000)
    info = await obs.put("blob", blob)
    assert (info.name, info.bucket, info.size, info.chunks, info.deleted) == ("blob", name, 300_000, 3, False)
    assert info.digest.startswith("SHA-256=")
    assert not info.is_link()
    found = await obs.get("blob")
    assert (found.data, found.info.digest) == (blob, info.digest)
    await obs.put("text", "äöü")
    assert (await obs.get("text")).data == "äöü".encode()
    await obs.put("empty", b"")
    assert (await obs.get("empty")).data == b""

    path = tmp_path / "file"
    path.write_bytes(blob)
    with path.open("rb") as file:
        meta = api.ObjectMeta(description="a file", options=api.ObjectMetaOptions(max_chunk_size=100_000))
        assert (await obs.put("file", file, meta)).chunks == 3
    into = io.BytesIO()
    result = await obs.get("file", writeinto=into)
    assert (into.getvalue(), result.data, result.info.description) == (blob, b"", "a file")
    with pytest.raises(TypeError, match="nats: invalid type for object store"):
        await obs.put("number", 1)

    again = await obs.put("blob", b"short")
    assert (await obs.get("blob")).data == b"short"
    assert again.nuid != info.nuid
    await obs.delete("blob")
    with pytest.raises(errors.ObjectNotFoundError):
        await obs.get("blob")
    assert (await obs.get_info("blob", show_deleted=True)).deleted
    assert sorted(each.name for each in await obs.list()) == ["blob", "empty", "file", "text"]
    assert sorted(each.name for each in await obs.list(ignore_deletes=True)) == ["empty", "file", "text"]
    assert (await js.stream_info(f"OBJ_{name}")).state.messages == 4 + 1 + 3

    await obs.update_meta("text", api.ObjectMeta(name="text", description="changed"))
    assert (await obs.get_info("text")).description == "changed"
    with pytest.raises(errors.ObjectAlreadyExists):
        await obs.update_meta("text", api.ObjectMeta(name="file"))
    with pytest.raises(errors.ObjectDeletedError):
        await obs.update_meta("unknown", api.ObjectMeta(name="unknown"))
    status = await obs.status()
    assert (status.bucket, status.description, status.sealed, status.replicas) == (name, "objects", False, 1)
    assert status.size > 300_000
    await obs.seal()
    for data in (b"", blob):
        with pytest.raises(errors.BadRequestError):
            await obs.put("late", data)
    assert await js.delete_object_store(name) is True
    await nc.close()


async def test_stores_are_found_or_not(door: Door, nats_url: str, name: str) -> None:
    errors = door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    with pytest.raises(errors.BucketNotFoundError):
        await js.object_store(name)
    with pytest.raises(errors.InvalidBucketNameError):
        await js.create_object_store("a.b")
    await js.create_object_store(name)
    obs = await js.object_store(name)
    with pytest.raises(errors.ObjectNotFoundError):
        await obs.get("unknown")
    await js.delete_object_store(name)
    await nc.close()


async def test_watch(door: Door, nats_url: str, name: str) -> None:
    core = door.errors
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    obs = await js.create_object_store(name)
    await obs.put("a", b"1")
    await obs.put("b", b"2")
    watcher = await obs.watch()
    async with asyncio.timeout(LIMIT):
        assert [(await watcher.updates()).name for _ in range(2)] == ["a", "b"]
        assert await watcher.updates() is None
        await obs.delete("a")
        gone = await watcher.updates()
        assert (gone.name, gone.deleted) == ("a", True)
    with pytest.raises(core.TimeoutError):
        await watcher.updates(timeout=0.05)
    await watcher.stop()
    await js.delete_object_store(name)
    await nc.close()


async def test_text_files(door: Door, nats_url: str, name: str, tmp_path: Path) -> None:
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    obs = await js.create_object_store(name)
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_text("lorem ipsum" * 20_000)
    with source.open() as file:
        assert (await obs.put("text", file)).size == 220_000
    with copy.open("w") as file:
        assert (await obs.get("text", writeinto=file)).data == b""
    assert copy.read_text() == source.read_text()
    await js.delete_object_store(name)
    await nc.close()


async def test_an_object_is_renamed(doors: tuple[Door, Door], nats_url: str, name: str) -> None:
    """nats-py refuses it, whatever the new name is."""
    door = doors[1]
    api, errors = door.module("js.api"), door.module("js.errors")
    nc = await door.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    obs = await js.create_object_store(name)
    await obs.put("old", b"1")
    await obs.update_meta("old", api.ObjectMeta(name="new"))
    assert (await obs.get("new")).data == b"1"
    with pytest.raises(errors.ObjectNotFoundError):
        await obs.get_info("old", show_deleted=True)
    await js.delete_object_store(name)
    await nc.close()
