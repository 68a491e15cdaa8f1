"""JetStream: streams, consumers, acknowledged publishing, over a `tidings.nats.Client`.

::

    js = client.jetstream()
    stream = await js.create_stream(name="ORDERS", subjects=["orders.>"])
    await js.publish("orders.new", b"two shirts")
"""

from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.batch import AtomicBatch
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
from tidings.nats.jetstream.options import ContextOptions, JetStreamOptions, PublishErrorHandler
from tidings.nats.jetstream.puback import FailedPublish, PubAck
from tidings.nats.jetstream.schedules import Schedule
from tidings.nats.jetstream.stored import StoredMsg
from tidings.nats.jetstream.stream import Stream
from tidings.nats.jetstream.stream_config import (
    Compression,
    ConsumerLimits,
    Discard,
    External,
    PersistMode,
    Placement,
    Republish,
    Retention,
    SourceConsumer,
    Storage,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from tidings.nats.jetstream.ttl import Ttl

__all__ = [
    "AtomicBatch",
    "Counter",
    "CounterEntry",
    "FastIngest",
    "GapMode",
    "IngestErrorHandler",
    "PublishOptions",
    "FailedPublish",
    "PubAck",
    "Schedule",
    "Ttl",
    "PublishErrorHandler",
    "AccountInfo",
    "AccountLimits",
    "AckPolicy",
    "Api",
    "ApiStats",
    "ClusterInfo",
    "Compression",
    "Consumer",
    "ConsumerConfig",
    "ConsumerInfo",
    "ConsumerLimits",
    "ConsumerPause",
    "ConsumerReset",
    "ContextOptions",
    "DeliverPolicy",
    "Discard",
    "External",
    "JetStream",
    "JetStreamOptions",
    "LostData",
    "PeerInfo",
    "PersistMode",
    "Placement",
    "PriorityGroupState",
    "PriorityPolicy",
    "ReplayPolicy",
    "Republish",
    "Retention",
    "SequenceInfo",
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
]
