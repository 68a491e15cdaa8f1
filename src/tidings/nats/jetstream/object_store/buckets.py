"""The object stores of a JetStream context: what its methods for them do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tidings.nats.jetstream.errors import StreamNameInUseError, StreamNotFoundError
from tidings.nats.jetstream.object_store.config import ObjectStoreConfig, config_of
from tidings.nats.jetstream.object_store.errors import ObjectStoreExistsError, ObjectStoreNotFoundError
from tidings.nats.jetstream.object_store.names import STREAM_PREFIX, bucket_of, check_bucket, stream_of
from tidings.nats.jetstream.object_store.object_store import ObjectStore
from tidings.nats.jetstream.object_store.status import ObjectStoreStatus
from tidings.nats.jetstream.object_store.store import Context, missing

__all__ = ["Buckets", "Context"]

_ALL = "$O.*.C.>"


class Buckets:
    """Makes, changes, finds and deletes object stores."""

    def __init__(self, js: Context) -> None:
        self._js = js

    async def create(self, config: ObjectStoreConfig | None, fields: dict[str, Any]) -> ObjectStore:
        """See `JetStream.create_object_store`."""
        config = config_of(config, fields)
        try:
            stream = await self._js.create_stream(config.to_stream())
        except StreamNameInUseError as error:
            raise ObjectStoreExistsError(
                error.code,
                error.err_code,
                f"there is an object store {config.bucket!r} with another config: {error.description}",
                error.request,
            ) from error
        return ObjectStore(self._js, stream.cached_info)

    async def update(self, config: ObjectStoreConfig | None, fields: dict[str, Any]) -> ObjectStore:
        """See `JetStream.update_object_store`."""
        config = config_of(config, fields)
        config.to_stream()
        try:
            there = await self._js.stream(stream_of(config.bucket))
            stream = await self._js.update_stream(config.to_stream(there.cached_info.config))
        except StreamNotFoundError as error:
            raise missing(config.bucket, error) from error
        return ObjectStore(self._js, stream.cached_info)

    async def create_or_update(self, config: ObjectStoreConfig | None, fields: dict[str, Any]) -> ObjectStore:
        """See `JetStream.create_or_update_object_store`."""
        config = config_of(config, fields)
        try:
            return await self.update(config, {})
        except ObjectStoreNotFoundError:
            return await self.create(config, {})

    async def open(self, bucket: str) -> ObjectStore:
        """See `JetStream.object_store`."""
        try:
            stream = await self._js.stream(stream_of(check_bucket(bucket)))
        except StreamNotFoundError as error:
            raise missing(bucket, error) from error
        return ObjectStore(self._js, stream.cached_info)

    async def delete(self, bucket: str) -> None:
        """See `JetStream.delete_object_store`."""
        try:
            await self._js.delete_stream(stream_of(check_bucket(bucket)))
        except StreamNotFoundError as error:
            raise missing(bucket, error) from error

    async def names(self) -> AsyncIterator[str]:
        """See `JetStream.object_store_names`."""
        async for name in self._js.stream_names(_ALL):
            if name.startswith(STREAM_PREFIX):
                yield bucket_of(name)

    async def stores(self) -> AsyncIterator[ObjectStoreStatus]:
        """See `JetStream.object_stores`."""
        async for info in self._js.streams(_ALL):
            if info.config.name.startswith(STREAM_PREFIX):
                yield ObjectStoreStatus(info)
