"""A bucket as a whole: its state, and getting rid of what was deleted in it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tidings.nats.jetstream.kv.entry import KeyValueEntry
from tidings.nats.jetstream.kv.status import BucketStatus
from tidings.nats.jetstream.kv.watch import WatchSettings
from tidings.nats.jetstream.kv.writes import Writes
from tidings.nats.jetstream.times import to_seconds

__all__ = ["Bucket"]

_AT_ONCE = 50  # purges under way


class Bucket(Writes):
    """The part of `KeyValue` that is about the bucket as a whole."""

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
            last = {entry.key: entry for entry in await watcher.initial()}
        removed = [entry for entry in last.values() if entry.is_deleted]
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
