"""tidings: object stores."""

from tidings.nats import Client
from tidings.nats.jetstream import ObjectStore


async def store(client: Client, name: str) -> ObjectStore:
    return await client.jetstream().object_store(name)


async def read(store: ObjectStore, name: str) -> bytes:
    return await store.get_bytes(name)
