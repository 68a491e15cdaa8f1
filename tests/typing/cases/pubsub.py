"""The blocking face: every backend is used alike, messages are bytes, and data is of its kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_type

from tidings.pubsub import (
    Counters,
    KafkaPubSub,
    MemoryPubSub,
    NATSPubSub,
    PubSubBackend,
    RedisPubSub,
    Topic,
    get_kafka_config,
    get_nats_config,
    get_redis_config,
    pubsub,
)
from tidings.pubsub.data import BytesData, Data, SensorData


@dataclass(frozen=True)
class Sweep(Data, kind="typed-sweep"):
    angle: float


class Mine:
    name = "a topic class of one's own"


class Nameless: ...


backends: list[PubSubBackend] = [
    NATSPubSub(get_nats_config("workers", prefix="MSIGHT", environ={})),
    RedisPubSub(get_redis_config()),
    KafkaPubSub(get_kafka_config()),
    MemoryPubSub(),
    pubsub("memory://here", buffer_messages=10),
]

with NATSPubSub({"servers": ["nats://localhost:4222"]}) as nats:
    assert_type(nats, NATSPubSub)
    assert_type(nats.group_id, str | None)
    assert_type(nats.servers, list[str])
    assert_type(nats.counters, Counters)
    assert_type(nats.counters.delivered, int)
    assert_type(nats.listen(), Iterator[bytes])
    for topic in (Topic("camera"), Mine(), "camera"):
        nats.subscribe(topic)
    nats.publish(Topic("camera"), SensorData("camera").serialize())
    for message in nats.listen(timeout=1.5):
        assert_type(message, bytes)
        assert_type(SensorData.deserialize(message), SensorData)
        assert_type(Sweep.deserialize(message).angle, float)
        assert_type(Data.deserialize(message), Data)
    nats.flush(1)
    nats.close(timeout=2.0)
    nats.publish("camera", "a text")  # error
    nats.publish("camera", BytesData(b"not serialized"))  # error
    nats.publish("camera", b"x", "more")  # error
    nats.subscribe(Nameless())  # error
    nats.subscribe(7)  # error
    nats.listen("1 s")  # error
    nats.flush(None)  # error

config: dict[str, Any] = get_nats_config()
get_nats_config("workers", "MSIGHT")  # error
get_nats_config(group_id=7)  # error
NATSPubSub("nats://localhost:4222")  # error
NATSPubSub()  # error
Topic(7)  # error
PubSubBackend({}, [])  # error
