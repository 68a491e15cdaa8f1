"""Subscribers without a handler: their messages are taken one by one."""

import asyncio
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeSettler, Native
from tidings.messaging.batch import Batch
from tidings.messaging.errors import NotConnectedError, SetupError
from tidings.messaging.retry import Retry


async def test_one_is_taken_after_the_other_and_the_client_holds_the_rest() -> None:
    broker = FakeBroker()
    async with broker:
        subscriber = broker.subscriber("in")
        await subscriber.start()
        assert subscriber.is_running
        deliveries = [asyncio.create_task(broker.deliver(body)) for body in (b"1", b"2", b"3")]
        await asyncio.sleep(0)
        assert [each.done() for each in deliveries] == [True, False, False]
        taken = [await subscriber.get_one(5) for _ in range(3)]
        assert [await each.decode(int) for each in taken if each] == [1, 2, 3]
        await asyncio.gather(*deliveries)


async def test_none_comes_when_nothing_came_in_time() -> None:
    async with FakeBroker() as broker:
        assert await broker.subscriber("in").get_one(timeout=0.001) is None


async def test_a_loop_over_them_ends_when_the_broker_stops() -> None:
    broker, seen = FakeBroker(), []
    subscriber = broker.subscriber("in")

    async def read() -> None:
        async for message in subscriber:
            seen.append(message.body)

    async with broker:
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        assert subscriber.is_running
        await broker.deliver(b"1")
        await broker.deliver(b"2")
    await asyncio.wait_for(reading, 5)
    assert seen == [b"1", b"2"]


async def test_what_was_delivered_can_be_taken_after_a_stop_and_is_logged_if_nobody_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeBroker() as broker:
        subscriber = broker.subscriber("in")
        await subscriber.start()
        messages = aiter(subscriber)
        await broker.deliver(b"1")
        assert (await anext(messages)).body == b"1"
        deliveries = [asyncio.create_task(broker.deliver(body)) for body in (b"2", b"3")]
        await asyncio.sleep(0)
        await subscriber.stop()
        await asyncio.gather(*deliveries)
        assert [message.body async for message in messages] == [b"2", b"3"]
    assert "1 delivered messages not handled" in caplog.text


async def test_where_messages_are_settled_who_takes_one_does_and_a_stop_gives_the_others_back() -> None:
    broker = FakeBroker(logger=None)
    broker.adapter.settling = FakeSettler()
    async with broker:
        subscriber = broker.subscriber("in")
        await subscriber.start()
        first, second = Native(), Native()
        await broker.deliver(first)
        delivery = asyncio.create_task(broker.deliver(second))
        await asyncio.sleep(0)
        await subscriber.stop()
        await delivery
    assert (first.settled, second.settled) == ([], ["nack"])


async def test_a_taker_that_is_cancelled_takes_nothing() -> None:
    async with FakeBroker() as broker:
        subscriber = broker.subscriber("in")
        await subscriber.start()
        taker = asyncio.create_task(subscriber.get_one(None))
        await asyncio.sleep(0)
        await broker.deliver(b"1")
        taker.cancel()
        await asyncio.wait([taker])
        message = await subscriber.get_one(5)
        assert message is not None
        assert message.body == b"1"


async def test_it_is_not_for_a_subscriber_with_a_handler() -> None:
    async with FakeBroker() as broker:
        subscriber = broker.subscriber("in")

        @subscriber
        async def handler(body: bytes) -> None: ...

        with pytest.raises(SetupError, match=r"'in' has the handler .*make another one to take messages"):
            await subscriber.get_one()


@pytest.mark.parametrize("options", [{"retry": Retry()}, {"batch": Batch()}, {"dead_letter": "dead"}])
async def test_options_for_a_handler_are_refused(options: dict[str, Any]) -> None:
    async with FakeBroker() as broker:
        with pytest.raises(
            SetupError, match=f"{next(iter(options))} of the subscriber of 'in' is for a handler"
        ):
            await broker.subscriber("in", **options).get_one()


async def test_before_the_broker_is_connected_it_says_what_to_call() -> None:
    with pytest.raises(NotConnectedError, match="call connect"):
        await FakeBroker().subscriber("in").get_one()
