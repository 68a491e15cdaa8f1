"""Consumers that push: the server sends by itself, to one subscriber or to a queue group."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Any

import pytest

from tests.brokers.nats.streams.conftest import Outside, until
from tidings import Batch, Context
from tidings.brokers.nats import NatsBroker, Push, pushing
from tidings.messaging.errors import SetupError
from tidings.nats.jetstream import ConsumerConfig

PATIENCE = 20.0


class Numbers:
    """What a handler got."""

    def __init__(self, expected: int) -> None:
        self.found: list[int] = []
        self.is_all = asyncio.Event()
        self._expected = expected

    def add(self, *numbers: int) -> None:
        self.found += numbers
        if len(self.found) >= self._expected:
            self.is_all.set()

    async def all(self) -> list[int]:
        async with asyncio.timeout(PATIENCE):
            await self.is_all.wait()
        return self.found


async def test_a_stream_is_sent_in_order_and_nothing_is_dropped(
    nats_url: str, name: str, stream: Outside
) -> None:
    await stream.put(20_000)
    broker, got = NatsBroker(nats_url), Numbers(20_000)

    @broker.subscriber(f"{name}.in", stream=name, durable="w", push=Push(), pending_msgs_limit=3_000)
    async def handler(number: int) -> None:
        got.add(number)

    async with broker:
        await broker.start()
        assert await got.all() == list(range(20_000))
        await until(stream.is_settled)
        config = (await stream.info()).config
    assert (config.idle_heartbeat, config.flow_control, config.deliver_group) == (5, True, "")


async def test_it_is_told_how_to_send(nats_url: str, name: str, stream: Outside) -> None:
    broker, got = NatsBroker(nats_url), Numbers(3)
    push = Push(
        idle_heartbeat=0.5, flow_control=False, rate_limit_bps=10_000_000, deliver_subject=f"to.{name}"
    )

    @broker.subscriber(f"{name}.in", stream=name, durable="w", push=push, max_ack_pending=7)
    async def handler(number: int) -> None:
        got.add(number)

    async with broker:
        await broker.start()
        await stream.put(3)
        await got.all()
        config = (await stream.info()).config
    assert (config.idle_heartbeat, config.flow_control, config.rate_limit_bps) == (0.5, False, 10_000_000)
    assert (config.deliver_subject, config.max_ack_pending) == (f"to.{name}", 7)


async def test_a_whole_config_may_push(nats_url: str, name: str, stream: Outside) -> None:
    config = ConsumerConfig(
        durable_name="w", deliver_subject=f"to.{name}", deliver_group="q", ack_policy="none"
    )
    broker, got = NatsBroker(nats_url), Numbers(3)

    @broker.subscriber(f"{name}.in", stream=name, config=config)
    async def handler(number: int) -> None:
        got.add(number)

    async with broker:
        await broker.start()
        await stream.put(3)
        assert await got.all() == [0, 1, 2]
    assert (await stream.info()).config.filter_subject == f"{name}.in"


async def test_a_queue_group_shares_what_is_sent(nats_url: str, name: str, stream: Outside) -> None:
    got = Numbers(300)
    shares: Counter[int] = Counter()
    brokers = [NatsBroker(nats_url) for _ in range(3)]
    for broker in brokers:

        @broker.subscriber(f"{name}.in", stream=name, durable="w", queue="q", push=Push())
        async def handler(number: int, member: Annotated[Any, Context("broker")]) -> None:
            shares[brokers.index(member)] += 1
            got.add(number)

    async with brokers[0], brokers[1], brokers[2]:
        for broker in brokers:
            await broker.start()
        await stream.put(300)
        assert sorted(await got.all()) == list(range(300))
        await until(stream.is_done)
        config = (await stream.info()).config
    assert (config.deliver_group, config.idle_heartbeat, config.flow_control) == ("q", None, False)
    assert len(shares) > 1


async def test_without_a_queue_group_there_is_one_subscriber(
    nats_url: str, name: str, stream: Outside
) -> None:
    first, second = NatsBroker(nats_url), NatsBroker(nats_url)
    for broker in (first, second):

        @broker.subscriber(f"{name}.in", stream=name, durable="w", push=Push())
        async def handler(number: int) -> None: ...

    async def is_bound() -> bool:
        return (await stream.info()).push_bound

    async def is_free() -> bool:
        return not await is_bound()

    async with first, second:
        await first.start()
        await until(is_bound)
        with pytest.raises(SetupError, match="has a subscriber already, and pushes to one: share it"):
            await second.start()
        await first.stop()
        await until(is_free)
        await second.connect()
        await second.start()


@pytest.mark.parametrize(
    ("there", "wanted", "problem"),
    [
        ({}, {"push": Push()}, "is pulled from"),
        ({"push": Push()}, {}, "pushes: say push=Push"),
        ({"push": Push()}, {"push": Push(), "queue": "q"}, "queue group '', not 'q'"),
        ({"push": Push(), "queue": "q"}, {"push": Push()}, "queue group 'q', not ''"),
        ({"push": Push()}, {"push": Push(idle_heartbeat=7)}, r"idle_heartbeat is 5\.0, not 7"),
        ({"push": Push()}, {"push": Push(deliver_subject="to")}, "deliver_subject is"),
    ],
)
async def test_one_that_is_there_otherwise_is_left_as_it_is(
    nats_url: str,
    name: str,
    stream: Outside,
    there: dict[str, object],
    wanted: dict[str, object],
    problem: str,
) -> None:
    for options in (there, wanted):
        broker = NatsBroker(nats_url)

        @broker.subscriber(f"{name}.in", stream=name, durable="w", **options)  # type: ignore[arg-type]
        async def handler(number: int) -> None: ...

        async with broker:
            if options is there:
                await broker.start()
            else:
                with pytest.raises(SetupError, match=problem):
                    await broker.start()

    async def is_free() -> bool:
        return not (await stream.info()).push_bound

    await until(is_free)


async def test_a_consumer_of_our_own_ends_with_us(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(3)
    broker, got = NatsBroker(nats_url), Numbers(3)

    @broker.subscriber(f"{name}.in", stream=name, push=Push())
    async def handler(number: int) -> None:
        got.add(number)

    async with broker:
        await broker.start()
        assert await got.all() == [0, 1, 2]
        assert len(await stream.consumers()) == 1
    assert await stream.consumers() == []


@pytest.mark.parametrize("workers", [1, 3])
async def test_what_is_not_handled_in_time_is_given_back(
    nats_url: str, name: str, stream: Outside, workers: int
) -> None:
    await stream.put(30)
    begun, broker = asyncio.Event(), NatsBroker(nats_url, graceful_timeout=0.2)

    @broker.subscriber(
        f"{name}.in", stream=name, durable="w", queue="q", push=Push(), ack_wait=600, workers=workers
    )
    async def handler(number: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with broker:
        await broker.start()
        await begun.wait()

    got, other = Numbers(30), NatsBroker(nats_url)

    @other.subscriber(f"{name}.in", stream=name, durable="w", queue="q", push=Push(), ack_wait=600)
    async def second(number: int) -> None:
        got.add(number)

    async with other:
        await other.start()
        assert sorted(await got.all()) == list(range(30))


async def test_a_stop_handles_what_was_delivered(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(200)
    begun, go_on, handled = asyncio.Event(), asyncio.Event(), []
    broker = NatsBroker(nats_url)

    @broker.subscriber(f"{name}.in", stream=name, durable="w", push=Push(), max_ack_pending=50)
    async def handler(number: int) -> None:
        begun.set()
        await go_on.wait()
        handled.append(number)

    async with broker:
        await broker.start()
        await begun.wait()
        stopping = asyncio.create_task(broker.stop())
        await asyncio.sleep(0)
        go_on.set()
        await stopping
    await until(stream.is_settled)
    assert (await stream.info()).ack_floor.stream_seq == len(handled)


async def test_a_handler_may_stop_its_broker(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(3)
    broker, got = NatsBroker(nats_url), Numbers(3)

    @broker.subscriber(f"{name}.in", stream=name, durable="w", push=Push())
    async def handler(number: int) -> None:
        if number == 0:
            await broker.stop()
        got.add(number)

    async with broker:
        await broker.start()
        assert await got.all() == [0, 1, 2]
        await until(stream.is_settled)


async def test_heartbeats_do_not_hold_up_a_batch(nats_url: str, name: str, stream: Outside) -> None:
    broker, got = NatsBroker(nats_url), Numbers(6)

    @broker.subscriber(
        f"{name}.in", stream=name, durable="w", push=Push(idle_heartbeat=0.1), batch=Batch(5, timeout=0.3)
    )
    async def handler(numbers: list[int]) -> None:
        got.add(*numbers)

    async with broker:
        await broker.start()
        await stream.put(6)
        assert await got.all() == list(range(6))


@pytest.mark.parametrize("queue", ["", "q"])
async def test_a_consumer_that_is_deleted_is_made_again(
    nats_url: str, name: str, stream: Outside, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "_WITHOUT_HEARTBEAT", 0.2)
    broker, got = NatsBroker(nats_url), Numbers(2)

    @broker.subscriber(
        f"{name}.in",
        stream=name,
        durable="w",
        queue=queue,
        push=Push(idle_heartbeat=0.1),
        deliver_policy="new",
    )
    async def handler(number: int) -> None:
        got.add(number)

    async def is_troubled() -> bool:
        return "is gone" in (await broker.health()).subscribers[0].trouble

    async def is_well() -> bool:
        return (await broker.health()).subscribers[0].trouble == ""

    async with broker:
        await broker.start()
        async with stream.jetstream() as js:
            await (await js.stream(name)).delete_consumer("w")
        await until(is_troubled)
        await until(is_well)
        await stream.put(2)
        assert await got.all() == [0, 1]
