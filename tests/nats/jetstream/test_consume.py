from __future__ import annotations

import asyncio
import contextvars

import pytest
from tests.nats.core.gathering import Gathered, leaves_nothing
from tests.nats.jetstream.consuming import fill, numbered, numbers, unacknowledged
from tests.nats.jetstream.pulling import eventually

from tidings.nats.errors import DrainTimeoutError, Error
from tidings.nats.jetstream import JetStreamMsg
from tidings.nats.jetstream.errors import ConfigError, ConsumerDeletedError


async def test_calls_a_plain_function_in_order(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 300) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        routes = len(client.subscriptions)
        handled = Gathered()
        async with leaves_nothing():
            running = await consumer.consume(handled, batch=50)
            assert running.is_running
            await handled.reach(300)
            await running.drain()
            assert await running.closed() is None
        assert numbers(handled) == list(range(1, 301))
        assert not running.is_running
        assert len(client.subscriptions) == routes


async def test_awaits_an_async_function(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 20) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        handled = Gathered()

        async def handle(message: JetStreamMsg) -> None:
            await asyncio.sleep(0)
            await message.ack()
            handled(message)

        async with await consumer.consume(handle):
            await handled.reach(20)
        await client.flush()
        assert numbers(handled) == list(range(1, 21))
        await unacknowledged(consumer.info, 0)


async def test_several_workers_handle_at_once(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 20) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        at_once = most = 0
        handled = Gathered()

        async def handle(message: JetStreamMsg) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.01)
            at_once -= 1
            handled(message)

        running = await consumer.consume(handle, workers=4)
        await handled.reach(20)
        running.stop()
        await running.closed()
        assert most == 4
        assert sorted(numbers(handled)) == list(range(1, 21))


async def test_what_the_function_raises_is_reported(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        handled, errors = Gathered(), Gathered()

        async def handle(message: JetStreamMsg) -> None:
            handled(message)
            if message.data == b"1":
                raise RuntimeError("broken")
            if message.data == b"2":
                raise asyncio.CancelledError

        async with await consumer.consume(handle, on_error=errors):
            await handled.reach(3)
        assert [type(each) for each in errors] == [RuntimeError, Error]


async def test_drain_handles_all_that_came(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 50) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        gate, handled = asyncio.Event(), []

        async def handle(message: JetStreamMsg) -> None:
            await gate.wait()
            await message.ack()
            handled.append(message)

        running = await consumer.consume(handle)
        await eventually(lambda: running.pending_msgs == 49)
        drain = asyncio.create_task(running.drain())
        await asyncio.sleep(0)
        gate.set()
        await drain
        assert len(handled) == 50
        await fill(client, f"{name}.n", 1)
        assert len(handled) == 50


async def test_a_drain_that_takes_too_long_gives_back(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 5) as (_client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=60)
        gate = asyncio.Event()

        async def handle(message: JetStreamMsg) -> None:
            await gate.wait()
            await message.ack()

        running = await consumer.consume(handle)
        await eventually(lambda: running.pending_msgs == 4)
        with pytest.raises(DrainTimeoutError, match="4 messages are left"):
            await running.drain(0.1)
        gate.set()
        await running.closed()
        assert len(await consumer.fetch(4, 10)) == 4


async def test_drains_from_its_own_function(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 5) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        handled = Gathered()

        async def handle(message: JetStreamMsg) -> None:
            if message.data == b"3":
                await running.drain()
            handled(message)

        running = await consumer.consume(handle)
        await running.closed()
        assert numbers(handled) == [1, 2, 3, 4, 5]


async def test_a_deleted_consumer_ends_it(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        handled, errors = Gathered(), Gathered()
        running = await consumer.consume(handled, workers=3, on_error=errors)
        await handled.reach(1)
        await consumer.delete()
        assert isinstance(await running.closed(), ConsumerDeletedError)
        assert [type(each) for each in errors] == [ConsumerDeletedError]


@pytest.mark.parametrize("ending", ["close", "drain"])
async def test_ends_with_the_client(nats_url: str, name: str, ending: str) -> None:
    async with numbered(nats_url, name, 10) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        handled = Gathered()

        async def handle(message: JetStreamMsg) -> None:
            handled(message)
            await asyncio.sleep(0.001)

        async with leaves_nothing():
            running = await consumer.consume(handle)
            await handled.reach(1)
            await getattr(client, ending)()
            await running.closed()
        if ending == "drain":
            assert numbers(handled) == list(range(1, 11))


async def test_drains_the_client_from_its_function(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 5) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        handled = Gathered()

        async def handle(message: JetStreamMsg) -> None:
            handled(message)
            if message.data == b"1":
                await client.drain()

        running = await consumer.consume(handle)
        await running.closed()
        await eventually(lambda: client.is_closed)
        assert numbers(handled) == [1, 2, 3, 4, 5]


async def test_the_function_sees_the_context_of_whoever_started_it(nats_url: str, name: str) -> None:
    variable = contextvars.ContextVar("variable", default="")
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        seen = Gathered()
        variable.set("mine")
        running = await consumer.consume(lambda message: seen(variable.get()))
        await seen.reach(1)
        running.stop()
        assert seen == ["mine"]


async def test_refuses_what_cannot_be(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        with pytest.raises(ConfigError):
            await consumer.consume(print, workers=0)
        with pytest.raises(ConfigError):
            await consumer.consume("print")  # type: ignore[arg-type]
