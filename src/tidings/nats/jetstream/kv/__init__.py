"""Key-value buckets over JetStream (ADR-8, ADR-48, ADR-54).

::

    kv = await client.jetstream().create_key_value(bucket="config", history=5)
    await kv.put("color", b"blue")
    print((await kv.get("color")).value)
"""

from tidings.nats.jetstream.kv.codecs import (
    Base64Keys,
    Base64Values,
    FilterableKeyCodec,
    KeyChain,
    KeyCodec,
    PathKeys,
    ValueChain,
    ValueCodec,
)
from tidings.nats.jetstream.kv.config import KeyValueConfig
from tidings.nats.jetstream.kv.entry import KeyValueEntry, Operation
from tidings.nats.jetstream.kv.key_value import KeyValue
from tidings.nats.jetstream.kv.lister import KeyLister
from tidings.nats.jetstream.kv.status import BucketStatus
from tidings.nats.jetstream.kv.typed import TypedKeyValue
from tidings.nats.jetstream.kv.watch import KeyWatcher

__all__ = [
    "Base64Keys",
    "Base64Values",
    "BucketStatus",
    "FilterableKeyCodec",
    "KeyChain",
    "KeyCodec",
    "KeyLister",
    "KeyValue",
    "KeyValueConfig",
    "KeyValueEntry",
    "KeyWatcher",
    "Operation",
    "PathKeys",
    "TypedKeyValue",
    "ValueChain",
    "ValueCodec",
]
