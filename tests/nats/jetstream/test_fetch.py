from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import leaves_nothing
from tests.nats.jetstream.consuming import fill, numbered, numbers
from tests.nats.jetstream.pulling import eventually, pulled
from tests.proxy import Proxy

from tidings.nats.errors import ConnectionClosedError, ConnectionReconnectingError
from tidings.nats.jetstream.errors import ConfigError, ConsumerDeletedError, ConsumerNotFoundError
from tidings.nats.server import NatsServer


async def test_takes_what_is_there(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 10) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        async with leaves_nothing():
            assert numbers(await consumer.fetch(4)) == [1, 2, 3, 4]
            assert numbers(await consumer.fetch(20, 0.3)) == [5, 6, 7, 8, 9, 10]
            assert await consumer.fetch(20, 0.2) == []
            assert await consumer.fetch(20, no_wait=True) == []


async def test_waits_for_what_is_not_there_yet(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        fetch = asyncio.create_task(consumer.fetch(3, 20))
        await fill(client, f"{name}.n", 3)
        assert numbers(await fetch) == [1, 2, 3]


async def test_takes_so_many_bytes(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        for _ in range(20):
            await client.request(f"{name}.n", bytes(1000))
        consumer = await stream.create_consumer(name="c")
        found = await consumer.fetch_bytes(5000, 5)
        assert len(found) == 4  # the subjects count too
        await client.request(f"{name}.n", b"x", headers={"A": "b" * 100})


async def test_fetches_at_the_same_time_do_not_mix(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 100) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        parts = await asyncio.gather(*(consumer.fetch(10) for _ in range(10)))
        assert [len(part) for part in parts] == [10] * 10
        assert sorted(number for part in parts for number in numbers(part)) == list(range(1, 101))


@pytest.mark.parametrize(("batch", "timeout"), [(0, 1), (1, 0), (-1, 1)])
async def test_refuses_what_cannot_be(nats_url: str, name: str, batch: int, timeout: float) -> None:
    async with numbered(nats_url, name) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        with pytest.raises(ConfigError):
            await consumer.fetch(batch, timeout)


async def test_a_consumer_deleted_in_the_middle(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        fetch = asyncio.create_task(consumer.fetch(3, 20))
        await eventually(lambda: fetch.done() or len(asyncio.all_tasks()) > 1)
        while (await consumer.info()).num_waiting == 0:
            pass
        await consumer.delete()
        with pytest.raises(ConsumerDeletedError):
            await fetch
        with pytest.raises(ConsumerNotFoundError):
            await consumer.fetch(3, 20)


async def test_a_cancelled_fetch_leaves_nothing_and_gives_back_what_came(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        routes = len(client.subscriptions)
        tasks = len(asyncio.all_tasks())
        fetch = asyncio.create_task(consumer.fetch(5, 20))
        while (await consumer.info()).num_ack_pending < 3:
            pass
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        # What was under way is waited for, to give it back too.
        await eventually(lambda: len(client.subscriptions) == routes)
        await eventually(lambda: len(asyncio.all_tasks()) == tasks)
        assert sorted(numbers(await consumer.fetch(3, 10))) == [1, 2, 3]


async def test_a_client_that_is_closed_ends_a_fetch(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        fetch = asyncio.create_task(consumer.fetch(3, 20))
        while (await consumer.info()).num_waiting == 0:
            pass
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await fetch
        with pytest.raises(ConnectionClosedError):
            await consumer.fetch(3, 20)


async def test_a_connection_cut_in_the_middle_is_asked_again(nats_url: str, name: str) -> None:
    async with (
        Proxy(nats_url) as proxy,
        numbered(proxy.url, name, 3, reconnect_time_wait=0.02) as (client, stream),
    ):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        fetch = asyncio.create_task(consumer.fetch(5, 20))
        while (await consumer.info()).num_ack_pending < 3:
            pass
        proxy.cut()
        await eventually(lambda: client.stats.reconnects == 1)
        await fill(client, f"{name}.n", 2, 4)
        assert numbers(await fetch) == [1, 2, 3, 4, 5]


async def test_a_connection_that_stays_away_costs_no_more_than_the_time(nats_url: str, name: str) -> None:
    async with (
        Proxy(nats_url) as proxy,
        numbered(proxy.url, name, reconnect_time_wait=0.02) as (client, stream),
    ):
        consumer = await stream.create_consumer(name="c")
        async with proxy.away():
            await eventually(lambda: not client.is_connected)
            with pytest.raises(ConnectionReconnectingError):
                await consumer.fetch(5, 0.2)
        await eventually(lambda: client.is_connected)


async def test_a_server_restarted_with_its_disk_goes_on(nats_server: NatsServer, name: str) -> None:
    async with numbered(nats_server.url, name, 10, reconnect_time_wait=0.02) as (client, stream):
        consumer = await stream.create_consumer(durable_name="c")
        for message in await consumer.fetch(5):
            await message.ack_sync()
        fetch = asyncio.create_task(consumer.fetch(10, 40))
        while (await consumer.info()).num_ack_pending < 5:
            pass
        await asyncio.to_thread(nats_server.restart)
        await eventually(lambda: client.is_connected)
        await fill(client, f"{name}.n", 5, 11)
        assert numbers(await fetch) == list(range(6, 16))


async def test_never_returns_more_than_it_was_asked_for() -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(2, 20))
        await server.asked(1)
        await server.messages(5)
        assert numbers(await fetch) in ([1, 2],)
        await server.until(lambda: not server.subs)


async def test_expires_before_we_give_up_and_shows_life_in_long_ones() -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(2, 20))
        ask = await server.asked(1)
        assert 19e9 < ask["expires"] < 20e9
        assert ask["idle_heartbeat"] == 5e9
        await server.status("404 No Messages")
        await fetch


async def test_heartbeats_are_never_more_than_half_of_the_time() -> None:
    async with pulled() as server:
        for left in (10.0, 10.01, 11.3, 13.7):
            fetch = asyncio.create_task(server.consumer.fetch(2, left, heartbeat=left))
            ask = await server.asked(len(server.asks) + 1)
            assert 2 * ask["idle_heartbeat"] <= ask["expires"]
            await server.status("404 No Messages")
            await fetch
