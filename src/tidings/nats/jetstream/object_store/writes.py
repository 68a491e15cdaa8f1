"""Changing what is in an object store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from tidings.nats.jetstream.errors import WrongLastSequenceError
from tidings.nats.jetstream.object_store.errors import (
    InvalidObjectError,
    ObjectChangedError,
    ObjectDeletedError,
    ObjectExistsError,
    ObjectLinkError,
    ObjectNotFoundError,
)
from tidings.nats.jetstream.object_store.info import (
    HeaderValues,
    ObjectInfo,
    ObjectLink,
    check_headers,
    check_texts,
)
from tidings.nats.jetstream.object_store.names import check_bucket, encode_name
from tidings.nats.jetstream.object_store.putting import Progress, Putting, clean_up
from tidings.nats.jetstream.object_store.sources import Source, check_source, size_of
from tidings.nats.jetstream.object_store.store import Attempts, Store

__all__ = ["CHUNK_SIZE", "Writes"]

CHUNK_SIZE = 128 * 1024
"""Bytes of a chunk that is given no size (ADR-20)."""


class Writes(Store):
    """The part of `ObjectStore` that writes."""

    async def put(
        self,
        name: str,
        data: Source,
        *,
        description: str = "",
        headers: HeaderValues | None = None,
        metadata: Mapping[str, str] | None = None,
        chunk_size: int = CHUNK_SIZE,
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store an object, in the place of the one of that name if there is one.

        Readers have the old one until all of the new one is stored. Fails it on the way (the source raises,
        the connection is cut, it is cancelled), then the old one stays as it is and what was sent is removed.
        Of several puts at once the last one to end stays.

        Args:
            name: any text but an empty one.
            data: see `Source`; of a file or iterator little is in memory at a time. What was open stays open.
            description, metadata: for whoever looks.
            headers: names with a value or several each.
            chunk_size: bytes of each message, at most what the server takes as one.
            progress: called with the bytes that are stored so far, and all of them or None; what it raises
                breaks the put.

        Raises:
            InvalidObjectError: what cannot be put; nothing was sent.
            ObjectStoreNotFoundError: the bucket was deleted.
            StreamSealedError: it is sealed.
            LimitError: it is full.
            UnconfirmedError: the connection was lost. A put that had sent all of the object says so only when
                nobody can be asked whether it is stored.
            PermissionsError, ConnectionClosedError: as `JetStream.publish`.
            Whatever `data` or `progress` raises.
        """
        encode_name(name)
        check_texts(description, metadata or {})
        self._check_chunk_size(chunk_size)
        check_source(data)
        info = ObjectInfo(
            bucket=self.bucket,
            name=name,
            nuid=new_nuid(),
            description=description,
            headers=check_headers(headers),
            metadata=dict(metadata or {}),
            chunk_size=chunk_size,
        )
        return await Putting(self, info).put(data, size_of(data), progress)

    async def delete(self, name: str) -> ObjectInfo:
        """Delete an object or a link; what it leads to stays. One that was deleted before is as good.

        Raises:
            ObjectNotFoundError: there never was one of that name.
            StreamSealedError: the bucket is sealed.
            ObjectStoreNotFoundError, PermissionsError, ConnectionClosedError: as `put`.
        """

        def change(there: ObjectInfo | None) -> ObjectInfo:
            if there is None:
                raise ObjectNotFoundError(self.bucket, name)
            return there if there.deleted else _removed(there, there.nuid)

        before, after = await self._change(name, change)
        if before is not None and not before.deleted and before.link is None:
            await clean_up(self, before.nuid, [])
        return after

    async def update_meta(
        self,
        name: str,
        *,
        new_name: str | None = None,
        description: str | None = None,
        headers: HeaderValues | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Change what is stored about an object or a link, its name too; None leaves as it is.

        The bytes stay where they are.

        Raises:
            ObjectNotFoundError, ObjectDeletedError: there is none of that name.
            ObjectExistsError: there is one of the new name.
            ObjectChangedError: it was put anew while it was renamed; nothing was changed.
            InvalidObjectError: a value that cannot be; nothing was sent.
            The rest as `delete`.
        """
        encode_name(name)
        if new_name is not None:
            encode_name(new_name)
        check_texts(description or "", metadata or {})
        checked = None if headers is None else check_headers(headers)

        def changed(there: ObjectInfo | None) -> ObjectInfo:
            if there is None:
                raise ObjectNotFoundError(self.bucket, name)
            if there.deleted:
                raise ObjectDeletedError(self.bucket, name)
            return replace(
                there,
                description=there.description if description is None else description,
                headers=there.headers if checked is None else checked,
                metadata=there.metadata if metadata is None else dict(metadata),
            )

        if new_name is None or new_name == name:
            return (await self._change(name, changed))[1]
        there = await self._stored(name)
        return await self._rename(there, replace(changed(there), name=new_name))

    async def _rename(self, there: ObjectInfo | None, renamed: ObjectInfo) -> ObjectInfo:
        assert there is not None

        def place(taken: ObjectInfo | None) -> ObjectInfo:
            if taken is not None and not taken.deleted:
                raise ObjectExistsError(
                    f"there is an object {renamed.name!r} in bucket {self.bucket!r}: delete it first"
                )
            return renamed

        _, after = await self._change(renamed.name, place)
        try:
            # With a name of no chunks: they belong to the new name now.
            await self._write_info(_removed(there, new_nuid()), there.revision)
        except WrongLastSequenceError as error:
            await self._take_back(after)
            raise ObjectChangedError(
                f"object {there.name!r} of bucket {self.bucket!r} was written while it was renamed: try again"
            ) from error
        return after

    async def _take_back(self, renamed: ObjectInfo) -> None:
        with suppress(WrongLastSequenceError):  # somebody else has the name by now
            await self._write_info(_removed(renamed, new_nuid()), renamed.revision)

    async def add_link(self, name: str, target: ObjectInfo) -> ObjectInfo:
        """Store a link to an object, which may be of another bucket. `get` follows it.

        Args:
            name: of the link; one that is there is replaced, an object is not.
            target: as `get_info` gave it.

        Raises:
            ObjectLinkError: it was deleted, or is a link itself.
            ObjectExistsError: there is an object of that name.
            The rest as `delete`.
        """
        if not isinstance(target, ObjectInfo):
            raise InvalidObjectError(f"a link leads to an ObjectInfo, as get_info gives it, not {target!r}")
        encode_name(target.name)
        if target.deleted:
            raise ObjectLinkError(f"{target.name!r} was deleted: a link to it would lead nowhere")
        if target.link is not None:
            raise ObjectLinkError(f"{target.name!r} is a link itself: link to what it leads to")
        return await self._link(name, ObjectLink(check_bucket(target.bucket), target.name))

    async def add_bucket_link(self, name: str, bucket: str | Store) -> ObjectInfo:
        """Store a link to a bucket as a whole, as a directory. Args and errors as `add_link`."""
        given = bucket.bucket if isinstance(bucket, Store) else bucket
        return await self._link(name, ObjectLink(check_bucket(given)))

    async def _link(self, name: str, link: ObjectLink) -> ObjectInfo:
        encode_name(name)

        def change(there: ObjectInfo | None) -> ObjectInfo:
            if there is not None and not there.deleted and there.link is None:
                raise ObjectExistsError(
                    f"there is an object {name!r} in bucket {self.bucket!r}, which a link would replace: "
                    "delete it first"
                )
            return ObjectInfo(bucket=self.bucket, name=name, nuid=new_nuid(), link=link)

        return (await self._change(name, change))[1]

    async def _change(
        self, name: str, change: Callable[[ObjectInfo | None], ObjectInfo]
    ) -> tuple[ObjectInfo | None, ObjectInfo]:
        """Store what `change` makes of what is there, as often as somebody else comes between."""
        attempts = Attempts(self.js.api.timeout)
        while True:
            there = await self._stored(name)
            info = change(there)
            if info is there:
                return there, info
            try:
                revision = await self._write_info(info, 0 if there is None else there.revision)
            except WrongLastSequenceError as error:
                await attempts.after(error)
                continue
            return there, replace(info, revision=revision, mtime=datetime.now(UTC))

    def _check_chunk_size(self, chunk_size: int) -> None:
        limit = self.js.connection.server_info.get("max_payload") or 2**32 - 1
        if type(chunk_size) is not int or not 0 < chunk_size <= limit:
            raise InvalidObjectError(
                f"chunk_size is 1 to {limit} bytes, what the server takes as one message, not {chunk_size!r}"
            )


def new_nuid() -> str:
    """Names the chunks of one put."""
    return os.urandom(11).hex()


def _removed(info: ObjectInfo, nuid: str) -> ObjectInfo:
    return replace(info, nuid=nuid, size=0, chunks=0, digest="", deleted=True, link=None)
