"""What the tests of object stores share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tidings.nats import Client
from tidings.nats.jetstream import ObjectStore

__all__ = ["MANY", "contents", "files", "made", "nothing_left_over", "parts"]

_SOON = 20.0  # seconds; a consumer that nobody deletes lives longer
MANY = os.urandom(300_000)
"""More than two chunks."""


async def made(client: Client, name: str, **fields: Any) -> ObjectStore:
    return await client.jetstream().create_object_store(bucket=name, storage="memory", **fields)


async def contents(store: ObjectStore) -> tuple[dict[str, int], set[str]]:
    """Chunks by the name that they are under, and the names that infos refer to."""
    info = await (await store.js.stream(store.stream_name)).info(subjects_filter=f"$O.{store.bucket}.C.>")
    prefix = f"$O.{store.bucket}.C."
    chunks = {subject.removeprefix(prefix): count for subject, count in info.state.subjects.items()}
    return chunks, {info.nuid for info in await store.list() if info.chunks}


async def nothing_left_over(store: ObjectStore) -> None:
    """Every chunk belongs to an object, every object has its chunks, and no consumer is left."""
    chunks, objects = await contents(store)
    assert set(chunks) == objects
    for info in await store.list():
        if info.link is None:
            assert chunks.get(info.nuid, 0) == info.chunks
            assert len(await store.get_bytes(info.name)) == info.size
    async with asyncio.timeout(_SOON):
        while (await store.status()).stream_info.state.consumer_count:
            pass


def files(folder: Path) -> list[str]:
    """The names of all that is in it."""
    return sorted(each.name for each in folder.iterdir())


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        yield part
