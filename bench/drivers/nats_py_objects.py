"""nats-py: object stores."""

from nats.aio.client import Client
from nats.js.object_store import ObjectStore


async def store(client: Client, name: str) -> ObjectStore:
    return await client.jetstream().object_store(name)


async def read(store: ObjectStore, name: str) -> bytes:
    data = (await store.get(name)).data
    assert data is not None
    return data
