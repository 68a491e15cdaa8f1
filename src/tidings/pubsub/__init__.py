"""Publish and subscribe from threads, over NATS, Kafka, Redis or within the process.

::

    from tidings.pubsub import NATSPubSub, Topic, get_nats_config

    with NATSPubSub(get_nats_config(group_id="workers")) as pubsub:
        topic = Topic("intersection-7.camera-1")
        pubsub.subscribe(topic)
        pubsub.publish(topic, b"a frame")
        for message in pubsub.listen():
            ...

A backend is loaded when it is first asked for, and the client of its messaging system with it.
"""

from typing import TYPE_CHECKING, Any

from tidings.pubsub.base import Counters, PubSubBackend
from tidings.pubsub.config import get_kafka_config, get_nats_config, get_redis_config
from tidings.pubsub.errors import (
    BackpressureError,
    BufferFullError,
    ClosedError,
    ConfigError,
    ConnectError,
    DataError,
    FlushError,
    ForkedError,
    LostConnectionError,
    MessageTooLargeError,
    MissingExtraError,
    NotSubscribedError,
    PublishError,
    PubSubError,
    TopicError,
    UnknownKindError,
)
from tidings.pubsub.opening import pubsub
from tidings.pubsub.topic import Topic

if TYPE_CHECKING:
    from tidings.pubsub.kafka import KafkaPubSub
    from tidings.pubsub.memory import MemoryPubSub
    from tidings.pubsub.nats import NATSPubSub
    from tidings.pubsub.redis import RedisPubSub

__all__ = [
    "BackpressureError",
    "BufferFullError",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "Counters",
    "DataError",
    "FlushError",
    "ForkedError",
    "KafkaPubSub",
    "LostConnectionError",
    "MemoryPubSub",
    "MessageTooLargeError",
    "MissingExtraError",
    "NATSPubSub",
    "NotSubscribedError",
    "PubSubBackend",
    "PubSubError",
    "PublishError",
    "RedisPubSub",
    "Topic",
    "TopicError",
    "UnknownKindError",
    "get_kafka_config",
    "get_nats_config",
    "get_redis_config",
    "pubsub",
]

_BACKENDS = {
    "KafkaPubSub": "tidings.pubsub.kafka",
    "MemoryPubSub": "tidings.pubsub.memory",
    "NATSPubSub": "tidings.pubsub.nats",
    "RedisPubSub": "tidings.pubsub.redis",
}


def __getattr__(name: str) -> Any:
    if name not in _BACKENDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_BACKENDS[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
