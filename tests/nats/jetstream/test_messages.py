from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import leaves_nothing
from tests.nats.jetstream.consuming import fill, numbered, numbers, unacknowledged
from tests.nats.jetstream.pulling import eventually, pulled
from tests.proxy import Proxy

from tidings.nats import connect
from tidings.nats.errors import BadSubscriptionError, DrainTimeoutError, PermissionsError
from tidings.nats.jetstream import ReadingSettings
from tidings.nats.jetstream.errors import ConfigError, ConsumerDeletedError
from tidings.nats.server import NatsServer


@pytest.mark.parametrize(
    "options", [{}, {"batch": 7}, {"batch": 1}, {"max_bytes": 2000}, {"batch": 10, "threshold": 10}]
)
async def test_reads_all_in_order(nats_url: str, name: str, options: Any) -> None:
    async with numbered(nats_url, name, 1200) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        routes = len(client.subscriptions)
        found = []
        async with leaves_nothing(), consumer.messages(stop_after=1200, **options) as messages:
            async for message in messages:
                await message.ack()
                found.append(message)
        assert numbers(found) == list(range(1, 1201))
        assert len(client.subscriptions) == routes
        await client.flush()
        await unacknowledged(consumer.info, 0)


async def test_headers_count_where_bytes_do(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        for _ in range(100):
            await client.publish(f"{name}.n", bytes(10), headers={"A": "b" * 100})
        await client.flush()
        consumer = await stream.create_consumer(name="c")
        async with consumer.messages(stop_after=100, max_bytes=1000) as messages:
            assert len([message async for message in messages]) == 100


async def test_goes_on_when_a_pull_expired(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        async with consumer.messages(expires=1, stop_after=1) as messages:
            with pytest.raises(TimeoutError, match=r"within 1\.5 s"):
                await messages.next(1.5)
            await fill(client, f"{name}.n", 1)
            assert (await messages.next(5)).data == b"1"
            with pytest.raises(BadSubscriptionError):
                await messages.next(5)


async def test_what_nobody_took_is_given_back(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (_client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        async with consumer.messages() as messages:
            async for message in messages:
                await message.ack()
                if message.data == b"10":
                    break
        assert sorted(numbers(await consumer.fetch(40, 10))) == list(range(11, 51))


async def test_stop_ends_it_at_once_and_gives_back(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (_client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        found = []
        messages = consumer.messages()
        async for message in messages:
            found.append(message)
            await message.ack()
            if len(found) == 10:
                messages.stop()
                messages.stop()
        assert messages.is_closed
        assert numbers(found) == list(range(1, 11))
        assert sorted(numbers(await consumer.fetch(40, 10))) == list(range(11, 51))


async def test_drain_hands_out_what_came(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        messages = consumer.messages()
        await messages.next(5)
        await eventually(lambda: messages.pending_msgs == 49)
        await messages.drain()
        await fill(client, f"{name}.n", 1, 51)
        assert numbers([message async for message in messages]) == list(range(2, 51))


async def test_drain_waits_for_an_iterator(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (_client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        messages = consumer.messages()
        gate = asyncio.Event()
        found = []

        async def read() -> None:
            async for message in messages:
                found.append(message)
                await gate.wait()

        reader = asyncio.create_task(read())
        await eventually(lambda: messages.pending_msgs == 49)
        with pytest.raises(DrainTimeoutError, match="49 messages are left"):
            await messages.drain(0.1)
        gate.set()
        await reader
        assert numbers(found) == [1]


async def test_a_client_that_drains_hands_out_what_came(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        messages = consumer.messages()
        found = []

        async def read() -> None:
            async for message in messages:
                found.append(message)
                await asyncio.sleep(0)
                await message.ack()

        reader = asyncio.create_task(read())
        await eventually(lambda: found)
        await client.drain()
        await reader
        assert numbers(found) == list(range(1, 51))


async def test_a_client_that_is_closed_ends_it(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        consumer = await stream.create_consumer(name="c")

        async def read() -> list[Any]:
            return [message async for message in consumer.messages()]

        async with leaves_nothing():
            reader = asyncio.create_task(read())
            while (await consumer.info()).num_waiting == 0:
                pass
            await client.close()
            assert await reader == []


async def test_a_consumer_deleted_under_the_reader(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        found = []

        async def read() -> None:
            async with consumer.messages() as messages:
                async for message in messages:
                    found.append(message)
                    await message.ack()
                    if len(found) == 2:
                        await consumer.delete()

        with pytest.raises(ConsumerDeletedError):
            await read()
        assert numbers(found) == [1, 2, 3]


async def test_a_cancelled_reader_leaves_nothing(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        routes = len(client.subscriptions)

        async def read() -> None:
            async with consumer.messages() as messages:
                async for _ in messages:
                    pass

        async with leaves_nothing():
            reader = asyncio.create_task(read())
            while (await consumer.info()).num_waiting == 0:
                pass
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        assert len(client.subscriptions) == routes


async def test_what_is_let_go_of_pulls_no_more(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        routes = len(client.subscriptions)
        await consumer.messages().next(5)
        assert len(client.subscriptions) == routes


async def test_goes_on_after_each_cut(nats_url: str, name: str) -> None:
    """At least once: what was acknowledged while the connection went may come again, nothing is missing."""
    async with (
        Proxy(nats_url) as proxy,
        numbered(proxy.url, name, 3000, reconnect_time_wait=0.01) as (_client, stream),
    ):
        consumer = await stream.create_consumer(name="c", ack_wait=1, max_ack_pending=5000)
        seen: set[int] = set()
        async with consumer.messages(batch=100) as messages:
            async for message in messages:
                seen.add(int(message.data))
                await message.ack()
                if len(seen) in (500, 1500, 2500):
                    seen.add(-len(seen))
                    proxy.cut()
                if len(seen) == 3003:
                    break
        assert {number for number in seen if number > 0} == set(range(1, 3001))


async def test_goes_on_when_its_server_was_restarted(nats_server: NatsServer, name: str) -> None:
    async with numbered(nats_server.url, name, 100, reconnect_time_wait=0.02) as (client, stream):
        consumer = await stream.create_consumer(durable_name="c", ack_wait=1)
        seen: set[int] = set()
        async with consumer.messages(batch=10) as messages:
            async for message in messages:
                seen.add(int(message.data))
                await message.ack()
                if len(seen) == 50:
                    await client.flush()
                    await asyncio.to_thread(nats_server.restart)
                if len(seen) == 100:
                    break
        assert seen == set(range(1, 101))


async def test_asks_for_no_more_than_is_taken() -> None:
    async with pulled() as server, server.consumer.messages(batch=4) as messages:
        first = asyncio.create_task(messages.next())
        assert (await server.asked(1))["batch"] == 4
        await server.messages(4)
        await first
        await messages.next()
        await asyncio.sleep(0)
        assert len(server.asks) == 1
        await messages.next()
        assert (await server.asked(2))["batch"] == 3


async def test_counts_bytes_as_the_server_does() -> None:
    async with pulled() as server, server.consumer.messages(max_bytes=1000) as messages:
        first = asyncio.create_task(messages.next())
        ask = await server.asked(1)
        assert (ask["max_bytes"], ask["batch"]) == (1000, 1_000_000)
        await server.messages(5, headers="A: " + "b" * 80)
        await first
        await eventually(lambda: messages.pending_msgs == 4)
        for _ in range(3):
            await messages.next()
        ask = await server.asked(2)
        size = len("s.1") + len("$JS.ACK.S.c.1.1.1.1700000000000000000.0") + 1
        size += len("NATS/1.0\r\nA: \r\n\r\n") + 80
        assert ask["max_bytes"] == 4 * size


async def test_keeps_the_limits_that_the_consumer_has() -> None:
    async with (
        pulled(max_batch=10, max_expires=5) as server,
        server.consumer.messages() as messages,
    ):
        first = asyncio.create_task(messages.next())
        ask = await server.asked(1)
        assert (ask["batch"], ask["expires"], ask["idle_heartbeat"]) == (10, 5e9, 2.5e9)
        await server.messages(1)
        await first


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 0},
        {"max_bytes": 0},
        {"expires": 0.5},
        {"heartbeat": 20},
        {"heartbeat": 0},
        {"threshold": 501},
        {"stop_after": 0},
        {"min_pending": 1},
        {"group": "g", "priority": 10},
        {"what": 1},
    ],
)
def test_refuses_options_that_cannot_work(options: Any) -> None:
    with pytest.raises(ConfigError):
        ReadingSettings.of(options)


async def test_an_error_handler_that_fails_is_reported() -> None:
    def handler(error: Exception) -> None:
        raise RuntimeError("no")

    async with pulled() as server, server.consumer.messages(on_error=handler) as messages:
        first = asyncio.create_task(messages.next())
        await server.asked(1)
        await server.status("409 Leadership Change")
        await server.asked(2)
        await server.messages(1)
        await first
        await eventually(lambda: [each for each in server.errors if isinstance(each, RuntimeError)])


async def test_a_loop_that_was_left_keeps_no_drain_waiting(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        messages = consumer.messages()
        async for _ in messages:
            break
        await eventually(lambda: messages.pending_msgs == 49)
        await client.drain(5)
        assert messages.pending_msgs == 49


async def test_pulls_that_the_server_does_not_permit(name: str) -> None:
    account = """
    accounts { A { jetstream: enabled, users: [
        { user: all, password: p }
        { user: some, password: p, permissions: { publish: { deny: "$JS.API.CONSUMER.MSG.NEXT.>" } } }
    ] } }
    """
    with NatsServer(token=False, config=account) as server:
        address = f"{server.host}:{server.port}"
        async with (
            numbered(f"nats://all:p@{address}", name, 3) as (_client, stream),
            await connect(f"nats://some:p@{address}", error_cb=lambda error: None) as client,
        ):
            await stream.create_consumer(name="c")
            consumer = await client.jetstream().consumer(name, "c")
            with pytest.raises(PermissionsError):
                await consumer.messages().next(10)
            with pytest.raises(PermissionsError):
                await consumer.fetch(1, 10)
            ordered = (await client.jetstream().stream(name)).ordered_consumer()
            with pytest.raises(PermissionsError):
                await ordered.fetch(1, 10)


async def test_bytes_of_a_pull_that_got_all_its_messages_are_not_waited_for() -> None:
    async with pulled() as server, server.consumer.messages(max_bytes=100_000) as messages:
        first = asyncio.create_task(messages.next())
        await server.asked(1)
        await server.status("409 Exceeded MaxRequestBatch of 2")
        ask = await server.asked(2)
        assert (ask["batch"], ask["max_bytes"]) == (2, 100_000)
        await server.messages(2)
        await first
        assert (await server.asked(3))["batch"] == 2


async def test_an_error_handler_may_be_async() -> None:
    told = asyncio.Event()

    async def handler(error: Exception) -> None:
        await asyncio.sleep(0)
        told.set()

    async with pulled() as server, server.consumer.messages(on_error=handler) as messages:
        first = asyncio.create_task(messages.next())
        await server.asked(1)
        await server.status("409 Leadership Change")
        await told.wait()
        await server.messages(1)
        await first


async def test_broken_headers_of_a_publisher_hurt_nobody() -> None:
    async with (
        pulled(priority_groups=["g"]) as server,
        server.consumer.messages(max_bytes=1000) as messages,
    ):
        first = asyncio.create_task(messages.next())
        await server.asked(1)
        await server.messages(1, headers="no colon")
        assert (await first).data == b"1"
        assert not server.errors
