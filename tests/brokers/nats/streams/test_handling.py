"""A handler on a stream: what it gets, and what becomes of the message."""

import asyncio
import logging
from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from tests.brokers.nats.streams.conftest import Outside, until
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsStreamMessage
from tidings.messaging.acks import (
    AckMessage,
    AckPolicy,
    NackMessage,
    RejectMessage,
    SkipMessage,
    Verdict,
)
from tidings.messaging.errors import SetupError
from tidings.messaging.params import Path
from tidings.messaging.retry import Retry
from tidings.nats.jetstream import JetStreamMsg

QUICK = Retry(attempts=3, backoff=0.02, jitter=0)


class Order(BaseModel):
    id: int


async def test_it_is_acknowledged_when_its_results_are_published(
    nats_url: str, name: str, stream: Outside
) -> None:
    broker = NatsBroker(nats_url)
    seen: list[Any] = []

    @broker.subscriber(f"{name}.in.{{shop}}", stream=name, durable="w")
    @broker.publisher(f"{name}.out", stream=name)
    async def handler(order: Order, message: NatsMessage, native: JetStreamMsg, shop: str = Path()) -> Order:
        assert isinstance(message, NatsStreamMessage)
        assert message.raw is native
        assert (message.stream, message.num_delivered, message.reply_to) == (name, 1, "")
        assert not message.is_settled
        seen.append((order.id, shop, message.sequence))
        return order

    async with broker:
        await broker.start()
        ack = await broker.publish(Order(id=7), f"{name}.in.berlin", stream=name)
        await until(stream.is_done)
        assert seen == [(7, "berlin", ack.seq)]
        stored = await stream.last("out")
        assert stored.data == b'{"id":7}'
        assert stored.seq == ack.seq + 1


async def test_what_was_stored_before_is_handled_too(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled = NatsBroker(nats_url), []
    async with broker:
        for number in range(300):
            await broker.publish(number, f"{name}.in", stream=name)

        @broker.subscriber(f"{name}.in", stream=name, durable="w")
        async def handler(x: int) -> None:
            handled.append(x)

        await broker.start()
        await until(stream.is_done)
    assert handled == list(range(300))


async def test_a_chain_finds_its_second_handler_there(nats_url: str, name: str, stream: Outside) -> None:
    """A backlog is not worked off before those who get the results listen."""
    broker, collected, done = NatsBroker(nats_url), [], asyncio.Event()

    @broker.subscriber(f"{name}.in", stream=name, durable="w")
    @broker.publisher(f"chain.{name}")
    async def first(x: int) -> int:
        return x

    @broker.subscriber(f"chain.{name}")
    async def second(x: int) -> None:
        collected.append(x)
        if len(collected) == 50:
            done.set()

    async with broker:
        for number in range(50):
            await broker.publish(number, f"{name}.in", stream=name)
        await broker.start()
        await asyncio.wait_for(done.wait(), 10)
    assert collected == list(range(50))


@pytest.mark.parametrize(
    ("policy", "tries"),
    [(None, 3), (AckPolicy.REJECT_ON_ERROR, 3), (AckPolicy.ACK, 3), (AckPolicy.ACK_FIRST, 1)],
)
async def test_a_failure_is_tried_again_and_comes_to_an_end(
    nats_url: str,
    name: str,
    stream: Outside,
    policy: AckPolicy | None,
    tries: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, handled = NatsBroker(nats_url), []
    retry = None if policy is AckPolicy.ACK_FIRST else QUICK

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_policy=policy, retry=retry)
    async def handler(x: int, message: NatsStreamMessage) -> None:
        handled.append(message.num_delivered)
        raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(stream.is_done)
    assert handled == list(range(1, tries + 1))
    last = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(last) == 1
    assert vars(last[0])["payload_head"] == b"5"
    assert sum("again in" in record.getMessage() for record in caplog.records) == tries - 1


async def test_without_a_retry_ack_is_at_once(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_policy=AckPolicy.ACK)
    async def handler(x: int) -> None:
        handled.append(x)
        raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(stream.is_done)
    assert handled == [5]


async def test_nack_on_error_goes_on_with_waits(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled, enough = NatsBroker(nats_url), [], asyncio.Event()
    retry = Retry(attempts=2, backoff=0.05, max_delay=0.1, jitter=0)

    @broker.subscriber(
        f"{name}.in", stream=name, durable="w", ack_policy=AckPolicy.NACK_ON_ERROR, retry=retry
    )
    async def handler(x: int) -> None:
        handled.append(asyncio.get_running_loop().time())
        if len(handled) == 5:
            enough.set()
        raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await asyncio.wait_for(enough.wait(), 10)
    waits = [after - before for before, after in pairwise(handled)]
    assert min(waits) > 0.045


async def test_the_last_delivery_is_rejected_and_not_nacked(
    nats_url: str, name: str, stream: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    """A nack of it would be the end of the message, and nobody would be told."""
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(
        f"{name}.in",
        stream=name,
        durable="w",
        max_deliver=2,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        retry=QUICK,
    )
    async def handler(x: int) -> None:
        handled.append(x)
        raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(stream.is_done)
    assert handled == [5, 5]
    assert "rejected after try 2" in caplog.text


async def test_only_the_named_errors_are_tried_again(nats_url: str, name: str, stream: Outside) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", retry=Retry(on=OSError, backoff=0.01))
    async def handler(x: int) -> None:
        handled.append(x)
        raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(stream.is_done)
    assert handled == [5]


@pytest.mark.parametrize("invalid", [True, False])
async def test_a_dead_letter_says_what_happened(
    nats_url: str, name: str, stream: Outside, invalid: bool
) -> None:
    broker, dead = NatsBroker(nats_url), f"{name}.dead"

    @broker.subscriber(f"{name}.in", stream=name, durable="w", retry=QUICK, dead_letter=dead)
    async def handler(order: Order) -> None:
        raise ValueError("no\nmore")

    body = b"{}" if invalid else b'{"id":1}'
    async with broker:
        await broker.start()
        ack = await broker.publish(body, f"{name}.in", stream=name, msg_id="once", headers={"tenant": "x"})
        await until(stream.is_done)
    stored = await stream.last("dead")
    assert stored.data == body
    headers = dict(stored.headers)
    assert headers["tenant"] == "x"
    assert headers["dead-letter-source"] == f"{name}.in"
    assert headers["dead-letter-attempts"] == ("1" if invalid else "3")
    assert headers["dead-letter-error"].startswith("ValidationError" if invalid else "ValueError: no more")
    assert (headers["dead-letter-stream"], headers["dead-letter-sequence"]) == (name, str(ack.seq))
    assert headers["dead-letter-time"].endswith("+00:00")
    assert headers["Nats-Msg-Id"] != "once"


async def test_dead_letters_need_a_stream(nats_url: str, name: str, stream: Outside) -> None:
    broker = NatsBroker(nats_url)

    @broker.subscriber(f"{name}.in", stream=name, durable="w", dead_letter=f"nowhere.{name}")
    async def handler(x: int) -> None: ...

    async with broker:
        with pytest.raises(SetupError, match="no stream stores the dead letters"):
            await broker.start()


async def test_a_dead_letter_that_is_refused_keeps_the_message(
    nats_url: str,
    name: str,
    stream: Outside,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, dead = NatsBroker(nats_url), f"dead{name}"
    retry = Retry(attempts=1, max_delay=0.05)

    @broker.subscriber(f"{name}.in", stream=name, durable="w", dead_letter=dead, retry=retry)
    async def handler(x: int) -> None:
        raise ValueError("no")

    async def refused() -> bool:
        return "does not take it" in caplog.text

    async with stream.jetstream() as js, broker:
        full = await js.create_stream(name=dead, subjects=[dead], max_msgs=1, discard="new")
        await js.publish(dead, b"full")
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(refused)
        await full.purge()
        await until(stream.is_done)
        assert (await full.get_msg(last_by_subject=dead)).data == b"5"


@pytest.mark.parametrize(
    ("verdict", "deliveries"),
    [
        (AckMessage(), 1),
        (SkipMessage(), 1),
        (RejectMessage("no good"), 1),
        (NackMessage(), 2),
        (NackMessage(delay=0.01), 2),
    ],
)
async def test_a_handler_can_say_what_becomes_of_it(
    nats_url: str,
    name: str,
    stream: Outside,
    verdict: Verdict,
    deliveries: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", retry=QUICK)
    async def handler(x: int, message: NatsStreamMessage) -> None:
        handled.append(message.num_delivered)
        if message.num_delivered == 1:
            raise verdict

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(stream.is_done)
    assert handled == list(range(1, deliveries + 1))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert ("no good" in caplog.text) == isinstance(verdict, RejectMessage)


@pytest.mark.parametrize("policy", [AckPolicy.MANUAL, AckPolicy.REJECT_ON_ERROR])
@pytest.mark.parametrize(("call", "deliveries"), [("ack", 1), ("nack", 2), ("reject", 1)])
async def test_what_the_handler_settled_is_left_alone(
    nats_url: str, name: str, stream: Outside, policy: AckPolicy, call: str, deliveries: int
) -> None:
    broker, handled = NatsBroker(nats_url), []

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_policy=policy)
    async def handler(x: int, message: NatsMessage) -> None:
        handled.append(x)
        await message.in_progress()
        if len(handled) == 1:
            await getattr(message, call)()
            await message.nack(delay=5)  # the first one counts
            raise ValueError("too late")
        await message.ack()

    async with broker:
        await broker.start()
        await broker.publish(5, f"{name}.in", stream=name)
        await until(stream.is_done)
        await asyncio.sleep(0.1)
    assert handled == [5] * deliveries


async def test_manual_leaves_it_to_the_handler_but_for_what_it_never_sees(
    nats_url: str, name: str, stream: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    broker = NatsBroker(nats_url)

    @broker.subscriber(f"{name}.in", stream=name, durable="w", ack_policy=AckPolicy.MANUAL)
    async def handler(x: int) -> None:
        if x == 2:
            raise ValueError("no")

    async with broker:
        await broker.start()
        await broker.publish(b"not a number", f"{name}.in", stream=name)
        await broker.publish(1, f"{name}.in", stream=name)
        await broker.publish(2, f"{name}.in", stream=name)

        async def left() -> bool:
            info = await stream.info()
            return info.delivered.consumer_seq == 3 and info.num_ack_pending == 2

        await until(left)
    assert "rejected" in caplog.text


async def test_several_are_handled_at_once(nats_url: str, name: str, stream: Outside) -> None:
    broker, release, active, most = NatsBroker(nats_url), asyncio.Event(), 0, 0
    seen: dict[int, str] = {}

    @broker.subscriber(f"{name}.in", stream=name, durable="w", workers=4)
    async def handler(x: int) -> None:
        nonlocal active, most
        from tidings.messaging.plans.handling import current_message

        active += 1
        most = max(most, active)
        if active == 4:
            release.set()
        await release.wait()
        message = current_message()
        assert message is not None
        seen[x] = message.correlation_id
        active -= 1

    async with broker:
        await broker.start()
        for number in range(8):
            await broker.publish(number, f"{name}.in", stream=name, correlation_id=f"id-{number}")
        await until(stream.is_done)
    assert most == 4
    assert seen == {number: f"id-{number}" for number in range(8)}


async def test_workers_of_core_nats_know_their_messages(nats_url: str, name: str) -> None:
    broker, release, seen, done = NatsBroker(nats_url), asyncio.Event(), {}, asyncio.Event()
    active = 0

    @broker.subscriber(name, workers=3)
    async def handler(x: int) -> None:
        nonlocal active
        from tidings.messaging.plans.handling import current_message

        active += 1
        if active == 3:
            release.set()
        await release.wait()
        message = current_message()
        assert message is not None
        seen[x] = message.correlation_id
        if len(seen) == 3:
            done.set()

    async with broker:
        await broker.start()
        for number in range(3):
            await broker.publish(number, name, correlation_id=f"id-{number}")
        await asyncio.wait_for(done.wait(), 10)
    assert seen == {number: f"id-{number}" for number in range(3)}


async def test_an_ordered_reader_gets_all_of_it_and_settles_nothing(
    nats_url: str, name: str, stream: Outside
) -> None:
    broker, handled, done = NatsBroker(nats_url), [], asyncio.Event()

    @broker.subscriber(
        f"{name}.in",
        stream=name,
        ordered=True,
        opt_start_seq=3,
        deliver_policy="by_start_sequence",
        retry=Retry(attempts=1),
    )
    async def handler(x: int) -> None:
        handled.append(x)
        if x == 9:
            done.set()
        raise ValueError("no")

    async with broker:
        for number in range(10):
            await broker.publish(number, f"{name}.in", stream=name)
        await broker.start()
        await asyncio.wait_for(done.wait(), 10)
    assert handled == list(range(2, 10))
    assert not await stream.consumers()
