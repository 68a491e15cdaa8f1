"""JetStream: streams, consumers, acknowledged publishing, over a `tidings.nats.Client`.

::

    js = client.jetstream()
    stream = await js.create_stream(name="ORDERS", subjects=["orders.>"])
    await js.publish("orders.new", b"two shirts")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.batch import AtomicBatch
from tidings.nats.jetstream.consume import Consuming, JetStreamCallback
from tidings.nats.jetstream.consumer import Consumer
from tidings.nats.jetstream.consumer_config import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    PriorityPolicy,
    ReplayPolicy,
)
from tidings.nats.jetstream.context import JetStream
from tidings.nats.jetstream.counters import Counter, CounterEntry
from tidings.nats.jetstream.fast_ingest import FastIngest, GapMode, IngestErrorHandler
from tidings.nats.jetstream.headers import PublishOptions
from tidings.nats.jetstream.infos import (
    AccountInfo,
    AccountLimits,
    ApiStats,
    ClusterInfo,
    ConsumerInfo,
    ConsumerPause,
    ConsumerReset,
    LostData,
    PeerInfo,
    PriorityGroupState,
    SequenceInfo,
    SourceInfo,
    StreamAlternate,
    StreamInfo,
    StreamState,
    Tier,
)
from tidings.nats.jetstream.message import JetStreamMsg, Metadata, SequencePair
from tidings.nats.jetstream.messages import Messages
from tidings.nats.jetstream.options import ContextOptions, JetStreamOptions, PublishErrorHandler
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages
from tidings.nats.jetstream.ordered_reading import OrderedOptions, OrderedSettings
from tidings.nats.jetstream.puback import FailedPublish, PubAck
from tidings.nats.jetstream.pull import Priority, PriorityOptions
from tidings.nats.jetstream.push import PushSubscription
from tidings.nats.jetstream.reading import ReadingOptions, ReadingSettings
from tidings.nats.jetstream.schedules import Schedule
from tidings.nats.jetstream.snapshots import Snapshot
from tidings.nats.jetstream.stored import StoredMsg
from tidings.nats.jetstream.stream import Stream
from tidings.nats.jetstream.stream_config import (
    Compression,
    ConsumerLimits,
    Discard,
    PersistMode,
    Placement,
    Republish,
    Retention,
    Storage,
    StreamConfig,
)
from tidings.nats.jetstream.stream_source import External, SourceConsumer, StreamSource, SubjectTransform
from tidings.nats.jetstream.subscribing import OrderedSubscription, PullSubscription
from tidings.nats.jetstream.ttl import Ttl

if TYPE_CHECKING:
    from tidings.nats.jetstream.kv import (
        BucketStatus,
        KeyLister,
        KeyValue,
        KeyValueConfig,
        KeyValueEntry,
        KeyWatcher,
        TypedKeyValue,
    )
    from tidings.nats.jetstream.object_store import (
        ObjectInfo,
        ObjectLink,
        ObjectResult,
        ObjectStore,
        ObjectStoreConfig,
        ObjectStoreStatus,
        ObjectWatcher,
    )

__all__ = [
    "AccountInfo",
    "AccountLimits",
    "AckPolicy",
    "Api",
    "ApiStats",
    "AtomicBatch",
    "BucketStatus",
    "ClusterInfo",
    "Compression",
    "Consumer",
    "ConsumerConfig",
    "ConsumerInfo",
    "ConsumerLimits",
    "ConsumerPause",
    "ConsumerReset",
    "Consuming",
    "ContextOptions",
    "Counter",
    "CounterEntry",
    "DeliverPolicy",
    "Discard",
    "External",
    "FailedPublish",
    "FastIngest",
    "GapMode",
    "IngestErrorHandler",
    "JetStream",
    "JetStreamCallback",
    "JetStreamMsg",
    "JetStreamOptions",
    "KeyLister",
    "KeyValue",
    "KeyValueConfig",
    "KeyValueEntry",
    "KeyWatcher",
    "LostData",
    "Messages",
    "Metadata",
    "ObjectInfo",
    "ObjectLink",
    "ObjectResult",
    "ObjectStore",
    "ObjectStoreConfig",
    "ObjectStoreStatus",
    "ObjectWatcher",
    "OrderedConsumer",
    "OrderedMessages",
    "OrderedOptions",
    "OrderedSettings",
    "OrderedSubscription",
    "PeerInfo",
    "PersistMode",
    "Placement",
    "Priority",
    "PriorityGroupState",
    "PriorityOptions",
    "PriorityPolicy",
    "PubAck",
    "PublishErrorHandler",
    "PublishOptions",
    "PullSubscription",
    "PushSubscription",
    "ReadingOptions",
    "ReadingSettings",
    "ReplayPolicy",
    "Republish",
    "Retention",
    "Schedule",
    "SequenceInfo",
    "Snapshot",
    "SequencePair",
    "SourceConsumer",
    "SourceInfo",
    "Storage",
    "StoredMsg",
    "Stream",
    "StreamAlternate",
    "StreamConfig",
    "StreamInfo",
    "StreamSource",
    "StreamState",
    "SubjectTransform",
    "Tier",
    "Ttl",
    "TypedKeyValue",
]

# Loaded when it is asked for: who uses streams only does not load it.
_LATER = {
    **dict.fromkeys(
        (
            "BucketStatus",
            "KeyLister",
            "KeyValue",
            "KeyValueConfig",
            "KeyValueEntry",
            "KeyWatcher",
            "TypedKeyValue",
        ),
        "tidings.nats.jetstream.kv",
    ),
    **dict.fromkeys(
        (
            "ObjectInfo",
            "ObjectLink",
            "ObjectResult",
            "ObjectStore",
            "ObjectStoreConfig",
            "ObjectStoreStatus",
            "ObjectWatcher",
        ),
        "tidings.nats.jetstream.object_store",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
