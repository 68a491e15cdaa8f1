"""An object store: files of any size, in chunks, in a stream (ADR-20)."""

from __future__ import annotations

from tidings.nats.jetstream.errors import StreamNotFoundError
from tidings.nats.jetstream.object_store.reads import Reads
from tidings.nats.jetstream.object_store.status import ObjectStoreStatus
from tidings.nats.jetstream.object_store.store import missing
from tidings.nats.jetstream.object_store.writes import Writes
from tidings.nats.jetstream.stream import Stream

__all__ = ["ObjectStore"]


class ObjectStore(Writes, Reads):
    """Objects by name: files, or any bytes. From `JetStream.object_store` or `create_object_store`.

    Attributes:
        bucket: its name.
        stream_name: that of the stream behind it.
        js: the JetStream context that it is reached through.
    """

    async def status(self) -> ObjectStoreStatus:
        """What the server tells of the bucket now. Raises ObjectStoreNotFoundError."""
        return ObjectStoreStatus(await self._info())

    async def seal(self) -> ObjectStoreStatus:
        """Let nothing change any more, for ever: it can only be read, or deleted as a whole.

        Raises:
            ObjectStoreNotFoundError: the bucket was deleted.
        """
        try:
            return ObjectStoreStatus(await Stream(self.js.api, await self._info()).seal())
        except StreamNotFoundError as error:
            raise missing(self.bucket, error) from error
