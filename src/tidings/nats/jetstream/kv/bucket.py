"""A bucket as its user has it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from tidings.nats.jetstream.kv.entry import KeyValueEntry
from tidings.nats.jetstream.kv.status import BucketStatus
from tidings.nats.jetstream.kv.watch import WatchSettings
from tidings.nats.jetstream.kv.writes import Writes
from tidings.nats.jetstream.times import to_seconds

if TYPE_CHECKING:
    from tidings.nats.jetstream.kv.typed import TypedKeyValue

__all__ = ["KeyValue"]

T = TypeVar("T")
_AT_ONCE = 50  # purges under way


class KeyValue(Writes):
    """A key-value bucket (ADR-8). Got from `JetStream.create_key_value` or `JetStream.key_value`.

    ::

        kv = await js.create_key_value(bucket="config")
        revision = await kv.put("color", b"blue")
        entry = await kv.get("color")
        await kv.update("color", b"red", last=entry.revision)

    Attributes:
        bucket: its name.
        stream_name: the stream that it is made of.
        js: the JetStream context that it is reached through.
    """

    async def status(self) -> BucketStatus:
        """What the server tells of the bucket now. Raises BucketNotFoundError."""
        return BucketStatus(await self._info())

    async def purge_deletes(self, older_than: float | timedelta = 1800.0) -> int:
        """Remove for good what was deleted or purged, with the history of these keys; returns how many keys.

        A key that is written meanwhile is left alone.

        Args:
            older_than: seconds or timedelta. Of a key that was deleted less long ago the history goes, and
                the entry that says so stays, for those who have yet to see it. 0 spares none.

        Raises:
            ConfigError: no duration.
            BucketNotFoundError, ApiError: it cannot be.
        """
        spared_from = datetime.now(UTC) - timedelta(seconds=to_seconds(older_than, "older_than"))
        async with await self._watch(self._form, [">"], WatchSettings(meta_only=True)) as watcher:
            removed = [entry for entry in await watcher.initial() if entry.is_deleted]
        room = asyncio.Semaphore(_AT_ONCE)

        async def purge(entry: KeyValueEntry[bytes]) -> None:
            async with room:
                await self._purge_up_to(entry, keep=older_than != 0 and entry.created > spared_from)

        async with asyncio.TaskGroup() as group:
            for entry in removed:
                group.create_task(purge(entry))
        return len(removed)

    async def _purge_up_to(self, entry: KeyValueEntry[bytes], keep: bool) -> None:
        # By sequence, so that a value put since then is not in it.
        before = entry.revision if keep else entry.revision + 1
        body = {"filter": self._read_prefix + self._encode_key(entry.key), "seq": before}
        await self.js.api.request(f"STREAM.PURGE.{self.stream_name}", body)

    def typed(self, model: type[T]) -> TypedKeyValue[T]:
        """The bucket with values of one type, validated by pydantic when they are put and when they are read.

        Args:
            model: a pydantic model, a dataclass, a TypedDict, ``list[int]`` …

        Raises:
            MissingExtraError: pydantic is not installed.
            ConfigError: no type that pydantic can validate.
        """
        from tidings.nats.jetstream.kv.typed import TypedKeyValue

        return TypedKeyValue(self, model)
