"""Many messages in one call."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from tests.brokers.nats.streams.conftest import Outside, until
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsStreamMessage
from tidings.messaging.acks import AckPolicy
from tidings.messaging.batch import Batch
from tidings.messaging.errors import SetupError
from tidings.messaging.params import Context, Logger
from tidings.messaging.retry import Retry
from tidings.nats.jetstream import JetStreamMsg


class Order(BaseModel):
    id: int


async def test_they_come_as_many_as_there_are(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(95)
    broker, sizes, handled = NatsBroker(nats_url), [], []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", batch=Batch(20, timeout=0.3))
    async def handler(xs: list[int]) -> None:
        sizes.append(len(xs))
        handled.extend(xs)

    async with broker:
        await broker.start()
        await until(stream.is_done)
    assert handled == list(range(95))
    assert max(sizes) == 20
    assert len(sizes) < 10


async def test_everything_can_be_asked_for(nats_url: str, name: str, stream: Outside) -> None:
    broker = NatsBroker(nats_url)
    seen: list[Any] = []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", batch=Batch(2, timeout=5))
    @broker.publisher(f"{name}.sum", stream=name)
    async def handler(
        orders: list[Order],
        messages: list[NatsMessage],
        native: list[JetStreamMsg],
        logger: Logger,
        first: str = Context("message.correlation_id"),
    ) -> int:
        seen.append(([order.id for order in orders], [each.body for each in messages], len(native), first))
        return sum(order.id for order in orders)

    async with broker:
        for number in (1, 2):
            await broker.publish(Order(id=number), f"{name}.in", stream=name, correlation_id=f"id-{number}")
        await broker.start()
        await until(stream.is_done)
    assert seen == [([1, 2], [b'{"id":1}', b'{"id":2}'], 2, "id-1")]
    stored = await stream.last("sum")
    assert (stored.data, stored.headers["correlation_id"]) == (b"3", "id-1")


async def test_an_item_that_is_not_valid_fails_alone(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(
        f"{name}.in", stream=name, durable="w", batch=Batch(3, timeout=5), dead_letter=f"{name}.dead"
    )
    async def handler(xs: list[int]) -> None:
        handled.append(xs)

    async with broker:
        for body in (b"1", b"no", b"3"):
            await broker.publish(body, f"{name}.in", stream=name)
        await broker.start()
        await until(stream.is_done)
    assert handled == [[1, 3]]
    assert (await stream.last("dead")).data == b"no"


async def test_a_failure_is_that_of_all(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(3)
    broker, tries = NatsBroker(nats_url), []

    @broker.subscriber(
        f"{name}.in",
        stream=name,
        durable="w",
        batch=Batch(3, timeout=0.2),
        retry=Retry(attempts=2, backoff=0.02, jitter=0),
    )
    async def handler(xs: list[int]) -> None:
        tries.append(xs)
        raise ValueError("no")

    async with broker:
        await broker.start()
        await until(stream.is_done)
    assert sorted(x for xs in tries for x in xs) == [0, 0, 1, 1, 2, 2]


async def test_each_can_be_settled_by_the_handler(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(2)
    broker, deliveries = NatsBroker(nats_url), []

    @broker.subscriber(
        f"{name}.in", stream=name, durable="w", batch=Batch(2, timeout=0.2), ack_policy=AckPolicy.MANUAL
    )
    async def handler(messages: list[NatsStreamMessage]) -> None:
        for message in messages:
            deliveries.append((message.body, message.num_delivered))
            if message.body == b"1" and message.num_delivered == 1:
                await message.nack()
            else:
                await message.ack()

    async with broker:
        await broker.start()
        await until(stream.is_done)
    assert deliveries == [(b"0", 1), (b"1", 1), (b"1", 2)]


async def test_several_batches_at_once(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(40)
    broker, release, active = NatsBroker(nats_url), asyncio.Event(), 0
    handled: list[int] = []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", batch=Batch(10, timeout=0.1), workers=3)
    async def handler(xs: list[int]) -> None:
        nonlocal active
        active += 1
        if active == 3:
            release.set()
        await release.wait()
        handled.extend(xs)

    async with broker:
        await broker.start()
        await until(stream.is_done)
    assert sorted(handled) == list(range(40))


async def test_a_payload_is_a_list(nats_url: str, name: str, stream: Outside) -> None:
    async def one(x: int) -> None: ...
    async def two(x: list[int], y: list[str]) -> None: ...
    async def fake(x: list[int], y: dict[str, int]) -> None: ...

    for handler in (one, two, fake):
        broker = NatsBroker(nats_url)
        broker.subscriber(f"{name}.in", stream=name, batch=Batch())(handler)
        async with broker:
            with pytest.raises(SetupError, match=r"list\[…\]|one parameter"):
                await broker.start()
