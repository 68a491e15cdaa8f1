"""Stopping loses nothing that was delivered, and takes no longer than it may."""

import asyncio

import pytest

from tidings.brokers.nats import NatsBroker
from tidings.messaging.errors import NotConnectedError
from tidings.nats.server import NatsServer

MESSAGES = 50


async def test_what_was_delivered_is_handled_and_its_results_published(nats_url: str) -> None:
    broker, collector = NatsBroker(nats_url), NatsBroker(nats_url)
    first, release, collected = asyncio.Event(), asyncio.Event(), []

    @broker.subscriber("stop.in")
    @broker.publisher("stop.out")
    async def handler(x: int) -> int:
        first.set()
        await release.wait()
        await asyncio.sleep(0)
        return x

    @collector.subscriber("stop.out")
    async def collect(x: int) -> None:
        collected.append(x)

    await broker.start()
    await collector.start()
    for number in range(MESSAGES):
        await broker.publish(number, "stop.in")
    await broker.client.flush()
    await asyncio.wait_for(first.wait(), 10)
    stopping = asyncio.ensure_future(broker.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    release.set()
    await asyncio.wait_for(stopping, 20)
    await collector.client.flush()
    await collector.stop()
    assert collected == list(range(MESSAGES))
    with pytest.raises(NotConnectedError):
        await broker.publish(1, "stop.in")


@pytest.mark.parametrize("declared", ["abc", "cba", "bca"])
async def test_a_chain_in_one_service_comes_through_whole(nats_url: str, declared: str) -> None:
    broker, first, release = NatsBroker(nats_url), asyncio.Event(), asyncio.Event()
    collected: list[int] = []

    async def a(x: int) -> int:
        first.set()
        await release.wait()
        return x

    async def b(x: int) -> int:
        return x

    async def c(x: int) -> None:
        collected.append(x)

    declare = {
        "a": lambda: broker.subscriber("chain.a")(broker.publisher("chain.b")(a)),
        "b": lambda: broker.subscriber("chain.b")(broker.publisher("chain.c")(b)),
        "c": lambda: broker.subscriber("chain.c")(c),
    }
    for name in declared:
        declare[name]()
    await broker.start()
    for number in range(MESSAGES):
        await broker.publish(number, "chain.a")
    await broker.client.flush()
    await asyncio.wait_for(first.wait(), 10)
    stopping = asyncio.ensure_future(broker.stop())
    release.set()
    await asyncio.wait_for(stopping, 20)
    assert collected == list(range(MESSAGES))


async def test_a_drained_broker_still_publishes(nats_url: str) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber("drain.in")
    async def handler(x: int) -> None:
        handled.append(x)

    await broker.start()
    for number in range(MESSAGES):
        await broker.publish(number, "drain.in")
    await broker.drain()
    assert handled == list(range(MESSAGES))
    await broker.publish(1, "drain.in")
    await broker.client.flush()
    assert len(handled) == MESSAGES
    await broker.stop()


async def test_plain_functions_finish_too(nats_url: str) -> None:
    import time

    broker, handled, first = NatsBroker(nats_url), [], asyncio.Event()
    loop = asyncio.get_running_loop()

    @broker.subscriber("stop.plain")
    def handler(x: int) -> None:
        loop.call_soon_threadsafe(first.set)
        time.sleep(0.001)
        handled.append(x)

    await broker.start()
    for number in range(MESSAGES):
        await broker.publish(number, "stop.plain")
    await broker.client.flush()
    await asyncio.wait_for(first.wait(), 10)
    await broker.stop()
    assert handled == list(range(MESSAGES))


async def test_a_stop_that_takes_too_long_says_what_it_left(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker, first, cancelled = NatsBroker(nats_url, graceful_timeout=0.1), asyncio.Event(), []

    @broker.subscriber("stop.stuck")
    async def handler(x: int) -> None:
        first.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(x)
            raise

    await broker.start()
    for number in range(MESSAGES):
        await broker.publish(number, "stop.stuck")
    await broker.client.flush()
    await asyncio.wait_for(first.wait(), 10)
    await asyncio.wait_for(broker.stop(), 20)
    assert cancelled == [0]
    assert f"stopped with {MESSAGES} delivered messages not handled, graceful_timeout is 0.1 s" in caplog.text


async def test_requests_of_a_handler_are_answered_while_it_stops(nats_url: str) -> None:
    broker, other, first, release = (
        NatsBroker(nats_url),
        NatsBroker(nats_url),
        asyncio.Event(),
        asyncio.Event(),
    )
    answers = []

    @other.subscriber("stop.asked")
    async def asked(x: int) -> int:
        return x + 1

    @broker.subscriber("stop.asking")
    async def asking(x: int) -> None:
        first.set()
        await release.wait()
        answer = await broker.request(x, "stop.asked", timeout=10)
        answers.append(await answer.decode())

    await other.start()
    await broker.start()
    for number in range(3):
        await broker.publish(number, "stop.asking")
    await broker.client.flush()
    await asyncio.wait_for(first.wait(), 10)
    stopping = asyncio.ensure_future(broker.stop())
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait_for(stopping, 20)
    await other.stop()
    assert answers == [1, 2, 3]


async def test_a_stop_from_within_a_handler_does_not_wait_for_itself(nats_url: str) -> None:
    stopped, closed = asyncio.Event(), asyncio.Event()
    broker = NatsBroker(nats_url, closed_cb=closed.set)

    @broker.subscriber("stop.within")
    async def handler(body: bytes) -> None:
        await broker.stop()
        stopped.set()

    await broker.start()
    await broker.publish(b"", "stop.within")
    await asyncio.wait_for(stopped.wait(), 10)
    await asyncio.wait_for(closed.wait(), 10)


async def test_a_cancelled_stop_closes_the_connection(nats_url: str) -> None:
    broker, first = NatsBroker(nats_url), asyncio.Event()

    @broker.subscriber("stop.cancelled")
    async def handler(body: bytes) -> None:
        first.set()
        await asyncio.Event().wait()

    await broker.start()
    client = broker.client
    await broker.publish(b"", "stop.cancelled")
    await asyncio.wait_for(first.wait(), 10)
    stopping = asyncio.ensure_future(broker.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(stopping, 20)
    assert client.is_closed


async def test_one_subscriber_stops_as_gently_as_all(nats_url: str) -> None:
    broker, first, handled = NatsBroker(nats_url), asyncio.Event(), []
    subscriber = broker.subscriber("stop.one")

    @subscriber
    async def handler(x: int) -> None:
        first.set()
        await asyncio.sleep(0)
        handled.append(x)

    async with broker:
        await broker.start()
        for number in range(MESSAGES):
            await broker.publish(number, "stop.one")
        await broker.client.flush()
        await asyncio.wait_for(first.wait(), 10)
        await subscriber.stop()
        assert handled == list(range(MESSAGES))
        assert broker.client.is_connected


async def test_one_subscriber_that_is_stuck_is_cancelled_too(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker, first, cancelled = NatsBroker(nats_url, graceful_timeout=0.1), asyncio.Event(), asyncio.Event()
    subscriber = broker.subscriber("stop.one.stuck")

    @subscriber
    async def handler(body: bytes) -> None:
        first.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with broker:
        await broker.start()
        await broker.publish(b"", "stop.one.stuck")
        await asyncio.wait_for(first.wait(), 10)
        await asyncio.wait_for(subscriber.stop(), 20)
        await asyncio.wait_for(cancelled.wait(), 10)
    assert "stopped with 1 delivered messages not handled, graceful_timeout is 0.1 s" in caplog.text


async def test_a_stop_without_a_server_ends_and_handles_what_came(nats_server: NatsServer) -> None:
    broker, first, release, handled = NatsBroker(nats_server.url), asyncio.Event(), asyncio.Event(), []

    @broker.subscriber("stop.alone")
    async def handler(x: int) -> None:
        first.set()
        await release.wait()
        handled.append(x)

    await broker.start()
    for number in range(MESSAGES):
        await broker.publish(number, "stop.alone")
    await broker.client.flush()
    await asyncio.wait_for(first.wait(), 10)
    await asyncio.to_thread(nats_server.stop)
    stopping = asyncio.ensure_future(broker.stop())
    await asyncio.sleep(0)
    release.set()
    await asyncio.wait_for(stopping, 20)
    assert handled == list(range(MESSAGES))
