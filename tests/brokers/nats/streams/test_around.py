"""Middlewares, time limits and messages taken by hand, where messages are settled."""

import asyncio
from typing import Any

from tests.brokers.nats.streams.conftest import Outside, until
from tidings import CallNext, Message, Retry
from tidings.brokers.nats import NatsBroker, NatsStreamMessage

LIMIT = 20.0  # seconds


async def test_what_is_taken_of_a_stream_is_settled_by_who_takes_it(
    nats_url: str, name: str, stream: Outside
) -> None:
    broker = NatsBroker(nats_url, logger=None)
    async with broker:
        for number in range(3):
            await broker.publish(number, f"{name}.x", stream=name)
        subscriber = broker.subscriber(f"{name}.x", stream=name, durable="w")
        taken = await subscriber.get_one(LIMIT)
        assert isinstance(taken, NatsStreamMessage)
        await taken.ack()
        again = await subscriber.get_one(LIMIT)
        assert again is not None
        await again.nack()
        await subscriber.stop()
    assert sorted(await stream.numbers()) == [1, 2]


async def test_a_handler_that_takes_too_long_is_tried_again(
    nats_url: str, name: str, stream: Outside
) -> None:
    tries: list[int] = []
    done = asyncio.Event()
    broker = NatsBroker(nats_url, logger=None)

    @broker.subscriber(
        f"{name}.x", stream=name, durable="w", timeout=0.05, retry=Retry(attempts=3, backoff=0.01)
    )
    async def handler(number: int) -> None:
        tries.append(number)
        if len(tries) < 2:
            await asyncio.Event().wait()
        done.set()

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.x", stream=name)
        await asyncio.wait_for(done.wait(), LIMIT)
        await until(stream.is_settled)
    assert tries == [5, 5]


async def test_what_fails_in_a_middleware_is_settled_as_a_failure(
    nats_url: str, name: str, stream: Outside
) -> None:
    done = asyncio.Event()

    async def failing(message: Message[Any], call_next: CallNext) -> Any:
        if not done.is_set():
            done.set()
            raise OSError
        return await call_next(message)

    handled: asyncio.Queue[int] = asyncio.Queue()
    broker = NatsBroker(nats_url, logger=None, middlewares=[failing])

    @broker.subscriber(f"{name}.x", stream=name, durable="w", retry=Retry(backoff=0.01))
    async def handler(number: int) -> None:
        await handled.put(number)

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.x", stream=name)
        assert await asyncio.wait_for(handled.get(), LIMIT) == 5
