"""What is being handled is known to whatever runs in a handler."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeMessage, Native
from tidings.messaging.plans.handling import Handling, current_message, handling


def current() -> tuple[bytes, str]:
    message = current_message()
    assert message is not None
    return message.body, message.correlation_id


async def plain(body: bytes) -> None:
    assert current() == (b"x", "c-1")


async def with_message(body: bytes, message: FakeMessage) -> None:
    assert current() == (b"x", "c-1")
    assert current_message() is message


def threaded(body: bytes) -> None:
    assert current() == (b"x", "c-1")


async def in_tasks(body: bytes) -> None:
    await asyncio.gather(plain(body), asyncio.create_task(plain(body)), asyncio.to_thread(threaded, body))


@pytest.mark.parametrize("handler", [plain, with_message, threaded, in_tasks])
async def test_it_is_known(handler: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker()
    broker.subscriber("in")(handler)
    await broker.start()
    await broker.deliver(Native(b"x", {"correlation_id": "c-1"}))
    await broker.stop()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_outside_of_a_handler_it_is_nothing() -> None:
    assert handling.get() is None
    assert current_message() is None


async def test_a_message_is_made_once_and_only_when_asked_for() -> None:
    made: list[Native] = []

    def make(native: Native) -> FakeMessage:
        made.append(native)
        return FakeMessage(native)

    here = Handling(make)
    here.native = Native(b"x")
    assert made == []
    assert here.message() is here.message()
    assert made == [here.native]


async def test_subscribers_at_work_at_once_do_not_mix() -> None:
    broker, seen, both = FakeBroker(), [], asyncio.Barrier(2)
    for address in ("a", "b"):

        @broker.subscriber(address)
        async def handler(body: bytes) -> None:
            await both.wait()
            seen.append(current())

    await broker.start()
    await asyncio.gather(
        asyncio.create_task(broker.deliver(Native(b"1", {"correlation_id": "c-1"}), "a")),
        asyncio.create_task(broker.deliver(Native(b"2", {"correlation_id": "c-2"}), "b")),
    )
    assert sorted(seen) == [(b"1", "c-1"), (b"2", "c-2")]


async def test_tasks_of_a_handler_share_the_correlation_id_that_was_made_for_it() -> None:
    broker = FakeBroker()

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handler(body: bytes) -> bytes:
        await asyncio.gather(*(asyncio.create_task(broker.publish(b"", "aside")) for _ in range(3)))
        return body

    await broker.start()
    await broker.deliver(b"")
    assert len(broker.sent) == 4
    assert len({sent.headers["correlation_id"] for sent in broker.sent}) == 1


async def test_a_task_that_outlives_its_handler_keeps_the_message_it_knew() -> None:
    broker, go_on, tasks = FakeBroker(), asyncio.Event(), []

    async def outlive() -> tuple[tuple[bytes, str], tuple[bytes, str]]:
        before = current()
        await go_on.wait()
        return before, current()

    @broker.subscriber("in")
    async def handler(body: bytes) -> None:
        tasks.append(asyncio.create_task(outlive()))
        await asyncio.sleep(0)

    await broker.start()
    await broker.deliver(Native(b"1", {"correlation_id": "c-1"}))
    await broker.deliver(Native(b"2", {"correlation_id": "c-2"}))
    go_on.set()
    assert await asyncio.gather(*tasks) == [((b"1", "c-1"),) * 2, ((b"2", "c-2"),) * 2]
