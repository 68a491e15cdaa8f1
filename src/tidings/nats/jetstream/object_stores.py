"""Object stores: made, changed, opened, listed, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from tidings.nats.jetstream.api import Part

if TYPE_CHECKING:  # loaded by who uses them
    from tidings.nats.jetstream.object_store import ObjectStore, ObjectStoreConfig, ObjectStoreStatus
    from tidings.nats.jetstream.object_store.buckets import Buckets

__all__ = ["ObjectStores"]


class ObjectStores(Part):
    """The part of `JetStream` that manages object stores (ADR-20)."""

    async def create_object_store(
        self, config: ObjectStoreConfig | None = None, /, **fields: Any
    ) -> ObjectStore:
        """Make an object store; one that is there already with the same config is as good.

        Args:
            config: see `ObjectStoreConfig`.
            fields: … its fields one by one, in its place.

        Raises:
            ObjectStoreExistsError: there is one of that name with another config; nothing was changed.
            InvalidStoreNameError, ConfigError: refused before it was sent.
            InvalidConfigError: refused by the server.
        """
        return await self._object_stores().create(config, fields)

    async def update_object_store(
        self, config: ObjectStoreConfig | None = None, /, **fields: Any
    ) -> ObjectStore:
        """Change an object store to this config, all of it: take that of `ObjectStore.status` and replace.

        Args as `create_object_store`.

        Raises:
            ObjectStoreNotFoundError: there is none of that name.
            InvalidConfigError: a change that is not possible, or as `create_object_store`.
        """
        return await self._object_stores().update(config, fields)

    async def create_or_update_object_store(
        self, config: ObjectStoreConfig | None = None, /, **fields: Any
    ) -> ObjectStore:
        """Make an object store, or change the one of that name. Args and errors as `create_object_store`."""
        return await self._object_stores().create_or_update(config, fields)

    async def object_store(self, bucket: str) -> ObjectStore:
        """The object store of that name.

        Raises:
            ObjectStoreNotFoundError: there is none.
            InvalidStoreNameError: none can have this name; nothing was sent.
        """
        return await self._object_stores().open(bucket)

    async def delete_object_store(self, bucket: str) -> None:
        """Delete an object store and all that is in it. Raises as `object_store`."""
        await self._object_stores().delete(bucket)

    async def object_store_names(self) -> AsyncIterator[str]:
        """The names of all object stores, asked for page by page."""
        async for name in self._object_stores().names():
            yield name

    async def object_stores(self) -> AsyncIterator[ObjectStoreStatus]:
        """All object stores and their state, asked for page by page."""
        async for status in self._object_stores().stores():
            yield status

    def _object_stores(self) -> Buckets:
        from tidings.nats.jetstream.object_store.buckets import Buckets, Context

        return Buckets(cast("Context", self))
