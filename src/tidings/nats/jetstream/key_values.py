"""Key-value buckets: made, changed, opened, listed, deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from tidings.nats.jetstream.api import Part

if TYPE_CHECKING:  # loaded by who uses them
    from tidings.nats.jetstream.kv import BucketStatus, KeyCodec, KeyValue, KeyValueConfig, ValueCodec
    from tidings.nats.jetstream.kv.buckets import Buckets

__all__ = ["KeyValues"]


class KeyValues(Part):
    """The part of `JetStream` that manages key-value buckets (ADR-8)."""

    async def create_key_value(
        self,
        config: KeyValueConfig | None = None,
        /,
        *,
        key_codec: KeyCodec | None = None,
        value_codec: ValueCodec | None = None,
        **fields: Any,
    ) -> KeyValue:
        """Make a bucket; one that is there already with the same config is as good.

        Args:
            config: see `KeyValueConfig`.
            key_codec, value_codec: how keys and values are stored (ADR-54); None as they are.
            fields: … the fields of a config one by one, in its place.

        Raises:
            BucketExistsError: there is one of that name with another config; nothing was changed.
            InvalidBucketNameError, ConfigError: refused before it was sent.
            ApiLevelError: a field that the server is too old for.
            InvalidConfigError: refused by the server.
        """
        return await self._buckets(key_codec, value_codec).create(config, fields)

    async def update_key_value(
        self,
        config: KeyValueConfig | None = None,
        /,
        *,
        key_codec: KeyCodec | None = None,
        value_codec: ValueCodec | None = None,
        **fields: Any,
    ) -> KeyValue:
        """Change a bucket to this config, all of it: take that of `KeyValue.status` and replace what changes.

        Args as `create_key_value`.

        Raises:
            BucketNotFoundError: there is none of that name.
            InvalidConfigError: a change that is not possible, or as `create_key_value`.
        """
        return await self._buckets(key_codec, value_codec).update(config, fields)

    async def create_or_update_key_value(
        self,
        config: KeyValueConfig | None = None,
        /,
        *,
        key_codec: KeyCodec | None = None,
        value_codec: ValueCodec | None = None,
        **fields: Any,
    ) -> KeyValue:
        """Make a bucket, or change the one of that name. Args and errors as `create_key_value`."""
        return await self._buckets(key_codec, value_codec).create_or_update(config, fields)

    async def key_value(
        self, bucket: str, *, key_codec: KeyCodec | None = None, value_codec: ValueCodec | None = None
    ) -> KeyValue:
        """The bucket of that name.

        Args:
            bucket: its name.
            key_codec, value_codec: how its keys and values are stored, as whoever writes them has it.

        Raises:
            BucketNotFoundError: there is none.
            InvalidBucketNameError: no bucket can have this name; nothing was sent.
        """
        return await self._buckets(key_codec, value_codec).open(bucket)

    async def delete_key_value(self, bucket: str) -> None:
        """Delete a bucket and all that is in it. Raises as `key_value`."""
        await self._buckets().delete(bucket)

    async def key_value_names(self) -> AsyncIterator[str]:
        """The names of all buckets, asked for page by page; mirrors are not among them."""
        async for name in self._buckets().names():
            yield name

    async def key_value_stores(self) -> AsyncIterator[BucketStatus]:
        """All buckets and their state, asked for page by page; mirrors are not among them."""
        async for status in self._buckets().stores():
            yield status

    def _buckets(self, key_codec: KeyCodec | None = None, value_codec: ValueCodec | None = None) -> Buckets:
        from tidings.nats.jetstream.kv.buckets import Buckets, Context

        return Buckets(cast("Context", self), key_codec, value_codec)
