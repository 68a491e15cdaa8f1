"""Where the peer hurts, and what is true here: a test for each row of that table, on a real server.

The speeds of the table are rows of the benchmark: tests/bench/test_where_peers_hurt.py. What a row says in
full is tested where it belongs; here it is said in the words of who moves from the peer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from types import FrameType
from typing import Any

import pytest
from pydantic import BaseModel

from tests.brokers.harness import LIMIT, Gate, Seen, soon
from tidings import (
    AckPolicy,
    Context,
    Depends,
    Header,
    Logger,
    NotConnectedError,
    Path,
    RemoteError,
    Retry,
    SetupError,
)
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsRouter
from tidings.brokers.nats.options import NatsSource
from tidings.messaging.endpoints import Source
from tidings.nats import connect
from tidings.nats.jetstream import JetStream, Stream, StreamConfig
from tidings.nats.wire import IMPLEMENTATION
from tidings.testing import TestNatsBroker

HOUR = 3600.0
FAR = Retry(attempts=3, backoff=HOUR, max_delay=HOUR)


class Order(BaseModel):
    id: int


@pytest.fixture
def name() -> str:
    """For subjects and streams of the test's own."""
    return f"T{os.urandom(6).hex()}"


@asynccontextmanager
async def a_stream(url: str, name: str, **config: Any) -> AsyncIterator[tuple[JetStream, Stream]]:
    async with await connect(url) as client:
        js = client.jetstream()
        stream = await js.create_stream(StreamConfig(name=name, subjects=[f"{name}.>"], **config))
        try:
            yield js, stream
        finally:
            await js.delete_stream(name)


async def test_what_a_handler_asks_for_is_no_hop_to_a_thread(nats_url: str, name: str) -> None:
    """The peer: each of these parameters is one, which leaves 825 messages a second."""
    threads, told = set[int](), Seen[Any]()

    def plain() -> int:
        threads.add(threading.get_ident())
        return 7

    async with NatsBroker(nats_url) as broker:
        broker.context.set_global("shop", "berlin")

        @broker.subscriber(f"{name}.logs.{{level}}")
        async def handler(
            order: Order,
            message: NatsMessage,
            logger: Logger,
            tenant: str = Header(),
            level: str = Path(),
            shop: str = Context("shop"),
            number: int = Depends(plain),
        ) -> None:
            told.add((order.id, message.subject, tenant, level, shop, number))

        await broker.start()
        before = threading.active_count()
        await broker.publish({"id": 1}, f"{name}.logs.info", headers={"tenant": "a"})
        assert await told.until(1) == [(1, f"{name}.logs.info", "a", "info", "berlin", 7)]
        assert threading.active_count() == before
    assert threads == {threading.get_ident()}


@pytest.mark.skipif(IMPLEMENTATION != "c", reason="the pure wire core is there to be read")
async def test_a_message_costs_at_most_ten_calls_of_ours(nats_url: str, name: str) -> None:
    """The peer: 281 before the handler."""
    seen, calls = Seen[int](), []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("tidings."):
            calls.append(frame.f_code.co_qualname)

    def publish() -> None:  # in a thread, and so uncounted
        async def once() -> None:
            async with await connect(nats_url) as client:
                await client.publish(name, b'{"id":7}')

        asyncio.run(once())

    async with NatsBroker(nats_url, logger=None) as broker:

        @broker.subscriber(name)
        async def handler(order: Order) -> None:
            seen.add(order.id)

        await broker.start()
        await asyncio.to_thread(publish)
        await seen.until(1)  # the first one fills caches
        sys.setprofile(profile)
        try:
            await asyncio.to_thread(publish)
            await seen.until(2)
        finally:
            sys.setprofile(None)
    assert 0 < len(calls) <= 10, calls


@pytest.mark.parametrize("broker", ["nats", "memory"])
def test_a_library_of_a_broker_is_imported_with_that_broker_only(broker: str) -> None:
    """The peer: `import` takes 0.4 to 0.7 s. How long ours takes is a row of the benchmark."""
    code = f"import sys, tidings, tidings.brokers.{broker}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    others = {
        "confluent_kafka",
        "aio_pika",
        "redis",
        "aiomqtt",
        "starlette",
        "opentelemetry",
        "typer",
        "rich",
    }
    assert not others & set(loaded)
    assert not [each for each in loaded if each.startswith("tidings.nats.jetstream")]


@pytest.mark.parametrize(("stream", "workers"), [(False, 1), (False, 3), (True, 1)], ids=str)
async def test_a_stop_loses_nothing_that_was_delivered(
    nats_url: str, name: str, stream: bool, workers: int
) -> None:
    """The peer: 9 of 10."""
    gate, handled = Gate(10**9), Seen[int]()
    async with a_stream(nats_url, name) if stream else connected() as _:
        of_stream = {"stream": name, "durable": "w"} if stream else {}
        broker = NatsBroker(nats_url, graceful_timeout=LIMIT)

        @broker.subscriber(f"{name}.in", workers=workers, **of_stream)
        async def handler(number: int) -> None:
            await gate.wait()
            handled.add(number)

        await broker.start()
        for number in range(10):
            await broker.publish(number, f"{name}.in")
        await asyncio.wait_for(gate.entered.wait(), LIMIT)
        assert await broker.ping()  # behind which all 10 have come
        stopping = asyncio.ensure_future(broker.stop())
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.wait_for(stopping, LIMIT)
        if stream:  # what it gave back is there for the next one
            await broker.start()
            await handled.until(10)
            await broker.stop()
    assert sorted(handled) == list(range(10))


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    yield


async def test_nack_on_error_waits_before_it_tries_again(nats_url: str, name: str) -> None:
    """The peer: 1,459 tries a second, and no end."""
    calls, behind = Seen[int](), Seen[int]()
    async with a_stream(nats_url, name), NatsBroker(nats_url) as broker:

        @broker.subscriber(
            f"{name}.in", stream=name, durable="w", ack_policy=AckPolicy.NACK_ON_ERROR, retry=FAR
        )
        async def handler(number: int) -> None:
            if number == 0:
                calls.add(number)
                raise RuntimeError("always")
            behind.add(number)

        await broker.start()
        for number in range(200):
            await broker.publish(number, f"{name}.in", stream=name)
        await behind.until(199)
        assert calls == [0]


async def test_nack_on_error_has_an_end(nats_url: str, name: str) -> None:
    calls, letters = Seen[int](), Seen[int]()
    async with a_stream(nats_url, name), NatsBroker(nats_url) as broker:

        @broker.subscriber(
            f"{name}.in",
            stream=name,
            durable="w",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            retry=Retry(attempts=3, backoff=0.01),
            dead_letter=f"{name}.dead",
        )
        async def handler(number: int) -> None:
            calls.add(number)
            raise RuntimeError("always")

        @broker.subscriber(f"{name}.dead")
        async def bury(number: int) -> None:
            letters.add(number)

        await broker.start()
        await broker.publish(7, f"{name}.in", stream=name)
        assert await letters.until(1) == [7]
    assert calls == [7, 7, 7]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "subject"])
async def test_an_invalid_message_is_a_visible_failure(
    nats_url: str, name: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The peer: discarded by default, without a word of what it was."""
    behind = Seen[int]()
    async with a_stream(nats_url, name) as (_, stored), NatsBroker(nats_url) as broker:
        of_stream = {"stream": name, "durable": "w"} if stream else {}

        @broker.subscriber(f"{name}.in", **of_stream)
        async def handler(order: Order) -> None:
            behind.add(order.id)

        await broker.start()
        await broker.publish(b'{"id":"x"}', f"{name}.in")
        await broker.publish({"id": 1}, f"{name}.in")
        assert await behind.until(1) == [1]
        (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert vars(record)["payload_head"] == b'{"id":"x"}'
        assert "field 'id'" in record.getMessage()
        assert (await stored.get_msg(1)).data == b'{"id":"x"}'  # still there


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "subject"])
async def test_an_invalid_message_is_kept_as_a_dead_letter(nats_url: str, name: str, stream: bool) -> None:
    async with a_stream(nats_url, name) as (_, stored), NatsBroker(nats_url) as broker:
        of_stream = {"stream": name, "durable": "w"} if stream else {}

        @broker.subscriber(f"{name}.in", dead_letter=f"{name}.dead", **of_stream)
        async def handler(order: Order) -> None: ...

        letters = Seen[NatsMessage]()

        @broker.subscriber(f"{name}.dead")
        async def bury(message: NatsMessage) -> None:
            letters.add(message)

        await broker.start()
        await broker.publish(b'{"id":"x"}', f"{name}.in")
        (letter,) = await letters.until(1)
        assert (letter.body, letter.headers["dead-letter-source"]) == (b'{"id":"x"}', f"{name}.in")
        assert letter.headers["dead-letter-error"].startswith("ValidationError")
        assert (await stored.get_msg(last_by_subject=f"{name}.dead")).data == b'{"id":"x"}'


async def test_a_failed_request_is_answered_at_once(nats_url: str, name: str) -> None:
    """The peer: silence until the timeout."""
    async with NatsBroker(nats_url) as broker:

        @broker.subscriber(name)
        async def handler(order: Order) -> Order:
            raise RuntimeError("no")

        await broker.start()
        async with asyncio.timeout(LIMIT):
            with pytest.raises(RemoteError) as failed:
                await broker.request({"id": 1}, name, timeout=HOUR)
            with pytest.raises(RemoteError) as invalid:
                await broker.request({"id": "x"}, name, timeout=HOUR)
    assert (failed.value.code, invalid.value.code) == ("500", "400")


async def test_bytes_are_bytes_and_text_is_text(nats_url: str, name: str) -> None:
    """The peer: `b"123"` is a number, and not valid for either."""
    seen = Seen[Any]()
    async with NatsBroker(nats_url) as broker:

        @broker.subscriber(f"{name}.bytes")
        async def as_bytes(body: bytes) -> None:
            seen.add(body)

        @broker.subscriber(f"{name}.str")
        async def as_text(body: str) -> None:
            seen.add(body)

        await broker.start()
        await broker.publish(b"123", f"{name}.bytes")
        await seen.until(1)
        await broker.publish(b"123", f"{name}.str")
        assert await seen.until(2) == [b"123", "123"]


async def test_a_text_does_not_fill_two_parameters(nats_url: str, name: str) -> None:
    """The peer: `"xy"` calls `handler("x", "y")`."""
    called = Seen[Any]()
    async with NatsBroker(nats_url) as broker:

        @broker.subscriber(name)
        async def handler(a: str, b: str) -> None:
            called.add((a, b))

        await broker.start()
        for value in ("xy", ["x", "y"]):
            with pytest.raises(RemoteError, match="400"):
                await broker.request(value, name, timeout=LIMIT)
    assert called == []


async def test_no_server_is_a_line_a_try_and_an_error_that_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The peer: two minutes of silence."""
    broker = NatsBroker("nats://127.0.0.1:1", connect_attempts=3, connect_wait=0)
    with pytest.raises(ConnectionError, match="Start nats-server there, or say where it is"):
        await broker.start()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert all("nothing listens there" in line for line in lines)


async def test_publishing_before_connecting_says_what_to_call(nats_url: str, name: str) -> None:
    """The peer: an empty exception."""
    broker = NatsBroker(nats_url)
    with pytest.raises(NotConnectedError, match=r"call `await broker\.connect\(\)`"):
        await broker.publish(1, name)


async def test_health_knows_of_a_dead_consumer_that_a_ping_does_not_see(nats_url: str, name: str) -> None:
    """The peer: `ping` is fine while every consumer is dead."""
    async with a_stream(nats_url, name) as (js, _), NatsBroker(nats_url) as broker:

        @broker.subscriber(f"{name}.in", stream=name, durable="w", declare="never")
        async def handler(body: bytes) -> None: ...

        await js.create_consumer(name, durable_name="w", filter_subject=f"{name}.in")
        await broker.start()
        assert (await broker.health()).is_healthy
        await js.delete_consumer(name, "w")
        (subscriber,) = broker.subscribers
        await soon(lambda: not subscriber.health().is_healthy)
        assert await broker.ping()
        health = await broker.health()
        assert not health.is_healthy
        assert f"'{name}.in': its consumer is gone" in health.reasons[0]


async def test_a_stream_that_is_there_is_never_changed_unasked(nats_url: str, name: str) -> None:
    """The peer: reconfigured silently, with a warning."""
    async with a_stream(nats_url, name, max_msgs=10) as (_, stream), NatsBroker(nats_url) as broker:
        wanted = StreamConfig(name=name, subjects=[f"{name}.in"], max_msgs=99)

        @broker.subscriber(f"{name}.in", stream=wanted)
        async def handler(body: bytes) -> None: ...

        with pytest.raises(SetupError, match=r"max_msgs is 10, not 99"):
            await broker.start()
        config = (await stream.info()).config
        assert (config.max_msgs, config.subjects) == (10, [f"{name}.>"])


async def test_the_test_broker_runs_the_production_path(name: str) -> None:
    """The peer's has no redelivery and no dynamic subscribers, and reads the caller's source."""
    broker = NatsBroker()
    namespace: dict[str, Any] = {"calls": []}
    exec(
        "async def handler(number: int) -> int:\n"
        "    calls.append(number)\n"
        "    if len(calls) == 1:\n"
        "        raise RuntimeError('not yet')\n"
        "    return number\n",
        namespace,
    )
    broker.subscriber(f"{name}.in", stream=name, durable="w")(
        broker.publisher(f"{name}.out")(namespace["handler"])
    )
    async with TestNatsBroker(broker):
        dynamic = broker.subscriber(f"{name}.out")
        await dynamic.start()
        with pytest.raises(RuntimeError, match="not yet"):
            await broker.publish(7, f"{name}.in", stream=name)
        message = await dynamic.get_one(LIMIT)
    assert message is not None
    assert (message.body, namespace["calls"]) == (b"7", [7, 7])


def test_an_option_of_a_source_is_declared_once() -> None:
    """The peer: the same list five times a broker."""
    subscribers: list[Any] = [NatsBroker().subscriber, NatsRouter().subscriber]
    for subscriber in subscribers:  # both take what the dataclass takes, and nothing else
        with pytest.raises(TypeError, match=r"NatsSource\.__init__"):
            subscriber("in", unknown=1)
    for name in (each.name for each in fields(NatsSource)):
        owners = [kind for kind in (Source, NatsSource) if name in inspect.get_annotations(kind)]
        assert len(owners) == 1, name
