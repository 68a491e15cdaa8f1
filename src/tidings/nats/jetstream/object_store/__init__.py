"""Object stores over JetStream: files of any size by name (ADR-20).

::

    store = await client.jetstream().create_object_store(bucket="reports")
    await store.put("2026.pdf", Path("2026.pdf"))
    await store.get_into("2026.pdf", "copy.pdf")
"""

from tidings.nats.jetstream.object_store.config import ObjectStoreConfig
from tidings.nats.jetstream.object_store.info import HeaderValues, ObjectInfo, ObjectLink
from tidings.nats.jetstream.object_store.object_store import ObjectStore
from tidings.nats.jetstream.object_store.putting import Progress
from tidings.nats.jetstream.object_store.result import ObjectResult
from tidings.nats.jetstream.object_store.sources import Source
from tidings.nats.jetstream.object_store.status import ObjectStoreStatus
from tidings.nats.jetstream.object_store.watch import ObjectWatcher

__all__ = [
    "HeaderValues",
    "ObjectInfo",
    "ObjectLink",
    "ObjectResult",
    "ObjectStore",
    "ObjectStoreConfig",
    "ObjectStoreStatus",
    "ObjectWatcher",
    "Progress",
    "Source",
]
