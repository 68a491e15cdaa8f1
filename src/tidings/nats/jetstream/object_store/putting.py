"""A put: chunks under way many at once, then the info that makes them an object.

Until the info is stored nothing has changed for anybody else. It is stored only if nobody wrote the name
since it was looked at, so of two puts at once one replaces the other, and knows whose chunks to remove; the
chunks of a put that does not come to its end are removed as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from tidings.nats.errors import ConnectionClosedError, Error, TimeoutError
from tidings.nats.jetstream.acks import acks_of
from tidings.nats.jetstream.errors import NoStreamResponseError, UnconfirmedError, WrongLastSequenceError
from tidings.nats.jetstream.object_store.errors import StoredInfoError
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.sources import parts_of
from tidings.nats.jetstream.object_store.store import Attempts, Store
from tidings.nats.jetstream.object_store.threads import Digest
from tidings.nats.jetstream.puback import PubAck

__all__ = ["Progress", "Putting"]

Progress: TypeAlias = Callable[[int, int | None], Any]
"""Called with the bytes so far, and all of them where that is known."""

_UNDER_WAY = 8 * 1024 * 1024  # bytes of chunks that wait for their acknowledgement
_CLEANING = 30.0  # seconds for the removal of chunks, through cuts of the connection
_background: set[asyncio.Task[Any]] = set()

T = TypeVar("T")


class Putting:
    """Puts one object.

    Args:
        store: where.
        info: what is known of it beforehand, `nuid` and `chunk_size` among it.
    """

    def __init__(self, store: Store, info: ObjectInfo) -> None:
        self._store = store
        self._info = info
        self._under_way: deque[tuple[asyncio.Future[PubAck], int]] = deque()
        self._acknowledged = 0
        self._may_be_stored = False

    async def put(self, source: Any, total: int | None, progress: Progress | None) -> ObjectInfo:
        """Send the bytes, then the info. Raises as `ObjectStore.put`."""
        try:
            info = await self._send(source, total, progress)
        except BaseException:
            await clean_up(self._store, self._info.nuid, [future for future, _ in self._under_way])
            raise
        # Cancelled in the middle nobody could say whether it is stored: it comes to its end, also without us.
        committing = _in_background(self._commit_or_clean_up(info))
        try:
            return await asyncio.shield(committing)
        except asyncio.CancelledError:
            await asyncio.wait([committing])
            if not committing.cancelled():
                committing.exception()  # who cancelled does not want to know
            raise

    async def _commit_or_clean_up(self, info: ObjectInfo) -> ObjectInfo:
        try:
            return await self._commit(info)
        except Exception:
            if not self._may_be_stored:
                await clean_up(self._store, info.nuid, [])
            raise

    async def _send(self, source: Any, total: int | None, progress: Progress | None) -> ObjectInfo:
        js, size = self._store.js, self._info.chunk_size
        limit = max(_UNDER_WAY // size, 2)
        writer = js.connection.writer
        subject = f"{self._store._prefix}C.{self._info.nuid}"
        digest, stored, chunks = Digest(), 0, 0
        async with aclosing(parts_of(source, size)) as parts:  # type: ignore[type-var]
            async for part in parts:
                while len(self._under_way) >= limit or (self._under_way and self._under_way[0][0].done()):
                    await self._settle_first(total, progress)
                blocks = [part[start : start + size] for start in range(0, len(part), size)]
                self._post(subject, blocks)
                stored += len(part)
                chunks += len(blocks)
                await writer.relieve()
                await digest.add(part)
        text = await digest.text()
        while self._under_way:
            await self._settle_first(total, progress)
        if progress is not None and not chunks:
            progress(0, 0)
        return replace(self._info, size=stored, chunks=chunks, digest=text)

    def _post(self, subject: str, blocks: list[memoryview]) -> None:
        # Not by publish_async: what is refused for a moment would be sent again behind the next chunk.
        js = self._store.js
        acks = acks_of(js.connection)
        deadline = monotonic() + (js.options.publish_async_ack_timeout or inf)
        futures = acks.post_together(subject, blocks, deadline)
        self._under_way += zip(futures, map(len, blocks), strict=False)
        for block in blocks[len(futures) :]:
            self._under_way.append((acks.post(subject, block, None, deadline)[1], len(block)))

    async def _settle_first(self, total: int | None, progress: Progress | None) -> None:
        future, size = self._under_way[0]
        if not future.done():
            await asyncio.wait([future])  # who is cancelled here does not cancel it: it may be stored yet
        try:
            self._store._check(future.result())
        except NoStreamResponseError as error:
            raise await self._store._explain(error) from error
        self._under_way.popleft()
        self._acknowledged += size
        if progress is not None:
            progress(self._acknowledged, total)

    async def _commit(self, info: ObjectInfo) -> ObjectInfo:
        """Store the info in the place of what is there, and remove the chunks of that."""
        store = self._store
        attempts = Attempts(max(store.js.api.timeout, _CLEANING))
        unconfirmed: ObjectInfo | None = None  # what we may have replaced
        while True:
            there = await self._look(info.name, attempts)
            if self._may_be_stored and there is not None and there.nuid == info.nuid:
                revision, replaced = there.revision, unconfirmed
                break
            if self._may_be_stored and _revision(there) != _revision(unconfirmed):
                # Somebody else has the name. If ours was stored before, it was replaced: as good as put.
                await self._remove(info.nuid)
                await self._remove(_chunks_of(unconfirmed))
                return replace(info, mtime=datetime.now(UTC))
            try:
                revision = await store._write_info(info, _revision(there))
                replaced = there
                break
            except WrongLastSequenceError as error:
                await attempts.after(error)
            except (UnconfirmedError, TimeoutError) as error:
                self._may_be_stored, unconfirmed = True, there
                await attempts.after(error)
        self._may_be_stored = True
        await self._remove(_chunks_of(replaced))
        return replace(info, revision=revision, mtime=datetime.now(UTC))

    async def _look(self, name: str, attempts: Attempts) -> ObjectInfo | None:
        while True:
            try:
                return await self._store._stored(name)
            except TimeoutError as error:
                if not self._may_be_stored:
                    raise
                await attempts.after(error)
            except StoredInfoError as error:
                raise StoredInfoError(f"{error}; delete the message before {name!r} is put again") from error

    async def _remove(self, nuid: str) -> None:
        await clean_up(self._store, nuid, [])


async def clean_up(store: Store, nuid: str, under_way: list[asyncio.Future[PubAck]]) -> None:
    """Remove chunks; goes on through cuts of the connection, and after a cancellation, for a while."""
    if not nuid:
        return
    task = _in_background(_purge(store, nuid, under_way))
    await asyncio.wait([task], timeout=store.js.api.timeout)


def _in_background(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that goes on when nobody waits for it."""
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


async def _purge(store: Store, nuid: str, under_way: list[asyncio.Future[PubAck]]) -> None:
    if under_way:  # a chunk that is stored behind the purge would stay
        await asyncio.wait(under_way, timeout=_CLEANING)
        for future in under_way:
            if future.done() and not future.cancelled():
                future.exception()
    attempts = Attempts(_CLEANING)
    while True:
        try:
            await store._purge_chunks(nuid)
            return
        except ConnectionClosedError:
            return
        except TimeoutError as error:
            try:
                await attempts.after(error)
            except TimeoutError as over:
                store.js.connection.callbacks.report(over)
                return
        except Error as error:
            store.js.connection.callbacks.report(error)
            return


def _revision(info: ObjectInfo | None) -> int:
    return 0 if info is None else info.revision


def _chunks_of(info: ObjectInfo | None) -> str:
    """What names the chunks that go with `info`, if it has any."""
    return "" if info is None or info.deleted or info.link is not None else info.nuid
