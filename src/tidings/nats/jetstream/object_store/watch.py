"""Watching objects: what is there, a mark, and then each change."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.nats.jetstream.errors import ConfigError, StreamNotFoundError
from tidings.nats.jetstream.message import JetStreamMsg, parse_metadata
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.store import Store, missing
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.watcher import Watcher

__all__ = ["ObjectWatcher", "WatchSettings", "open_watcher"]


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What a watcher shows; see `ObjectStore.watch`."""

    ignore_deletes: bool = False
    include_history: bool = False
    updates_only: bool = False

    def __post_init__(self) -> None:
        if self.include_history and self.updates_only:
            raise ConfigError("include_history and updates_only each say where to begin; give one")


class ObjectWatcher(Watcher[ObjectInfo]):
    """Infos as an ``async for``: of what is there, None once, then of each change. From `ObjectStore.watch`.

    The None comes always, also where nothing is there. The iteration ends with `stop`, and when the client is
    closed.
    """

    def __init__(self, consumer: OrderedConsumer, bucket: str, ignore_deletes: bool) -> None:
        super().__init__(consumer, f"object store {bucket!r}")
        self._bucket = bucket
        self._ignore_deletes = ignore_deletes

    def _read(self, message: JetStreamMsg) -> ObjectInfo | None:
        metadata = parse_metadata(message.reply)
        info = ObjectInfo.of_json(message.data, metadata.sequence.stream, metadata.timestamp)
        return None if self._ignore_deletes and info.deleted else info

    def _missing(self, error: StreamNotFoundError) -> StreamNotFoundError:
        return missing(self._bucket, error)


async def open_watcher(store: Store, settings: WatchSettings) -> ObjectWatcher:
    """A watcher whose consumer is there. Raises as `ObjectStore.watch`."""
    consumer = OrderedConsumer(
        store.js.api,
        store.stream_name,
        filter_subjects=f"$O.{store.bucket}.M.>",
        deliver_policy="new"
        if settings.updates_only
        else "all"
        if settings.include_history
        else "last_per_subject",
    )
    watcher = ObjectWatcher(consumer, store.bucket, settings.ignore_deletes)
    await watcher._begin()
    return watcher
