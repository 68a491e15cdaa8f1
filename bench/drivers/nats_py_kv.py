"""nats-py: buckets."""

from nats.aio.client import Client
from nats.js.kv import KeyValue


async def bucket(client: Client, name: str) -> KeyValue:
    return await client.jetstream().key_value(name)


async def watch(bucket: KeyValue) -> KeyValue.KeyWatcher:
    return await bucket.watchall()
