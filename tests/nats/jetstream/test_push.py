from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered
from tests.nats.jetstream.consuming import fill, numbered, numbers, unacknowledged
from tests.nats.jetstream.pulling import Pulled, eventually
from tests.peers import Peer

from tidings.nats import connect
from tidings.nats.errors import ConnectionClosedError, DrainTimeoutError
from tidings.nats.jetstream import ConsumerConfig, JetStreamMsg, OrderedSubscription, PushSubscription
from tidings.nats.jetstream.errors import ConfigError, NoHeartbeatError, StreamNotFoundError


async def test_reads_by_iterator_and_by_next_msg(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 5) as (client, stream):
        sub = await client.jetstream().subscribe(f"{name}.>")
        assert isinstance(sub, PushSubscription)
        first = await sub.next_msg(5)
        assert isinstance(first, JetStreamMsg)
        await first.ack()
        found = [first]
        async for message in sub.messages:
            await message.ack()
            found.append(message)
            if len(found) == 5:
                break
        assert numbers(found) == [1, 2, 3, 4, 5]
        await client.flush()
        info = await unacknowledged(sub.consumer_info, 0)
        assert info.push_bound
        await sub.unsubscribe()
        assert [each async for each in stream.consumer_names()] == []


@pytest.mark.parametrize("manual_ack", [False, True])
async def test_a_callback_acknowledges_unless_told_otherwise(
    nats_url: str, name: str, manual_ack: bool
) -> None:
    async with numbered(nats_url, name, 3) as (client, _stream):
        handled = Gathered()
        sub = await client.jetstream().subscribe(f"{name}.>", cb=handled, manual_ack=manual_ack)
        assert isinstance(sub, PushSubscription)
        await handled.reach(3)
        await client.flush()
        await unacknowledged(sub.consumer_info, 3 if manual_ack else 0)
        await sub.unsubscribe()


async def test_a_callback_that_fails_acknowledges_nothing(nats_url: str, name: str) -> None:
    errors = Gathered()
    async with numbered(nats_url, name, 2, error_cb=errors) as (client, _stream):
        handled = Gathered()

        async def handle(message: JetStreamMsg) -> None:
            handled(message)
            if message.data == b"1":
                raise RuntimeError("broken")
            await message.nak(60)

        sub = await client.jetstream().subscribe(f"{name}.>", cb=handle)
        assert isinstance(sub, PushSubscription)
        await handled.reach(2)
        await errors.reach(1)
        await client.flush()
        await unacknowledged(sub.consumer_info, 2)
        assert [type(each) for each in errors] == [RuntimeError]
        await sub.drain()


async def test_flow_control_lets_the_server_go_on(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        for _ in range(300):
            await client.publish(f"{name}.n", bytes(20_000))
        await client.request(f"{name}.n", bytes(20_000))
        sub = await client.jetstream().subscribe(
            f"{name}.>", idle_heartbeat=1, flow_control=True, config=ConsumerConfig(ack_policy="none")
        )
        count = 0
        async for _ in sub:
            count += 1
            if count == 301:
                break
        assert (await stream.info()).state.messages == 301
        await sub.unsubscribe()


@pytest.mark.parametrize("end", ["in_time", "too_late", "cancelled"])
async def test_a_drain_leaves_no_consumer_however_it_ends(nats_url: str, name: str, end: str) -> None:
    async with numbered(nats_url, name, 3) as (client, stream):
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(message: JetStreamMsg) -> None:
            begun.set()
            await go_on.wait()

        config = ConsumerConfig(inactive_threshold=3600)  # else the server would see to it in seconds
        sub = await client.jetstream().subscribe(f"{name}.>", cb=slow, config=config)
        await begun.wait()
        draining = asyncio.create_task(sub.drain(0.01 if end == "too_late" else 60))
        await eventually(lambda: sub.is_draining)
        if end == "in_time":
            go_on.set()
            await draining
        elif end == "too_late":
            with pytest.raises(DrainTimeoutError):
                await draining
        else:
            draining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await draining
        go_on.set()
        async with asyncio.timeout(20):
            while [each async for each in stream.consumer_names()]:
                await client.flush()


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_limit_that_is_reached_already_deletes_too(nats_url: str, name: str, limit: int) -> None:
    async with numbered(nats_url, name, 2) as (client, stream):
        sub = await client.jetstream().subscribe(f"{name}.>")
        await eventually(lambda: sub.pending_msgs == 2)
        await sub.unsubscribe(limit)
        assert [each async for each in stream.consumer_names()] == []


async def test_members_of_a_queue_share(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        js = client.jetstream()
        one, two = Gathered(), Gathered()
        subs = [await js.subscribe(f"{name}.>", queue="q", cb=each) for each in (one, two)]
        await fill(client, f"{name}.n", 100)
        await eventually(lambda: len(one) + len(two) == 100)
        assert one
        assert two
        for sub in subs:
            await sub.unsubscribe()
        assert [each async for each in stream.consumer_names()] == ["q"]


async def test_a_durable_consumer_is_joined_and_stays(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (client, stream):
        js = client.jetstream()
        sub = await js.subscribe(f"{name}.>", durable="d")
        await (await sub.next_msg(5)).ack_sync()
        await sub.unsubscribe()
        while (await stream.consumer_info("d")).push_bound:  # the server hears of it in its time
            pass
        sub = await js.subscribe(f"{name}.>", durable="d", stream=name)
        with pytest.raises(ConfigError, match="a subscriber already"):
            await js.subscribe(f"{name}.>", durable="d")
        await sub.drain()
        assert [each async for each in stream.consumer_names()] == ["d"]


async def test_refuses_what_does_not_go_together(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        js = client.jetstream()
        await stream.create_consumer(durable_name="pull")
        await js.subscribe(f"{name}.a", durable="push")
        with pytest.raises(ConfigError, match="pulled from"):
            await js.subscribe(f"{name}.>", durable="pull")
        with pytest.raises(ConfigError, match="pushes"):
            await js.pull_subscribe(f"{name}.>", durable="push")
        with pytest.raises(ConfigError, match="queue group"):
            await js.subscribe(f"{name}.a", durable="push", queue="q")
        with pytest.raises(ConfigError, match="neither idle_heartbeat"):
            await js.subscribe(f"{name}.>", queue="q", idle_heartbeat=1)
        with pytest.raises(ConfigError, match="an ordered consumer"):
            await js.subscribe(f"{name}.>", durable="d", ordered_consumer=True)
        with pytest.raises(StreamNotFoundError):
            await js.subscribe(f"{name}gone.>")


async def test_an_ordered_one_has_the_face_of_a_subscription(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 10) as (client, stream):
        js = client.jetstream()
        sub = await js.subscribe(f"{name}.n", ordered_consumer=True)
        assert isinstance(sub, OrderedSubscription)
        assert (await sub.next_msg(5)).data == b"1"
        found = []
        async for message in sub.messages:
            found.append(message)
            if len(found) == 9:
                break
        assert numbers(found) == list(range(2, 11))
        with pytest.raises(TimeoutError):
            await sub.next_msg(0.1)
        await sub.unsubscribe()
        handled = Gathered()
        sub = await js.subscribe(f"{name}.n", cb=handled, ordered_consumer=True, deliver_policy="last")
        await handled.reach(1)
        await sub.drain()
        assert numbers(handled) == [10]
        await client.flush()
        assert [each async for each in stream.consumer_names()] == []


async def test_pull_subscribe_fetches_or_raises(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (client, stream):
        js = client.jetstream()
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        for message in await sub.fetch(2):
            await message.ack_sync()
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        assert numbers(await sub.fetch(5, timeout=0.3)) == [3]
        with pytest.raises(TimeoutError, match="no message of consumer 'd'"):
            await sub.fetch(5, timeout=0.1)
        await unacknowledged(sub.consumer_info, 1)
        await sub.unsubscribe()
        short = await js.pull_subscribe(f"{name}.>")
        assert len(await short.fetch(3)) == 3
        assert short.delivered == 3
        await short.unsubscribe()
        assert [each async for each in stream.consumer_names()] == ["d"]


async def test_a_closed_client_takes_no_subscription(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, _stream):
        js = client.jetstream()
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await js.subscribe(f"{name}.>", stream=name)


async def scripted(server: Pulled, client: Any, **config: Any) -> PushSubscription:
    info = {
        "stream_name": "S",
        "name": "c",
        "config": {"deliver_subject": "deliver.here", "ack_policy": "none", **config},
    }
    server.answers["CONSUMER.CREATE"] = json.dumps(info).encode()
    server.answers["CONSUMER.DELETE"] = b'{"success":true}'
    sub = await client.jetstream().subscribe("s.>", stream="S")
    assert isinstance(sub, PushSubscription)
    await client.flush()
    return sub


async def test_missed_heartbeats_are_reported() -> None:
    server, errors = Pulled(), Gathered()
    async with Peer(server) as peer, await connect(peer.url, error_cb=errors) as client:
        sub = await scripted(server, client, idle_heartbeat=50_000_000)
        await errors.reach(2)
        assert isinstance(errors[0], NoHeartbeatError)
        assert sub.missed_heartbeats >= 2
        await sub.unsubscribe()


async def test_requests_of_flow_control_are_answered_in_their_turn() -> None:
    server = Pulled()
    async with Peer(server) as peer, await connect(peer.url) as client:
        sub = await scripted(server, client)
        answered: list[str] = []
        server.taken = answered.append
        ack = "$JS.ACK.S.c.1.1.1.1700000000000000000.0"
        await server.send("deliver.here", ack, b"1", subject="s.1")
        await server.send("deliver.here", "$JS.FC.S.c.1", b"", b"NATS/1.0 100 FlowControl Request\r\n\r\n")
        stalled = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: $JS.FC.S.c.2\r\n\r\n"
        await server.send("deliver.here", "", b"", stalled)
        await server.send("deliver.here", "", b"", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n")
        await server.send("deliver.here", "", b"", b"what is this\r\n\r\n")
        await eventually(lambda: sub.pending_msgs == 5)
        await client.flush()
        assert not answered
        assert (await sub.next_msg()).data == b"1"
        await client.flush()
        assert not answered
        waiting = asyncio.create_task(sub.next_msg(5))
        await asyncio.sleep(0)
        await client.flush()
        assert answered == ["$JS.FC.S.c.1", "$JS.FC.S.c.2"]
        assert (await waiting).data == b""  # somebody's message, which is none of ours to judge
        await sub.unsubscribe()
