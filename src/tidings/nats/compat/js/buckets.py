"""The part of nats-py's JetStream that makes and finds buckets and object stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidings.nats.compat.js import api, errors
from tidings.nats.compat.js.constants import VALID_BUCKET_RE
from tidings.nats.compat.js.publishing import Publishing

if TYPE_CHECKING:
    from tidings.nats.compat.js.kv import KeyValue
    from tidings.nats.compat.js.object_store import ObjectStore

__all__ = ["Buckets"]

_MAX_HISTORY = 64
_DUPLICATE_WINDOW = 120.0


class Buckets(Publishing):
    """Makes, finds and deletes buckets and object stores."""

    async def key_value(self, bucket: str) -> KeyValue:
        """A bucket that is there. Raises BucketNotFoundError, BadBucketError."""
        info = await self._bucket_info("KV", bucket)
        if info.config.max_msgs_per_subject < 1:
            raise errors.BadBucketError
        return self._key_value(bucket, info)

    async def create_key_value(self, config: api.KeyValueConfig | None = None, **params: Any) -> KeyValue:
        """Make a bucket; one that is there already with the same config is as good."""
        config = (config or api.KeyValueConfig(bucket=params["bucket"])).evolve(**params)
        _check_bucket(config.bucket)
        if config.history > _MAX_HISTORY:
            raise errors.KeyHistoryTooLargeError
        marker_ttl = config.limit_marker_ttl if (config.limit_marker_ttl or 0) > 0 else None
        if marker_ttl is not None and not (await self.account_info()).api.level:
            raise errors.KeyValueLimitMarkerTTLNotSupportedError
        info = await self.add_stream(
            name=f"KV_{config.bucket}",
            description=config.description,
            subjects=[f"$KV.{config.bucket}.>"],
            allow_direct=config.direct,
            allow_rollup_hdrs=True,
            allow_msg_ttl=True,
            deny_delete=True,
            discard=api.DiscardPolicy.NEW,
            duplicate_window=min(config.ttl or _DUPLICATE_WINDOW, _DUPLICATE_WINDOW),
            max_age=config.ttl,
            max_bytes=config.max_bytes,
            max_consumers=-1,
            max_msg_size=config.max_value_size,
            max_msgs=-1,
            max_msgs_per_subject=config.history,
            num_replicas=config.replicas,
            storage=config.storage,
            placement=config.placement,
            republish=config.republish,
            subject_delete_marker_ttl=marker_ttl,
        )
        return self._key_value(config.bucket, info)

    async def delete_key_value(self, bucket: str) -> bool:
        """Delete a bucket and what is in it."""
        _check_bucket(bucket)
        return await self.delete_stream(f"KV_{bucket}")

    async def object_store(self, bucket: str) -> ObjectStore:
        """An object store that is there. Raises BucketNotFoundError."""
        await self._bucket_info("OBJ", bucket)
        return self._object_store(bucket)

    async def create_object_store(
        self, bucket: str | None = None, config: api.ObjectStoreConfig | None = None, **params: Any
    ) -> ObjectStore:
        """Make an object store; one that is there already with the same config is as good."""
        config = (config or api.ObjectStoreConfig()).evolve(**({"bucket": bucket} | params))
        name = config.bucket or ""
        _check_bucket(name)
        await self.add_stream(
            name=f"OBJ_{name}",
            description=config.description,
            subjects=[f"$O.{name}.C.>", f"$O.{name}.M.>"],
            max_age=config.ttl,
            max_bytes=config.max_bytes or -1,
            max_consumers=0,
            storage=config.storage,
            num_replicas=config.replicas,
            placement=config.placement,
            discard=api.DiscardPolicy.NEW,
            allow_rollup_hdrs=True,
            allow_direct=True,
        )
        return self._object_store(name)

    async def delete_object_store(self, bucket: str) -> bool:
        """Delete an object store and what is in it."""
        _check_bucket(bucket)
        return await self.delete_stream(f"OBJ_{bucket}")

    async def _bucket_info(self, kind: str, bucket: str) -> api.StreamInfo:
        _check_bucket(bucket)
        try:
            return await self.stream_info(f"{kind}_{bucket}")
        except errors.NotFoundError as error:
            raise errors.BucketNotFoundError from error

    def _key_value(self, bucket: str, info: api.StreamInfo) -> KeyValue:
        from tidings.nats.compat.js.kv import KeyValue

        return KeyValue(bucket, f"KV_{bucket}", f"$KV.{bucket}.", self, bool(info.config.allow_direct))

    def _object_store(self, bucket: str) -> ObjectStore:
        from tidings.nats.compat.js.object_store import ObjectStore

        return ObjectStore(bucket, f"OBJ_{bucket}", self)


def _check_bucket(name: str) -> None:
    if VALID_BUCKET_RE.match(name) is None:
        raise errors.InvalidBucketNameError
