"""natsio: buckets. Its watcher begins when it is entered."""

import natsio
from natsio.kv import KeyValue, KvWatcher


async def bucket(client: natsio.Client, name: str) -> KeyValue:
    return await client.jetstream().key_value(name)


async def watch(bucket: KeyValue) -> KvWatcher:
    return bucket.watch()
