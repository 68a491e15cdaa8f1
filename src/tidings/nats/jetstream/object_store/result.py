"""Reading an object: its chunks in order, looked at as they come."""

from __future__ import annotations

import asyncio
import builtins
import io
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from types import TracebackType
from typing import Self

from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream.errors import StreamNotFoundError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.object_store.errors import (
    DigestMismatchError,
    ObjectChangedError,
    ObjectIncompleteError,
)
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.putting import Progress
from tidings.nats.jetstream.object_store.store import Store, missing
from tidings.nats.jetstream.object_store.threads import PART_SIZE, Digest, keep_memory
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages
from tidings.nats.wire import MAX_PAYLOAD

__all__ = ["ObjectResult"]

_WINDOW = 8 * 1024 * 1024  # bytes of chunks asked for and not yet taken
_MOST_CHUNKS = 4096  # … of small ones
_HEARTBEAT = 1.0  # seconds until it shows that chunks were removed under the reader


class ObjectResult:
    """The bytes of an object, from `ObjectStore.get`, as an ``async for`` of chunks or with `read`.

    ::

        async with await store.get("report.pdf") as result:
            async for chunk in result:
                ...

    Each iteration reads the object from its beginning. Size and digest are looked at with the last chunk: an
    iteration that comes to its end has given the object that was put. One that is left early ends at the
    server when it is closed, as at the end of the ``async with``.

    Attributes:
        info: of the object; behind a link that of what it leads to.
    """

    def __init__(self, store: Store, info: ObjectInfo, timeout: float, progress: Progress | None) -> None:
        self.info = info
        self._store = store
        self._timeout = timeout
        self._progress = progress
        self._reading: OrderedMessages | None = None

    async def read(self) -> bytes:
        """All of it. Raises as `chunks`."""
        # In the place where it stays: to touch memory for the first time costs as much as all else here.
        # Whatever the info says, no chunk is longer than the parser takes.
        info, end, hashed, digest = self.info, 0, 0, Digest()
        whole = io.BytesIO(bytes(min(info.size, info.chunks * MAX_PAYLOAD)))
        with whole.getbuffer() as view:
            async with aclosing(self._arriving()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    start, end = end, end + len(chunk)
                    if end > len(view):
                        raise self._wrong_size(end)
                    view[start:end] = chunk
                    if end - hashed >= PART_SIZE:
                        await digest.add(view[hashed:end])
                        hashed = end
                    if self._progress is not None and end < info.size:
                        self._progress(end, info.size)
            await digest.add(view[hashed:end])
            await self._check(end, digest)
        if self._progress is not None:
            self._progress(end, end)
        return whole.getvalue()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks in order.

        Raises:
            ObjectChangedError: it was put anew, renamed or deleted meanwhile: get it again.
            ObjectIncompleteError: chunks are missing.
            DigestMismatchError: it is not what was put.
            TimeoutError: the next chunk did not come in time.
            ObjectStoreNotFoundError: the bucket was deleted.
            PermissionsError, ConnectionClosedError: it cannot be read.
        """
        info, digest, size, number = self.info, Digest(), 0, 0
        async with aclosing(self._arriving()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                number += 1
                size += len(chunk)
                await digest.add(chunk)
                if number == info.chunks:
                    await self._check(size, digest)
                yield chunk
                if self._progress is not None:
                    self._progress(size, info.size)
        if not number:
            await self._check(0, digest)
            if self._progress is not None:
                self._progress(0, 0)

    async def _arriving(self) -> AsyncIterator[bytes]:
        """The chunks, as many as there are, not looked at."""
        info = self.info
        if not info.chunks:
            return
        messages, mark = await self._open()
        try:
            for number in range(info.chunks):
                message = await (messages.take() if messages.pending_msgs else self._next(messages))
                if message is mark:
                    message = await self._wait_for_replica(messages, mark)
                if message is None:
                    raise await self._why(f"{number} of its {info.chunks} chunks are there")
                yield message.data
        finally:
            if self._reading is messages:
                self._reading = None
            await messages.aclose()

    async def _open(self) -> tuple[OrderedMessages, JetStreamMsg]:
        await self.aclose()
        store, info = self._store, self.info
        average = max(info.size // info.chunks, 1)
        batch = min(max(_WINDOW // average, 2), _MOST_CHUNKS, info.chunks)
        keep_memory()
        subject = f"$O.{store.bucket}.C.{info.nuid}"
        consumer = OrderedConsumer(store.js.api, store.stream_name, filter_subjects=subject)
        messages = consumer.messages(batch=batch, heartbeat=_HEARTBEAT)
        mark = JetStreamMsg()
        try:
            await messages.open(mark)
        except StreamNotFoundError as error:
            raise missing(store.bucket, error) from error
        self._reading = messages
        return messages, mark

    async def _next(self, messages: OrderedMessages) -> JetStreamMsg | None:
        return await self._in_time(messages.take())

    async def _wait_for_replica(self, messages: OrderedMessages, mark: JetStreamMsg) -> JetStreamMsg | None:
        """The next chunk, once the replica that is read from has what the leader has; None if that is all.

        The consumer is at any one of the replicas, which may hear of a chunk much later than its publisher: a
        chunk is stored when most have it, and the others wait while there is no leader.
        """

        async def take() -> JetStreamMsg | None:
            message: JetStreamMsg | None = mark
            while message is mark:
                if await self._store._count_chunks(self.info.nuid) < self.info.chunks:
                    return None
                messages.mark_again(mark)
                message = await messages.take()
            return message

        return await self._in_time(take())

    async def _in_time(self, chunk: Awaitable[JetStreamMsg | None]) -> JetStreamMsg | None:
        try:
            async with asyncio.timeout(self._timeout):
                return await chunk
        except StreamNotFoundError as error:
            raise missing(self._store.bucket, error) from error
        except builtins.TimeoutError as error:
            if isinstance(error, TimeoutError):
                raise
            raise TimeoutError(
                f"the next chunk of object {self.info.name!r} did not come within {self._timeout} s"
            ) from None

    async def _check(self, size: int, digest: Digest) -> None:
        info = self.info
        if size != info.size:
            raise self._wrong_size(size)
        # Others have written it without the padding.
        if info.digest and (await digest.text()).rstrip("=") != info.digest.rstrip("="):
            raise DigestMismatchError(
                f"object {info.name!r} of bucket {info.bucket!r} has another digest than what was put: read "
                "it from another replica, or put it again"
            )

    def _wrong_size(self, size: int) -> Exception:
        info = self.info
        return ObjectIncompleteError(
            f"object {info.name!r} of bucket {info.bucket!r} has {size} bytes, not {info.size}: put it again"
        )

    async def _why(self, what: str) -> Exception:
        """What to raise when chunks are missing."""
        info = self.info
        there = await self._store._stored(info.name)
        if there is None or there.nuid != info.nuid or there.deleted:
            verb = "put anew" if there is not None and not there.deleted else "deleted"
            return ObjectChangedError(
                f"object {info.name!r} of bucket {info.bucket!r} was {verb} while it was read: get it again"
            )
        return ObjectIncompleteError(
            f"object {info.name!r} of bucket {info.bucket!r} is not whole: {what}; put it again"
        )

    async def aclose(self) -> None:
        """Have the server forget an iteration that was left early. Idempotent."""
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
