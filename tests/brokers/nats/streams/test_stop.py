"""A service that stops, dies or loses its consumer leaves no message in doubt."""

import asyncio
import sys
from itertools import pairwise

import pytest

from tests.brokers.nats.streams.conftest import Outside, until
from tidings.brokers.nats import NatsBroker, NatsMessage, Pull
from tidings.messaging.acks import AckPolicy
from tidings.messaging.batch import Batch
from tidings.nats.server import NatsServer


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_stop_under_load_leaves_nothing_in_doubt(
    nats_url: str, name: str, stream: Outside, workers: int
) -> None:
    """Everything is settled or delivered to somebody else at once, and nothing is both."""
    await stream.put(5000)
    broker, handled, some = NatsBroker(nats_url), [], asyncio.Event()

    @broker.subscriber(f"{name}.in", stream=name, durable="w", workers=workers, ack_wait=600)
    async def handler(x: int) -> None:
        await asyncio.sleep(0)
        handled.append(x)
        if len(handled) == 500:
            some.set()

    await broker.start()
    await asyncio.wait_for(some.wait(), 20)
    await broker.stop()
    assert (await stream.info()).num_waiting == 0
    assert len(handled) < 5000
    # What the server was about to send when we were gone counts as open there until somebody asks.
    rest = await stream.numbers()
    assert sorted(handled + rest) == list(range(5000))
    await until(stream.is_settled)


@pytest.mark.parametrize("batch", [None, Batch(30, timeout=0.05)])
async def test_services_that_come_and_go_handle_each_message_once(
    nats_url: str, name: str, stream: Outside, batch: Batch | None
) -> None:
    await stream.put(4000)
    handled: list[int] = []
    waiting: list[tuple[int, asyncio.Event]] = []  # at how many handled by all of them, whom to tell

    async def serve(share: int) -> None:
        broker, enough = NatsBroker(nats_url), asyncio.Event()
        waiting.append((min(len(handled) + share, 4000), enough))

        subscriber = broker.subscriber(
            f"{name}.in", stream=name, durable="w", workers=2, ack_wait=600, batch=batch
        )

        async def one(x: int) -> None:
            await many([x])

        async def many(xs: list[int]) -> None:
            await asyncio.sleep(0)
            handled.extend(xs)
            for goal, event in waiting:
                if len(handled) >= goal:
                    event.set()

        subscriber(many if batch else one)
        await broker.start()
        if len(handled) < 4000:
            await asyncio.wait_for(enough.wait(), 20)
        await broker.stop()

    async def serve_on(share: int) -> None:
        while len(handled) < 4000:
            await serve(share)

    await asyncio.gather(serve_on(150), serve_on(400), serve_on(700))
    await until(stream.is_done)
    assert sorted(handled) == list(range(4000))


@pytest.mark.parametrize("policy", [AckPolicy.REJECT_ON_ERROR, AckPolicy.NACK_ON_ERROR, AckPolicy.MANUAL])
@pytest.mark.parametrize("workers", [1, 3])
async def test_who_does_not_finish_in_time_gives_back(
    nats_url: str, name: str, stream: Outside, workers: int, policy: AckPolicy
) -> None:
    await stream.put(50)
    broker, running = NatsBroker(nats_url, graceful_timeout=0.3), asyncio.Event()
    cancelled: list[int] = []

    @broker.subscriber(
        f"{name}.in", stream=name, durable="w", workers=workers, ack_policy=policy, ack_wait=600
    )
    async def handler(x: int) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(x)

    await broker.start()
    await asyncio.wait_for(running.wait(), 10)
    await asyncio.wait_for(broker.stop(), 10)
    assert len(cancelled) == workers
    assert sorted(await stream.numbers()) == list(range(50))
    await until(stream.is_settled)


async def test_backoff_of_the_consumer_does_not_hold_back_what_is_given_back(
    nats_url: str, name: str, stream: Outside
) -> None:
    await stream.put(50)
    broker, running = NatsBroker(nats_url, graceful_timeout=0.3), asyncio.Event()

    @broker.subscriber(f"{name}.in", stream=name, durable="w", backoff=[600, 600])
    async def handler(x: int) -> None:
        running.set()
        await asyncio.Event().wait()

    await broker.start()
    await asyncio.wait_for(running.wait(), 10)
    await asyncio.wait_for(broker.stop(), 10)
    assert sorted(await stream.numbers()) == list(range(50))


async def test_a_batch_that_does_not_finish_is_given_back(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(50)
    broker, running = NatsBroker(nats_url, graceful_timeout=0.3), asyncio.Event()

    @broker.subscriber(f"{name}.in", stream=name, durable="w", batch=Batch(20, 0.1), ack_wait=600)
    async def handler(xs: list[int]) -> None:
        running.set()
        await asyncio.Event().wait()

    await broker.start()
    await asyncio.wait_for(running.wait(), 10)
    await asyncio.wait_for(broker.stop(), 10)
    assert sorted(await stream.numbers()) == list(range(50))


async def test_one_subscriber_can_stop_and_start_again(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled = NatsBroker(nats_url), []
    subscriber = broker.subscriber(f"{name}.in", stream=name, durable="w")

    @subscriber
    async def handler(x: int) -> None:
        handled.append(x)

    async with broker:
        await broker.start()
        await stream.put(10)
        await until(stream.is_done)
        await subscriber.stop()
        await stream.put(10)
        assert len(handled) == 10
        await subscriber.start()
        await until(stream.is_done)
        assert len(handled) == 20


async def test_a_broker_can_stop_and_start_again(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w")
    @broker.publisher(f"{name}.out", stream=name)
    async def handler(x: int) -> int:
        handled.append(x)
        return x

    for goal in (10, 20):
        await broker.start()
        await stream.put(10)
        await until(stream.is_done)
        await broker.stop()
        assert len(handled) == goal


async def test_a_subscriber_can_start_alone(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(3)
    broker, handled = NatsBroker(nats_url), []
    subscriber = broker.subscriber(f"{name}.in", stream=name, durable="w")

    @subscriber
    async def handler(x: int) -> None:
        handled.append(x)

    async with broker:
        await subscriber.start()
        await until(stream.is_done)
    assert handled == [0, 1, 2]


async def test_a_consumer_of_our_own_goes_with_us(nats_url: str, name: str, stream: Outside) -> None:
    broker = NatsBroker(nats_url)

    @broker.subscriber(f"{name}.in", stream=name)
    async def handler(x: int) -> None: ...

    async with broker:
        await broker.start()
        assert len(await stream.consumers()) == 1
    assert not await stream.consumers()


async def test_a_handler_can_stop_its_broker(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(20)
    broker, handled, stopped = NatsBroker(nats_url), [], asyncio.Event()

    @broker.subscriber(f"{name}.in", stream=name, durable="w")
    async def handler(x: int) -> None:
        handled.append(x)
        if x == 4:
            await broker.stop()
            stopped.set()

    await broker.start()
    client = broker.client
    await asyncio.wait_for(stopped.wait(), 10)

    async def is_closed() -> bool:
        return client.is_closed

    await until(is_closed)
    assert sorted(handled + await stream.numbers()) == list(range(20))
    await until(stream.is_settled)


SERVICE = """
import asyncio, sys
from tidings.brokers.nats import NatsBroker

url, name = sys.argv[1:]
broker = NatsBroker(url, logger=None)

@broker.subscriber(f"{name}.in", stream=name, durable="w", ack_wait=1)
async def handler(x: int) -> None:
    if x == 30:
        print("busy", flush=True)
        await asyncio.Event().wait()

async def main() -> None:
    await broker.start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_service_loses_nothing(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(50)
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, nats_url, name, stdout=asyncio.subprocess.PIPE
    )
    assert service.stdout is not None
    try:
        assert await service.stdout.readline() == b"busy\n"
    finally:
        service.kill()
        await service.wait()
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_wait=1)
    async def handler(x: int) -> None:
        handled.append(x)

    async with broker:
        await broker.start()
        await until(stream.is_done)
    assert set(range(30, 50)) <= set(handled)


async def test_a_consumer_that_is_gone_is_made_again(
    nats_url: str, name: str, stream: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", deliver_policy="new", workers=2)
    async def handler(x: int) -> None:
        handled.append(x)

    async def is_there() -> bool:
        return "is there again" in caplog.text

    async with broker:
        await broker.start()
        await stream.put(1)
        await until(stream.is_done)
        async with stream.jetstream() as js:
            await js.delete_consumer(name, "w")
        await until(is_there)
        await stream.put(1)
        await until(stream.is_done)
    assert handled == [0, 0]
    assert "is gone" in caplog.text


async def test_what_takes_long_can_say_so(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(1)
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_wait=0.5, workers=2)
    async def handler(x: int, message: NatsMessage) -> None:
        handled.append(x)
        for _ in range(10):
            await asyncio.sleep(0.1)
            await message.in_progress()

    async with broker:
        await broker.start()
        await until(stream.is_done)
    assert handled == [0]


async def test_a_pull_says_how_much_is_here_at_once(nats_url: str, name: str, stream: Outside) -> None:
    await stream.put(20)
    broker, release, running = NatsBroker(nats_url), asyncio.Event(), asyncio.Event()
    order: list[int] = []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", pull=Pull(batch=5))
    async def handler(x: int) -> None:
        running.set()
        await release.wait()
        order.append(x)

    async def are_delivered() -> bool:
        return (await stream.info()).num_ack_pending > 0

    async with broker:
        await broker.start()
        await asyncio.wait_for(running.wait(), 10)
        await until(are_delivered)
        assert (await stream.info()).num_ack_pending <= 6
        release.set()
        await until(stream.is_done)
    assert all(before < after for before, after in pairwise(order))


async def test_a_server_that_is_killed_loses_nothing(nats_server: NatsServer, name: str) -> None:
    stream = Outside(nats_server.url, name)
    await stream.make()
    await stream.put(2000)
    broker, handled, some = NatsBroker(nats_server.url, reconnect_time_wait=0.05), set(), asyncio.Event()

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_wait=1, workers=2)
    async def handler(x: int) -> None:
        await asyncio.sleep(0)
        handled.add(x)
        if len(handled) == 500:
            some.set()

    async with broker:
        await broker.start()
        await asyncio.wait_for(some.wait(), 20)
        await asyncio.to_thread(nats_server.kill)
        await asyncio.to_thread(nats_server.restart)
        await until(stream.is_done)
    assert handled == set(range(2000))
