"""Watching the objects of a store for a subscriber."""

from collections.abc import AsyncIterator

from tidings.nats import Error
from tidings.nats.jetstream import ObjectWatcher
from tidings.nats.jetstream.object_store.errors import StoredInfoError

from .buckets import Declare, open_object_store, refused
from .object_message import ObjectChange
from .watching import WatchListening
from .ways import ObjWatch

__all__ = ["ObjectListening"]


class ObjectListening(WatchListening[ObjectWatcher]):
    """Hands what is known of the objects of a store to a handler. What cannot be read is logged."""

    async def _open(self, declare: Declare) -> ObjectWatcher:
        watched = self._source.watched
        assert isinstance(watched, ObjWatch)
        store = await open_object_store(self._js, watched.bucket, declare)
        try:
            return await store.watch(
                ignore_deletes=watched.ignore_deletes,
                include_history=watched.include_history,
                updates_only=watched.updates_only,
            )
        except Error as error:
            raise refused(watched.name, error) from error

    async def _changes(self, watcher: ObjectWatcher) -> AsyncIterator[ObjectChange]:
        while True:
            try:
                info = await anext(watcher)
            except StopAsyncIteration:
                return
            except StoredInfoError as error:
                self._logger.error("%s: left out: %s", self._source.channel, error)
                continue
            if info is not None:
                yield ObjectChange(info.name.encode(), "", info)
