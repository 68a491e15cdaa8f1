"""Health on a real server: what a ping does not see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.brokers.harness import Seen, soon
from tidings.brokers.nats import KvWatch, NatsBroker
from tidings.messaging.health import Health
from tidings.nats import connect
from tidings.nats.jetstream import KeyValueConfig, StreamConfig
from tidings.nats.server import NatsServer


async def handler(body: bytes) -> None: ...


async def test_all_is_well(nats_url: str) -> None:
    broker = NatsBroker(nats_url)
    broker.subscriber("health.in", workers=2)(handler)
    broker.endpoint("ping", service="health", version="1.0.0")(handler)
    async with broker:
        assert (await broker.health()).reasons == [
            "'health.in': it is not started",
            "'ping': it is not started",
        ]
        await broker.start()
        health = await broker.health()
        assert health.is_healthy
        assert [each.channel for each in health.subscribers] == ["health.in", "ping"]
        await broker.drain()
        assert not (await broker.health()).is_healthy
        await broker.start()
        assert (await broker.health()).is_healthy
    health = await broker.health()
    assert not health.is_healthy
    assert "not connected" in health.reasons[0]
    assert nats_url.rpartition("@")[0] not in str(health)  # the token


async def test_a_subscriber_that_the_broker_stopped_is_not_asked(nats_url: str) -> None:
    async with NatsBroker(nats_url) as broker:
        subscriber = broker.subscriber("health.in")
        subscriber(handler)
        await broker.start()
        await subscriber.stop()
        assert await broker.health() == Health(broker.adapter.address)


async def test_one_that_may_not_subscribe(caplog: pytest.LogCaptureFixture) -> None:
    users = 'authorization { users: [{user: u, password: p, permissions: {subscribe: {deny: "secret.>"}}}] }'
    with NatsServer(config=users, token=False, durability="fast") as server:
        broker = NatsBroker(f"nats://u:p@{server.host}:{server.port}")
        broker.subscriber("secret.in")(handler)
        broker.subscriber("open.in")(handler)
        async with broker:
            await broker.start()
            assert await broker.ping()
            (reason,) = (await broker.health()).reasons
    assert "'secret.in': its subscription has ended" in reason
    assert "ermission" in reason


async def test_one_that_had_all_it_asked_for_is_well(nats_url: str) -> None:
    async with NatsBroker(nats_url) as broker:
        seen = Seen[bytes]()

        @broker.subscriber("health.one", max_msgs=1)
        async def take(body: bytes) -> None:
            seen.add(body)

        await broker.start()
        await broker.publish(b"", "health.one")
        await seen.until(1)
        assert (await broker.health()).is_healthy


@pytest.mark.parametrize("ordered", [False, True], ids=["durable", "ordered"])
async def test_a_stream_that_is_gone_and_comes_back(nats_url: str, ordered: bool) -> None:
    config, seen = StreamConfig(name=f"HEALTH{ordered}", subjects=[f"health.stream.{ordered}"]), Seen[Any]()
    of_consumer: dict[str, Any] = {"ordered": True} if ordered else {"durable": "w"}
    async with await connect(nats_url) as client, NatsBroker(nats_url) as broker:
        js = client.jetstream()

        @broker.subscriber(config.subjects[0], stream=config, **of_consumer)
        async def take(body: bytes) -> None:
            seen.add(body)

        await broker.start()
        assert (await broker.health()).is_healthy
        await js.delete_stream(config.name)
        subscriber = broker.subscribers[0]
        await soon(lambda: not subscriber.health().is_healthy)
        assert "is looked for" in (await broker.health()).reasons[0]
        await soon(lambda: subscriber.health().is_healthy)
        await js.publish(config.subjects[0], b"again")
        await seen.until(1)
        await js.delete_stream(config.name)


async def test_a_bucket_that_is_gone_and_comes_back(nats_url: str) -> None:
    async with await connect(nats_url) as client, NatsBroker(nats_url) as broker:
        broker.subscriber(kv_watch=KvWatch(KeyValueConfig(bucket="HEALTH")))(handler)
        await broker.start()
        assert (await broker.health()).is_healthy
        await client.jetstream().delete_key_value("HEALTH")
        subscriber = broker.subscribers[0]
        await soon(lambda: not subscriber.health().is_healthy)
        assert "its bucket is gone" in subscriber.health().trouble
        await soon(lambda: subscriber.health().is_healthy)
        await client.jetstream().delete_key_value("HEALTH")


async def test_a_server_that_is_gone(nats_server: NatsServer) -> None:
    async with NatsBroker(nats_server.url, connect_timeout=1.0, logger=None) as broker:
        broker.subscriber("health.in")(handler)
        await broker.start()
        nats_server.kill()
        health = await broker.health(timeout=0.1)
        assert "no answer within 0.1 s" in health.reasons[0]
