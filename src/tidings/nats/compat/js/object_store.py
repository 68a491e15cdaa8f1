"""`nats.js.object_store`: nats-py's object stores."""

from __future__ import annotations

import asyncio
import base64
import builtins
import io
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, TypeAlias, cast

from tidings.nats.compat import errors as core_errors
from tidings.nats.compat.border import translated, translates
from tidings.nats.compat.js import api, errors
from tidings.nats.compat.js.constants import VALID_BUCKET_RE
from tidings.nats.compat.js.kv import MSG_ROLLUP_SUBJECT, StopIterSentinel
from tidings.nats.errors import Error
from tidings.nats.jetstream import JetStreamMsg, OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages

if TYPE_CHECKING:
    from tidings.nats.compat.js.publishing import Publishing

__all__ = ["VALID_BUCKET_RE", "ObjectStore"]

OBJ_DEFAULT_CHUNK_SIZE = 128 * 1024
OBJ_DIGEST_TYPE = "SHA-256="

_UNCONFIRMED_CHUNKS = 16

Data: TypeAlias = str | bytes | io.BufferedIOBase | BinaryIO | io.TextIOWrapper
Reader: TypeAlias = Callable[[int], bytes]


class ObjectStore:
    """An object store. Made by `JetStreamContext.object_store` and `create_object_store`."""

    @dataclass
    class ObjectResult:
        """An object; `data` is empty when it was written elsewhere."""

        info: api.ObjectInfo
        data: bytes | None = b""

    @dataclass(frozen=True)
    class ObjectStoreStatus:
        """What the server tells of an object store."""

        stream_info: api.StreamInfo
        bucket: str

        @property
        def description(self) -> str | None:
            """What it is for."""
            return self.stream_info.config.description

        @property
        def ttl(self) -> float | None:
            """Seconds that objects are kept."""
            return self.stream_info.config.max_age

        @property
        def storage_type(self) -> api.StorageType | None:
            """Where they are kept."""
            return self.stream_info.config.storage

        @property
        def replicas(self) -> int | None:
            """On how many servers."""
            return self.stream_info.config.num_replicas

        @property
        def sealed(self) -> bool:
            """Whether nothing can be changed any more."""
            return self.stream_info.config.sealed

        @property
        def size(self) -> int:
            """Bytes of all that is in it."""
            return self.stream_info.state.bytes

    class ObjectWatcher:
        """What is told of objects, as an ``async for``: what is there, None once, and then each change."""

        STOP_ITER: ClassVar[StopIterSentinel] = StopIterSentinel()

        def __init__(
            self,
            js: ObjectStore,
            messages: OrderedMessages,
            mark: JetStreamMsg | None,
            ignore_deletes: bool,
        ) -> None:
            self._js = js
            self._messages = messages
            self._mark = mark
            self._ignore_deletes = ignore_deletes

        async def stop(self) -> None:
            """End it."""
            await self._messages.aclose()

        async def updates(self, timeout: float | None = 5.0) -> api.ObjectInfo | None:
            """What is told next; None where what was there ends. Raises TimeoutError."""
            try:
                async with asyncio.timeout(timeout):
                    return await anext(self)
            except StopAsyncIteration:
                raise core_errors.BadSubscriptionError from None
            except builtins.TimeoutError as error:
                raise core_errors.TimeoutError from error

        def __aiter__(self) -> AsyncIterator[api.ObjectInfo | None]:
            return self

        async def __anext__(self) -> api.ObjectInfo | None:
            while True:
                try:
                    message = await self._messages.take()
                except Error as error:
                    raise translated(error) from error
                if message is None:
                    raise StopAsyncIteration
                if message is self._mark:
                    return None
                info = api.ObjectInfo.from_response(json.loads(message.data))
                if not (self._ignore_deletes and info.deleted):
                    return info

    def __init__(self, name: str, stream: str, js: Publishing) -> None:
        self._name = name
        self._stream = stream
        self._js = js

    # Reading

    async def get_info(self, name: str, show_deleted: bool | None = False) -> api.ObjectInfo:
        """What is told of an object. Raises ObjectNotFoundError, BadObjectMetaError."""
        try:
            message = await self._js.get_last_msg(self._stream, self._meta_subject(name))
        except errors.NotFoundError as error:
            raise errors.ObjectNotFoundError from error
        try:
            info = api.ObjectInfo.from_response(json.loads(message.data or b""))
        except (ValueError, TypeError, AttributeError) as error:
            raise errors.BadObjectMetaError from error
        if info.deleted and not show_deleted:
            raise errors.ObjectNotFoundError
        return info

    async def get(
        self, name: str, writeinto: io.BufferedIOBase | None = None, show_deleted: bool | None = False
    ) -> ObjectResult:
        """An object; a link to another one gives that.

        Args:
            name: which.
            writeinto: where its data goes, in a thread, instead of into the result.
            show_deleted: also what is left of one that was deleted.

        Raises:
            ObjectNotFoundError: there is none.
            LinkIsABucketError: it is a link to a store.
            DigestMismatchError: its data is not what was put.
        """
        info = await self.get_info(name, show_deleted)
        if not info.nuid:
            raise errors.BadObjectMetaError
        link = info.options.link if info.options is not None else None
        if link is not None:
            if not link.name:
                raise errors.LinkIsABucketError
            stream = f"OBJ_{link.bucket}"
            return await ObjectStore(link.bucket, stream, self._js).get(link.name, writeinto)
        result = self.ObjectResult(info)
        if not info.size:
            return result
        held = bytearray()
        write = held.extend if writeinto is None else getattr(writeinto, "buffer", writeinto).write
        await self._read(info, write, in_thread=writeinto is not None)
        result.data = bytes(held)
        return result

    @translates
    async def _read(self, info: api.ObjectInfo, write: Callable[[bytes], Any], *, in_thread: bool) -> None:
        consumer = OrderedConsumer(
            self._js._context.api, self._stream, filter_subjects=[self._chunk_subject(info.nuid)]
        )
        digest = sha256()
        async with consumer.messages() as messages:
            while True:
                message = await messages.next(self._js._timeout)
                if in_thread:
                    await asyncio.to_thread(write, message.data)
                else:
                    write(message.data)
                digest.update(message.data)
                if message.metadata.num_pending == 0:
                    break
        told = (info.digest or "").removeprefix(OBJ_DIGEST_TYPE).removeprefix(OBJ_DIGEST_TYPE.lower())
        if base64.urlsafe_b64decode(told) != digest.digest():
            raise errors.DigestMismatchError

    async def list(self, ignore_deletes: bool = False) -> list[api.ObjectInfo]:
        """What is told of all objects. Raises NotFoundError when there are none."""
        watcher = await self.watch(ignore_deletes=ignore_deletes)
        found = []
        try:
            async for info in watcher:
                if info is None:
                    break
                found.append(info)
        finally:
            await watcher.stop()
        if not found:
            raise errors.NotFoundError
        return found

    @translates
    async def watch(
        self,
        ignore_deletes: bool = False,
        include_history: bool = False,
        meta_only: bool = False,
        updates_only: bool = False,
    ) -> ObjectWatcher:
        """Watch objects: what is there and None, unless `updates_only`, and then each change."""
        consumer = OrderedConsumer(
            self._js._context.api,
            self._stream,
            filter_subjects=[f"$O.{self._name}.M.>"],
            deliver_policy="new" if updates_only else "all" if include_history else "last_per_subject",
        )
        messages = consumer.messages()
        mark = None if updates_only else JetStreamMsg()
        await messages.open(mark)
        return self.ObjectWatcher(self, messages, mark, ignore_deletes)

    async def status(self) -> ObjectStoreStatus:
        """What the server tells of the store."""
        return self.ObjectStoreStatus(await self._js.stream_info(self._stream), self._name)

    # Writing

    async def put(self, name: str, data: Data, meta: api.ObjectMeta | None = None) -> api.ObjectInfo:
        """Put an object in the place of the one of that name; a file is read in a thread."""
        meta = replace(meta or api.ObjectMeta(), name=name or (meta.name if meta else None))
        options = meta.options or api.ObjectMetaOptions(max_chunk_size=OBJ_DEFAULT_CHUNK_SIZE)
        read, in_thread = _reader(data)
        try:
            before = await self.get_info(meta.name or "")
        except errors.NotFoundError:
            before = None
        nuid = self._js._nc.new_inbox().rpartition(".")[2]
        info = api.ObjectInfo(
            name=meta.name or "",
            bucket=self._name,
            nuid=nuid,
            size=0,
            chunks=0,
            description=meta.description,
            headers=meta.headers,
            options=options,
        )
        digest = sha256()
        unconfirmed: deque[asyncio.Future[api.PubAck]] = deque()
        try:
            while chunk := await _next_chunk(
                read, options.max_chunk_size or OBJ_DEFAULT_CHUNK_SIZE, in_thread
            ):
                digest.update(chunk)
                future = await self._js.publish_async(self._chunk_subject(nuid), chunk)
                future.add_done_callback(_take_note)
                unconfirmed.append(future)
                info.size, info.chunks = (info.size or 0) + len(chunk), (info.chunks or 0) + 1
                if len(unconfirmed) >= _UNCONFIRMED_CHUNKS:
                    await unconfirmed.popleft()
            while unconfirmed:
                await unconfirmed.popleft()
            info.digest = OBJ_DIGEST_TYPE + base64.urlsafe_b64encode(digest.digest()).decode()
            info.mtime = _now()
            await self._tell(info)
        except BaseException:
            with suppress(Error):  # what went wrong first is what is told
                await self._js.purge_stream(self._stream, subject=self._chunk_subject(nuid))
            raise
        if before is not None:
            await self._js.purge_stream(self._stream, subject=self._chunk_subject(before.nuid))
        return info

    async def delete(self, name: str) -> None:
        """Delete an object; what is told of it stays, marked. Raises ObjectNotFoundError."""
        info = await self.get_info(name)
        if not info.nuid:
            raise errors.BadObjectMetaError
        gone = replace(info, deleted=True, size=0, chunks=0, digest="", mtime="")
        try:
            await self._tell(gone)
        finally:
            await self._js.purge_stream(self._stream, subject=self._chunk_subject(info.nuid))

    async def update_meta(self, name: str, meta: api.ObjectMeta) -> None:
        """Change what is told of an object, its name too.

        Raises:
            ObjectDeletedError: there is no such object.
            ObjectAlreadyExists: there is one of the new name.
        """
        try:
            info = await self.get_info(name)
        except errors.ObjectNotFoundError as error:
            raise errors.ObjectDeletedError from error
        is_renamed = name != meta.name
        if is_renamed:
            try:
                await self.get_info(meta.name or "")
            except errors.ObjectNotFoundError:
                pass
            else:
                raise errors.ObjectAlreadyExists
        await self._tell(
            replace(info, name=meta.name or "", description=meta.description, headers=meta.headers)
        )
        if is_renamed:
            await self._js.purge_stream(self._stream, subject=self._meta_subject(name))

    async def seal(self) -> None:
        """Have nothing changed any more."""
        info = await self._js.stream_info(self._stream)
        await self._js.update_stream(info.config, sealed=True)

    async def _tell(self, info: api.ObjectInfo) -> None:
        await self._js.publish(
            self._meta_subject(info.name),
            json.dumps(info.as_dict()).encode(),
            headers={"Nats-Rollup": MSG_ROLLUP_SUBJECT},
        )

    def _meta_subject(self, name: str) -> str:
        return f"$O.{self._name}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"

    def _chunk_subject(self, nuid: str) -> str:
        return f"$O.{self._name}.C.{nuid}"


def _take_note(future: asyncio.Future[api.PubAck]) -> None:
    """One failure is raised; those of the other chunks are not to be complained of."""
    if not future.cancelled():
        future.exception()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _reader(data: Data) -> tuple[Reader, bool]:
    """What reads a number of bytes, and whether it may block."""
    if isinstance(data, str | bytes):
        return io.BytesIO(data.encode() if isinstance(data, str) else data).read, False
    if hasattr(data, "readinto") or isinstance(data, io.BufferedIOBase):
        return cast("BinaryIO", data).read, True
    if (buffer := getattr(data, "buffer", None)) is not None:
        return cast("BinaryIO", buffer).read, True
    raise TypeError("nats: invalid type for object store")


async def _next_chunk(read: Reader, size: int, in_thread: bool) -> bytes:
    return await asyncio.to_thread(read, size) if in_thread else read(size)
