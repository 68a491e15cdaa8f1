"""Test brokers: the production path without a server, and the same test on a real one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from tests.brokers.harness import LIMIT
from tidings import (
    App,
    Batch,
    Dedupe,
    Depends,
    NoRespondersError,
    NotConnectedError,
    Path,
    PublishError,
    RemoteError,
    Retry,
    SetupError,
    ValidationError,
)
from tidings.brokers.memory import MemoryBroker
from tidings.brokers.nats import KvMarks, NatsBroker, NatsMessage, NatsResponse, NatsStreamMessage
from tidings.nats import Msg
from tidings.nats.jetstream import Schedule, StreamConfig
from tidings.testing import TestApp, TestMemoryBroker, TestNatsBroker, TestServer


class User(BaseModel):
    username: str
    user_id: int


def service(broker: Any) -> Any:
    @broker.subscriber("input-subject")
    @broker.publisher("out-subject")
    async def handler(username: str, user_id: int) -> str:
        if user_id < 1:
            raise ValueError("user_id is at least 1")
        return f"User {username} created!"

    return handler


BOTH = pytest.mark.parametrize(
    ("make", "test"), [(NatsBroker, TestNatsBroker), (MemoryBroker, TestMemoryBroker)], ids=["nats", "memory"]
)
NIKITA = {"username": "Nikita", "user_id": 1}


@BOTH
async def test_an_incoming_contract(make: Any, test: Any) -> None:
    broker = make()
    handler = service(broker)
    async with test(broker) as br:
        assert br is broker
        with pytest.raises(ValueError, match="at least 1"):
            await br.publish({"username": "Nikita", "user_id": 0}, subject="input-subject")
        with pytest.raises(ValidationError, match="user_id"):
            await br.publish({"username": "Nikita"}, subject="input-subject")
        await br.publish(NIKITA, "input-subject")
        handler.mock.assert_called_with(NIKITA)
        tries = 1 if make is NatsBroker else Retry().attempts
        assert handler.mock.call_count == tries + 2
    assert not hasattr(handler, "mock")
    assert not broker.is_connected


@BOTH
async def test_an_outgoing_contract(make: Any, test: Any) -> None:
    broker = make()
    service(broker)
    testing = test(broker)
    async with testing as br:
        result = await br.request(NIKITA, subject="input-subject")
        assert result.body == b"User Nikita created!"
        assert testing.published("out-subject") == ["User Nikita created!"]
        with pytest.raises(RemoteError, match="ValueError") as failed:
            await br.request({"username": "Nikita", "user_id": 0}, "input-subject")
        assert isinstance(failed.value.__cause__, ValueError)
        with pytest.raises(NoRespondersError):
            await br.request(1, "nobody")


@pytest.mark.parametrize("with_real", [False, True], ids=["memory", "real"])
async def test_the_same_test_on_a_real_server(nats_url: str, with_real: bool) -> None:
    broker = NatsBroker(nats_url)
    handler = service(broker)
    testing = TestNatsBroker(broker, with_real=with_real, raises=False)
    async with testing as br:
        await br.publish(NIKITA, "input-subject")
        await handler.wait_call(LIMIT)
        testing.of(handler).mock.assert_called_once_with(NIKITA)
        await br.publish({"username": "Nikita", "user_id": 0}, "input-subject")
        with pytest.raises(ValueError, match="at least 1"):
            await testing.of(handler).wait_call(LIMIT)
        assert (await br.request(NIKITA, "input-subject", timeout=LIMIT)).body == b"User Nikita created!"


@BOTH
async def test_publishing_returns_when_all_that_follows_is_done(make: Any, test: Any) -> None:
    broker, ended = make(), []

    @broker.subscriber("a")
    @broker.publisher("b")
    async def first(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    @broker.subscriber("b")
    async def second(number: int) -> None:
        await asyncio.sleep(0)
        await broker.publish(number + 1, "c.x")

    @broker.subscriber("c.{name}")
    async def third(number: int, name: str = Path()) -> None:
        await asyncio.sleep(0)
        ended.append((number, name))

    async with test(broker) as br:
        await br.publish(1, "a")
        assert ended == [(3, "x")]


async def test_handlers_get_what_they_get_in_production() -> None:
    broker, seen = NatsBroker(), []

    @broker.subscriber("logs.*")
    async def handler(message: NatsMessage, native: Msg, number: int = Depends(lambda: 7)) -> None:
        seen.append((message.subject, dict(message.headers)["x"], native is message.raw, number))

    async with TestNatsBroker(broker) as br:
        await br.publish(b"", "logs.info", headers={"x": "1"}, correlation_id="c")
    assert seen == [("logs.info", "1", True, 7)]


async def test_messages_of_streams_come_again_without_a_wait() -> None:
    broker, seen = NatsBroker(), []

    @broker.subscriber(
        "orders.*",
        stream=StreamConfig(name="ORDERS", subjects=["orders.>"]),
        durable="w",
        retry=Retry(attempts=3, backoff=3600.0),
        dead_letter="dead",
    )
    async def handler(order: int, message: NatsStreamMessage) -> None:
        seen.append((message.stream, message.sequence, message.num_delivered))
        raise RuntimeError("always")

    @broker.subscriber("dead")
    async def bury(order: int, message: NatsMessage) -> None:
        seen.append(message.headers["dead-letter-attempts"])

    async with TestNatsBroker(broker, raises=False) as br:
        ack = await br.publish(1, "orders.new", stream="ORDERS", msg_id="once")
        assert (ack.stream, ack.seq, ack.duplicate) == ("ORDERS", 1, False)
        assert (await br.publish(1, "orders.new", stream="ORDERS", msg_id="once")).duplicate
        with pytest.raises(PublishError, match="NONE"):
            await br.publish(1, "orders.new", stream="NONE")
    assert seen == [("ORDERS", 1, 1), ("ORDERS", 1, 2), ("ORDERS", 1, 3), "3"]


async def test_those_who_share_a_durable_share_its_messages_and_batches_are_lists() -> None:
    broker = NatsBroker()
    seen: list[int] = []
    for _ in range(2):

        @broker.subscriber("in", stream="S", durable="w", batch=Batch(3, timeout=0.01))
        async def handler(numbers: list[int]) -> None:
            seen.extend(numbers)

    async with TestNatsBroker(broker, wait=None) as br:
        for number in range(7):
            await br.publish(number, "in")
    assert sorted(seen) == list(range(7))


async def test_several_brokers_share_a_server() -> None:
    one, other, server, seen = NatsBroker(), NatsBroker(), TestServer(), []

    @other.subscriber("in")
    async def handler(number: int) -> None:
        seen.append(number)

    async with TestNatsBroker(one, server=server) as br, TestNatsBroker(other, server=server, raises=False):
        await br.publish(1, "in")
    assert seen == [1]


async def test_an_app_with_its_hooks() -> None:
    broker, told = NatsBroker(), []
    app = App(broker, on_startup=[lambda: told.append("up")], after_shutdown=[lambda: told.append("down")])
    handler = service(broker)
    async with TestNatsBroker(broker) as br, TestApp(app) as running:
        assert running is app
        await br.publish(NIKITA, "input-subject")
        handler.mock.assert_called_once_with(NIKITA)
        assert told == ["up"]
    assert told == ["up", "down"]


async def test_a_handler_that_does_not_end_is_told_of() -> None:
    broker, release = NatsBroker(graceful_timeout=0.1), asyncio.Event()

    @broker.subscriber("in")
    async def handler(body: bytes) -> None:
        await release.wait()

    async with TestNatsBroker(broker, wait=0.05) as br:
        with pytest.raises(TimeoutError, match="wait="):
            await br.publish(b"", "in")
    async with TestNatsBroker(broker, wait=None) as br:
        await br.publish(b"", "in")
        with pytest.raises(TimeoutError, match="was not called"):
            await handler.wait_call(0.05)  # type: ignore[attr-defined]
        release.set()
        await handler.wait_call(LIMIT)  # type: ignore[attr-defined]


async def test_what_a_test_broker_cannot_do_it_says() -> None:
    broker = NatsBroker()
    adapter = broker.adapter
    subscriber = broker.subscriber(kv_watch="config")

    @subscriber
    async def handler(body: bytes) -> None: ...

    with pytest.raises(SetupError, match="with_real=True"):
        async with TestNatsBroker(broker):
            pass
    assert broker.adapter is adapter
    assert broker.watch is None
    await subscriber.stop()
    testing = TestNatsBroker(broker)
    with pytest.raises(RuntimeError, match="async with"):
        testing.of(service)
    async with testing as br:
        with pytest.raises(NotConnectedError, match="with_real=True"):
            await br.client.flush()
        with pytest.raises(PublishError, match="header"):
            await br.publish(1, "in", headers={"a b": "c"})
        with pytest.raises(SetupError, match="connected"):
            async with TestNatsBroker(broker):
                pass


async def test_options_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="with_real"):
        TestNatsBroker(NatsBroker(), with_real=True, server=TestServer())


async def test_a_message_for_later_and_batches_without_a_server() -> None:
    broker, seen = NatsBroker(logger=None), []

    @broker.subscriber("calls.due", stream="CALLS", durable="w")
    async def due(number: int) -> None:
        seen.append(number)

    async with TestNatsBroker(broker) as br:
        past = Schedule.at(datetime(2020, 1, 1, tzinfo=UTC), target="calls.due")
        await br.publish(1, "calls.later", stream="CALLS", schedule=past)
        await due.wait_call()  # type: ignore[attr-defined]
        every = Schedule.every(60, target="calls.due")
        with pytest.raises(PublishError, match=r"without a server there is Schedule\.at alone"):
            await br.publish(1, "calls.later", stream="CALLS", schedule=every)
        ack = await br.publish_batch(NatsResponse(2, msg_id="2"), 3, subject="calls.due", stream="CALLS")
        assert ack is not None
        assert ack.batch_size == 2
        with pytest.raises(PublishError, match="a msg_id was stored before"):
            await br.publish_batch(4, NatsResponse(2, msg_id="2"), subject="calls.due", stream="CALLS")
        assert seen == [1, 2, 3]


async def test_marks_of_a_bucket_are_in_memory_without_a_server() -> None:
    broker, seen = NatsBroker(logger=None), []

    @broker.subscriber("one", dedupe=Dedupe(key="body:id", store=KvMarks("handled"), name="n"))
    async def one(order: dict[str, int]) -> None:
        seen.append(order["id"])

    @broker.subscriber("two", dedupe=Dedupe(key="body:id", store=KvMarks("handled"), name="n"))
    async def two(order: dict[str, int]) -> None:
        seen.append(-order["id"])

    async with TestNatsBroker(broker) as br:
        await br.publish({"id": 1}, "one")
        await br.publish({"id": 1}, "two")
        await br.publish({"id": 2}, "two")
        assert seen == [1, -2]
        two.mock.assert_called_once_with({"id": 2})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: TestNatsBroker(MemoryBroker()),
            "TestNatsBroker takes a NatsBroker, not one of type MemoryBroker",
        ),
        (lambda: TestNatsBroker(NatsBroker), "TestNatsBroker takes a NatsBroker, not the class NatsBroker"),
        (lambda: TestMemoryBroker(App()), "TestMemoryBroker takes a MemoryBroker, not one of type App"),
        (lambda: TestMemoryBroker(MemoryBroker(), faults=0.5), r"faults is a Faults\(…\), not 0\.5"),
        (lambda: TestMemoryBroker(MemoryBroker(), wait="5s"), "wait is a number of seconds"),
        (lambda: TestApp(App), "TestApp takes an App, not the class App"),
        (lambda: TestApp(NatsBroker()), "TestApp takes an App, not one of type NatsBroker"),
    ],
    ids=["kind", "class", "app", "faults", "wait", "class-of-app", "app-of-broker"],
)
def test_what_is_of_another_kind_is_refused(make: Any, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        make()
