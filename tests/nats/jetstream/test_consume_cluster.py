"""Reading from a stream with three replicas while its leaders move and its servers die."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.nats.jetstream.consuming import numbers, sequences

from tidings.nats import Client, connect
from tidings.nats.errors import Error
from tidings.nats.jetstream import Consumer, Stream
from tidings.nats.jetstream.errors import JetStreamError
from tidings.nats.server import NatsCluster, NatsServer

COUNT = 600


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    with NatsServer.cluster(3, durability="fast") as servers:
        yield servers


@contextlib.asynccontextmanager
async def replicated(cluster: NatsCluster, name: str) -> AsyncIterator[tuple[Client, Stream]]:
    """A client, and a stream of three replicas with the numbers from 1 to COUNT."""
    await asyncio.to_thread(cluster.wait_ready)
    async with await connect(
        cluster.urls, reconnect_time_wait=0.05, max_reconnect_attempts=-1, error_cb=lambda error: None
    ) as client:
        js = client.jetstream(timeout=5)
        stream = await persistently(
            lambda: js.create_stream(name=name, subjects=[f"{name}.>"], num_replicas=3)
        )
        for number in range(1, COUNT + 1):
            await persistently(lambda number=number: js.publish(f"{name}.n", str(number), msg_id=str(number)))
        yield client, stream


async def persistently(call: Any) -> Any:
    """What `call` gives once a leader is there."""
    while True:
        try:
            return await call()
        except (JetStreamError, Error):
            await asyncio.sleep(0.1)


async def step_down(client: Client, what: str) -> None:
    with contextlib.suppress(Error):
        await client.request(f"$JS.API.{what}", timeout=5)


def server_of(cluster: NatsCluster, client: Client) -> NatsServer:
    """The server that `client` is connected to."""
    return next(each for each in cluster.servers if str(client.connected_url).endswith(f":{each.port}"))


async def test_messages_come_at_least_once_while_leaders_move(cluster: NatsCluster, name: str) -> None:
    async with replicated(cluster, name) as (client, stream):
        consumer: Consumer = await persistently(
            lambda: stream.create_consumer(durable_name="c", ack_wait=2, num_replicas=3)
        )
        seen: set[int] = set()
        async with consumer.messages(batch=50, expires=5, heartbeat=0.5) as messages:
            while len(seen) < COUNT:
                message = await messages.next(40)
                seen.add(int(message.data))
                await message.ack()
                if len(seen) == 100:
                    await step_down(client, f"CONSUMER.LEADER.STEPDOWN.{name}.c")
                elif len(seen) == 250:
                    await step_down(client, f"STREAM.LEADER.STEPDOWN.{name}")
                elif len(seen) == 400:
                    await asyncio.to_thread(server_of(cluster, client).restart)
        assert seen == set(range(1, COUNT + 1))


async def test_a_fetch_goes_on_when_the_leader_moved(cluster: NatsCluster, name: str) -> None:
    async with replicated(cluster, name) as (client, stream):
        consumer: Consumer = await persistently(
            lambda: stream.create_consumer(durable_name="c", num_replicas=3, deliver_policy="new")
        )
        fetch = asyncio.create_task(consumer.fetch(1, 30, heartbeat=0.5))
        while (await persistently(consumer.info)).num_waiting == 0:
            pass
        await step_down(client, f"CONSUMER.LEADER.STEPDOWN.{name}.c")
        js = client.jetstream()
        await persistently(lambda: js.publish(f"{name}.n", b"601"))
        assert numbers(await fetch) == [601]


async def test_an_ordered_consumer_sees_no_gap_and_no_repeat(cluster: NatsCluster, name: str) -> None:
    async with replicated(cluster, name) as (client, stream):
        found = []
        options: Any = {"batch": 50, "expires": 5, "heartbeat": 0.5}
        async with stream.ordered_consumer().messages(**options) as messages:
            while len(found) < COUNT:
                found.append(await messages.next(40))
                if len(found) == 100:
                    await step_down(client, f"STREAM.LEADER.STEPDOWN.{name}")
                elif len(found) == 250:
                    await step_down(client, f"CONSUMER.LEADER.STEPDOWN.{name}.{messages.name}")
                elif len(found) == 400:
                    await asyncio.to_thread(server_of(cluster, client).restart)
        assert sequences(found) == list(range(1, COUNT + 1))
        assert numbers(found) == list(range(1, COUNT + 1))
