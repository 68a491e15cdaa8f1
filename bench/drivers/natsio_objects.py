"""natsio: object stores."""

import natsio
from natsio.objectstore import ObjectStore


async def store(client: natsio.Client, name: str) -> ObjectStore:
    return await client.jetstream().object_store(name)


async def read(store: ObjectStore, name: str) -> bytes:
    return await store.get_bytes(name)
