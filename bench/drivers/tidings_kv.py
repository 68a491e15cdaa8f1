"""tidings: buckets."""

from tidings.nats import Client
from tidings.nats.jetstream import KeyValue, KeyWatcher


async def bucket(client: Client, name: str) -> KeyValue:
    return await client.jetstream().key_value(name)


async def watch(bucket: KeyValue) -> KeyWatcher[bytes]:
    return await bucket.watch()
