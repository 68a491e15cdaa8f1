"""The buckets of a JetStream context: what its methods for them do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tidings.nats.jetstream.errors import StreamNameInUseError, StreamNotFoundError
from tidings.nats.jetstream.kv.codecs import KeyCodec, ValueCodec
from tidings.nats.jetstream.kv.config import KeyValueConfig, config_of
from tidings.nats.jetstream.kv.errors import BucketExistsError, BucketNotFoundError
from tidings.nats.jetstream.kv.key_value import KeyValue
from tidings.nats.jetstream.kv.keys import STREAM_PREFIX, bucket_of, check_bucket, stream_of
from tidings.nats.jetstream.kv.status import BucketStatus
from tidings.nats.jetstream.kv.store import is_bucket, missing
from tidings.nats.jetstream.publish import Publishing
from tidings.nats.jetstream.stream import Stream
from tidings.nats.jetstream.streams import Streams

__all__ = ["Buckets", "Context"]

_ALL = "$KV.*.>"


class Context(Publishing, Streams):
    """What buckets need of a `JetStream`."""


class Buckets:
    """Makes, changes, finds and deletes buckets; each that it gives has the codecs."""

    def __init__(self, js: Context, key_codec: KeyCodec | None, value_codec: ValueCodec | None) -> None:
        self._js = js
        self._key_codec = key_codec
        self._value_codec = value_codec

    async def create(self, config: KeyValueConfig | None, fields: dict[str, Any]) -> KeyValue:
        """See `JetStream.create_key_value`."""
        config = config_of(config, fields)
        try:
            return self._opened(await self._js.create_stream(config.to_stream()))
        except StreamNameInUseError as error:
            raise BucketExistsError(
                error.code,
                error.err_code,
                f"there is a bucket {config.bucket!r} with another config: {error.description}",
                error.request,
            ) from error

    async def update(self, config: KeyValueConfig | None, fields: dict[str, Any]) -> KeyValue:
        """See `JetStream.update_key_value`."""
        config = config_of(config, fields)
        config.check()
        there = await self._stream(config.bucket)
        try:
            return self._opened(await self._js.update_stream(config.to_stream(there.cached_info.config)))
        except StreamNotFoundError as error:
            raise missing(config.bucket, error) from error

    async def create_or_update(self, config: KeyValueConfig | None, fields: dict[str, Any]) -> KeyValue:
        """See `JetStream.create_or_update_key_value`."""
        config = config_of(config, fields)
        try:
            return await self.update(config, {})
        except BucketNotFoundError:
            return await self.create(config, {})

    async def open(self, bucket: str) -> KeyValue:
        """See `JetStream.key_value`."""
        return self._opened(await self._stream(bucket))

    async def delete(self, bucket: str) -> None:
        """See `JetStream.delete_key_value`."""
        stream = stream_of(check_bucket(bucket))
        try:
            await self._js.delete_stream(stream)
        except StreamNotFoundError as error:
            raise missing(bucket, error) from error

    async def names(self) -> AsyncIterator[str]:
        """See `JetStream.key_value_names`."""
        async for name in self._js.stream_names(_ALL):
            if name.startswith(STREAM_PREFIX):
                yield bucket_of(name)

    async def stores(self) -> AsyncIterator[BucketStatus]:
        """See `JetStream.key_value_stores`."""
        async for info in self._js.streams(_ALL):
            if info.config.name.startswith(STREAM_PREFIX):
                yield BucketStatus(info)

    async def _stream(self, bucket: str) -> Stream:
        try:
            stream = await self._js.stream(stream_of(check_bucket(bucket)))
        except StreamNotFoundError as error:
            raise missing(bucket, error) from error
        if not is_bucket(stream.cached_info.config):
            raise BucketNotFoundError(
                404, 10059, f"there is no bucket {bucket!r}: stream {stream.name!r} takes nothing below $KV."
            )
        return stream

    def _opened(self, stream: Stream) -> KeyValue:
        return KeyValue(
            self._js, stream.cached_info, key_codec=self._key_codec, value_codec=self._value_codec
        )
