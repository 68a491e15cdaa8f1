"""What the memory broker does beyond what every broker does."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.brokers.harness import LIMIT, Seen, soon
from tidings import (
    AckPolicy,
    NackMessage,
    NotConnectedError,
    PublishError,
    RemoteError,
    Retry,
    SetupError,
)
from tidings.brokers.memory import MemoryBroker, MemoryMessage, MemoryMsg, MemoryServer

LONG = Retry(attempts=5, backoff=3600.0, max_delay=3600.0)


async def test_a_stop_tries_at_once_what_waits_for_another_try() -> None:
    broker, seen = MemoryBroker(), Seen[int]()

    @broker.subscriber("in", retry=LONG)
    async def handler(number: int) -> None:
        seen.add(number)
        if len(seen) == 1:
            raise RuntimeError("not yet")

    await broker.start()
    await broker.publish(1, "in")
    await seen.until(1)
    await asyncio.wait_for(broker.stop(), LIMIT)
    assert seen == [1, 1]


async def test_a_stop_says_what_it_gave_up(caplog: pytest.LogCaptureFixture) -> None:
    broker, seen = MemoryBroker(), Seen[int]()

    @broker.subscriber("in", ack_policy=AckPolicy.NACK_ON_ERROR, retry=LONG)
    async def handler(number: int) -> None:
        seen.add(number)
        raise RuntimeError("always")

    await broker.start()
    await broker.publish(1, "in")
    await broker.publish(2, "in")
    await seen.until(2)
    await asyncio.wait_for(broker.stop(), LIMIT)
    assert sorted(seen) == [1, 1, 2, 2]
    assert "with 2 delivered messages not handled" in caplog.text


async def test_a_stop_that_takes_too_long_counts_what_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    broker, started = MemoryBroker(graceful_timeout=0.05), asyncio.Event()

    @broker.subscriber("in")
    async def handler(number: int) -> None:
        started.set()
        await asyncio.Event().wait()

    await broker.start()
    for number in range(10):
        await broker.publish(number, "in")
    await asyncio.wait_for(started.wait(), LIMIT)
    await asyncio.wait_for(broker.stop(), LIMIT)
    assert "with 10 delivered messages not handled" in caplog.text


async def test_what_a_member_leaves_is_for_the_others_of_its_group() -> None:
    server, held, seen = MemoryServer(), asyncio.Event(), Seen[int]()
    one, other = MemoryBroker(server, graceful_timeout=0.05), MemoryBroker(server)

    @one.subscriber("in", queue="w")
    async def holds(number: int) -> None:
        held.set()
        await asyncio.Event().wait()

    @other.subscriber("in", queue="w")
    async def handles(number: int) -> None:
        seen.add(number)

    await one.start()
    for number in range(5):
        await one.publish(number, "in")
    await asyncio.wait_for(held.wait(), LIMIT)
    await other.start()
    await asyncio.wait_for(one.stop(), LIMIT)
    assert sorted(await seen.until(5)) == list(range(5))
    await other.stop()


async def test_a_queue_group_has_one_name_whatever_its_members_listen_to() -> None:
    broker, seen = MemoryBroker(), Seen[str]()
    for pattern in ("a.*", "a.b", "a.>"):

        @broker.subscriber(pattern, queue="w")
        async def handler(text: str) -> None:
            seen.add(text)

    async with broker:
        await broker.start()
        for number in range(20):
            await broker.publish(str(number), "a.b")
        await seen.until(20)
    assert len(seen) == 20


async def test_a_delayed_message_is_for_those_who_listen_then() -> None:
    broker, seen = MemoryBroker(), Seen[int]()
    async with broker:
        await broker.publish(1, "in", delay=0.01)

        @broker.subscriber("in")
        async def handler(number: int) -> None:
            seen.add(number)

        await broker.start()
        assert await seen.until(1) == [1]


async def test_delayed_messages_that_nobody_will_get_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with MemoryBroker() as broker:
        await broker.publish(1, "in", delay=3600.0)
    assert "1 delayed messages are not delivered" in caplog.text


@pytest.mark.parametrize("subject", ["", "a b", "a..b", "a.*", ">"])
async def test_what_is_no_subject_is_not_published_to(subject: str) -> None:
    async with MemoryBroker() as broker:
        for delay in (0.0, 1.0):
            with pytest.raises(PublishError, match="subject"):
                await broker.publish(1, subject, delay=delay)


async def test_a_delay_is_not_negative() -> None:
    async with MemoryBroker() as broker:
        with pytest.raises(ValueError, match="at least 0"):
            await broker.publish(1, "in", delay=-1)


@pytest.mark.parametrize(("subject", "queue"), [("a.>.b", ""), ("", ""), ("a", "a b")])
async def test_what_cannot_be_listened_to_is_refused(subject: str, queue: str) -> None:
    broker = MemoryBroker()

    @broker.subscriber(subject, queue=queue)
    async def handler(body: bytes) -> None: ...

    async with broker:
        with pytest.raises(SetupError):
            await broker.start()


async def test_a_dead_letter_that_nobody_keeps_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    broker, letters = MemoryBroker(), Seen[int]()

    @broker.subscriber("in", retry=Retry(attempts=1, max_delay=0.01), dead_letter="dead")
    async def handler(number: int) -> None:
        raise RuntimeError("always")

    async with broker:
        await broker.start()
        await broker.publish(1, "in")
        await soon(lambda: "does not take it" in caplog.text)
        late = broker.subscriber("dead")

        @late
        async def bury(number: int) -> None:
            letters.add(number)

        await late.start()
        assert await letters.until(1) == [1]


async def test_a_failed_request_is_a_dead_letter_too() -> None:
    broker, calls, letters = MemoryBroker(), Seen[int](), Seen[int]()

    @broker.subscriber("in", dead_letter="dead", retry=Retry(attempts=3, backoff=0.0))
    async def handler(number: int) -> None:
        calls.add(number)
        raise RuntimeError("always")

    @broker.subscriber("dead")
    async def bury(number: int) -> None:
        letters.add(number)

    async with broker:
        await broker.start()
        with pytest.raises(RemoteError, match="RuntimeError"):
            await broker.request(1, "in", timeout=LIMIT)
        assert await letters.until(1) == [1]
    assert calls == [1, 1, 1]


async def test_a_request_can_come_again() -> None:
    broker, calls = MemoryBroker(), Seen[int]()

    @broker.subscriber("in")
    async def handler(number: int) -> int:
        calls.add(number)
        if len(calls) == 1:
            raise NackMessage(0)
        return number

    async with broker:
        await broker.start()
        assert await (await broker.request(1, "in", timeout=LIMIT)).decode() == 1
    assert calls == [1, 1]


async def test_the_message_knows_how_often_it_came() -> None:
    broker, seen = MemoryBroker(), Seen[Any]()

    @broker.subscriber("in", retry=Retry(attempts=3, backoff=0.0))
    async def handler(message: MemoryMessage, native: MemoryMsg) -> None:
        seen.add((message.num_delivered, native is message.raw, message.is_settled))
        raise RuntimeError("always")

    async with broker:
        await broker.start()
        await broker.publish(b"", "in")
        assert await seen.until(3) == [(number, True, False) for number in (1, 2, 3)]


async def test_a_message_is_settled_once() -> None:
    broker, seen = MemoryBroker(), Seen[int]()

    @broker.subscriber("in", ack_policy=AckPolicy.MANUAL)
    async def handler(message: MemoryMessage) -> None:
        seen.add(message.num_delivered)
        if message.num_delivered == 1:
            await message.nack()
            await message.nack()
            await message.reject()
        else:
            await message.ack()
            await message.nack()

    async with broker:
        await broker.start()
        await broker.publish(b"", "in")
        await seen.until(2)
    assert seen == [1, 2]


async def test_a_publisher_that_is_faster_than_its_handlers_lets_them_work() -> None:
    broker, most, handled = MemoryBroker(logger=None), 0, 0

    @broker.subscriber("in")
    async def handler(body: bytes) -> None:
        nonlocal handled
        handled += 1

    async with broker:
        await broker.start()
        for number in range(20_000):
            await broker.publish(b"", "in")
            most = max(most, number + 1 - handled)
    assert handled == 20_000
    assert most < 2_000


def test_a_broker_lives_in_one_loop_after_the_other() -> None:
    broker, seen = MemoryBroker(), Seen[int]()

    @broker.subscriber("in")
    async def handler(number: int) -> None:
        seen.add(number)

    async def run(number: int) -> None:
        async with broker:
            await broker.start()
            await broker.publish(number, "in")

    for number in range(2):
        asyncio.run(run(number))
    assert seen == [0, 1]


async def test_brokers_of_two_loops_do_not_share_a_server() -> None:
    server = MemoryServer()
    async with MemoryBroker(server):
        with pytest.raises(SetupError, match="event loop"):
            await asyncio.to_thread(asyncio.run, MemoryBroker(server).connect())


async def test_routes_that_are_remembered_follow_who_listens() -> None:
    broker = MemoryBroker(logger=None)
    async with broker:
        publish = broker.client.publish
        assert publish("a.b", b"", {}) == 0
        seen = Seen[bytes]()
        subscriber = broker.subscriber("a.*")

        @subscriber
        async def handler(body: bytes) -> None:
            seen.add(body)

        await subscriber.start()
        assert publish("a.b", b"1", {}) == 1
        await subscriber.stop()
        assert publish("a.b", b"2", {}) == 0
        assert seen == [b"1"]


async def test_the_log_names_what_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tidings")
    broker, seen = MemoryBroker(), Seen[int]()

    @broker.subscriber("in")
    async def handler(number: int) -> None:
        seen.add(number)

    async with broker:
        await broker.start()
        await broker.publish(1, "in", correlation_id="c-1")
        await seen.until(1)
    assert "in | c-1 | handled" in caplog.text
    with pytest.raises(NotConnectedError, match="connect"):
        _ = broker.client
