"""Reading an object store."""

from __future__ import annotations

import os
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, BinaryIO

from tidings.nats.jetstream.errors import StreamNotFoundError
from tidings.nats.jetstream.object_store.errors import (
    InvalidObjectError,
    ObjectDeletedError,
    ObjectLinkError,
    ObjectNotFoundError,
    ObjectStoreNotFoundError,
)
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.names import check_bucket, encode_name, stream_of
from tidings.nats.jetstream.object_store.putting import Progress
from tidings.nats.jetstream.object_store.result import ObjectResult
from tidings.nats.jetstream.object_store.store import Store, missing
from tidings.nats.jetstream.object_store.threads import in_thread
from tidings.nats.jetstream.object_store.watch import ObjectWatcher, WatchSettings, open_watcher

__all__ = ["Reads"]

_WRITE = 1024 * 1024  # bytes written to a file at once


class Reads(Store):
    """The part of `ObjectStore` that reads."""

    async def get(
        self, name: str, *, chunk_timeout: float | None = None, progress: Progress | None = None
    ) -> ObjectResult:
        """An object, to be read as it comes; a link is followed to the object that it leads to.

        Args:
            name: which.
            chunk_timeout: seconds that a chunk may take; None takes those of the context.
            progress: called with the bytes that were read so far, and all of them.

        Raises:
            ObjectNotFoundError, ObjectDeletedError: there is none.
            ObjectLinkError: a link to a bucket, to a link, or to what is not there.
            InvalidObjectError: no object can have this name; nothing was sent.
            ObjectStoreNotFoundError: the bucket was deleted.
            TimeoutError, PermissionsError, ConnectionClosedError: as `Client.request`.
        """
        info = await self.get_info(name)
        store: Store = self
        if info.link is not None:
            store, info = await self._follow(info)
        timeout = self.js.api.timeout if chunk_timeout is None else chunk_timeout
        return ObjectResult(store, info, timeout, progress)

    async def get_bytes(self, name: str, *, chunk_timeout: float | None = None) -> bytes:
        """All of an object. Raises as `get` and `ObjectResult.chunks`."""
        return await (await self.get(name, chunk_timeout=chunk_timeout)).read()

    async def get_into(
        self,
        name: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        chunk_timeout: float | None = None,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Read an object into a file; returns its info.

        Args:
            name, chunk_timeout, progress: as for `get`.
            target: a path, where the file appears when all of it is there and has been looked at, in the
                place of one that is there; or an open binary file, which has what was written until an error.

        Raises:
            OSError: the file cannot be written.
            The rest as `get` and `ObjectResult.chunks`.
        """
        if not isinstance(target, str | os.PathLike) and not hasattr(target, "write"):
            raise InvalidObjectError(f"an object is read into a path or a binary file, not {target!r}")
        result = await self.get(name, chunk_timeout=chunk_timeout, progress=progress)
        if not isinstance(target, str | os.PathLike):
            await _copy(result, target)
            return result.info
        path = Path(target)
        beside = path.with_name(f".{path.name[:100]}.{os.urandom(6).hex()}.part")
        try:
            file = await in_thread(open, beside, "xb", 0)
            try:
                await _copy(result, file)
            finally:
                file.close()
            os.replace(beside, path)
        except BaseException:
            with suppress(FileNotFoundError):
                beside.unlink()
            raise
        return result.info

    async def get_info(self, name: str, *, show_deleted: bool = False) -> ObjectInfo:
        """What is known of an object or link, which is not followed.

        Args:
            name: which.
            show_deleted: also if it says that it was deleted.

        Raises:
            ObjectNotFoundError, ObjectDeletedError: there is none.
            The rest as `get`.
        """
        info = await self._stored(name)
        if info is None:
            raise ObjectNotFoundError(self.bucket, name)
        if info.deleted and not show_deleted:
            raise ObjectDeletedError(self.bucket, name)
        return info

    async def list(self, *, show_deleted: bool = False) -> list[ObjectInfo]:
        """What is known of all objects and links; empty where there are none. Raises as `watch`."""
        async with await self.watch(ignore_deletes=not show_deleted) as watcher:
            # Where the reading had to begin anew, one that was put meanwhile comes twice.
            return [*{info.name: info for info in await watcher.initial()}.values()]

    async def watch(
        self,
        *,
        ignore_deletes: bool = False,
        include_history: bool = False,
        updates_only: bool = False,
    ) -> ObjectWatcher:
        """What is there, then None, then each change: an object put, changed or deleted.

        Nothing is missed or told twice, whatever happens to the connection.

        Args:
            ignore_deletes: leave out what says that an object was deleted.
            include_history: all that the bucket has; as it keeps one info of each object, those are the same
                unless another client stored them otherwise.
            updates_only: leave out what is there.

        Raises:
            ConfigError: `include_history` and `updates_only` are both given.
            ObjectStoreNotFoundError: the bucket was deleted.
            TimeoutError, PermissionsError, ConnectionClosedError: as `Client.request`.
        """
        settings = WatchSettings(ignore_deletes, include_history, updates_only)
        return await open_watcher(self, settings)

    async def _follow(self, info: ObjectInfo) -> tuple[Store, ObjectInfo]:
        link = info.link
        assert link is not None
        if not link.name:
            raise ObjectLinkError(
                f"{info.name!r} is a link to bucket {link.bucket!r} as a whole: open that, and get an object "
                "of it"
            )
        encode_name(link.name)
        store: Store = self
        try:
            if link.bucket != self.bucket:
                stream = await self.js.stream(stream_of(check_bucket(link.bucket)))
                store = Store(self.js, stream.cached_info)
            target = await store._stored(link.name)
        except ObjectStoreNotFoundError as error:
            raise ObjectLinkError(f"link {info.name!r} leads nowhere: {error}") from error
        except StreamNotFoundError as error:
            raise ObjectLinkError(
                f"link {info.name!r} leads nowhere: {missing(link.bucket, error)}"
            ) from error
        if target is None or target.deleted:
            raise ObjectLinkError(
                f"link {info.name!r} leads nowhere: {link.name!r} of bucket {link.bucket!r} is not there"
            )
        if target.link is not None:
            raise ObjectLinkError(
                f"link {info.name!r} leads to {link.name!r} of bucket {link.bucket!r}, which is a link, too: "
                "only one is followed"
            )
        return store, target


async def _copy(result: ObjectResult, file: Any) -> None:
    gathered = bytearray()
    async with aclosing(result.chunks()) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            gathered += chunk
            if len(gathered) >= _WRITE:
                await in_thread(_write, file, gathered)
                gathered = bytearray()
    if gathered:
        await in_thread(_write, file, gathered)


def _write(file: Any, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        written = file.write(view)
        view = view[len(view) if written is None else written :]
