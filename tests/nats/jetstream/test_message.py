from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.nats.jetstream.consuming import fill, numbered, numbers, unacknowledged
from tests.nats.jetstream.streaming import away
from tests.proxy import Proxy

from tidings.nats.errors import NoRespondersError
from tidings.nats.jetstream import JetStreamMsg
from tidings.nats.jetstream.errors import MsgAlreadyAckdError, NotJSMessageError
from tidings.nats.jetstream.message import parse_metadata

V1 = "$JS.ACK.ORDERS.worker.2.120.7.1700000000123456789.33"


def test_reads_an_ack_subject_of_nine_tokens() -> None:
    meta = parse_metadata(V1)
    assert (meta.stream, meta.consumer, meta.domain, meta.account_hash) == ("ORDERS", "worker", "", "")
    assert (meta.sequence.stream, meta.sequence.consumer) == (120, 7)
    assert (meta.num_delivered, meta.num_pending) == (2, 33)
    assert meta.timestamp == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert meta.timestamp_ns == 1700000000123456789


@pytest.mark.parametrize("more", ["", ".x7Kq", ".x7Kq.what.comes"])
@pytest.mark.parametrize(("domain", "expected"), [("_", ""), ("hub", "hub")])
def test_reads_an_ack_subject_of_eleven_tokens_and_more(more: str, domain: str, expected: str) -> None:
    rest = V1.removeprefix("$JS.ACK.")
    meta = parse_metadata(f"$JS.ACK.{domain}.A1B2C3.{rest}{more}")
    assert meta == parse_metadata(V1)._replace(domain=expected, account_hash="A1B2C3")


@pytest.mark.parametrize(
    "reply", ["", "_INBOX.x", "$JS.ACK.S.c.1.2.3.4", "$JS.ACK.S.c.1.2.3.4.5.6", "$JS.ACK.S.c.1.x.3.4.5"]
)
def test_refuses_what_is_no_ack_subject(reply: str) -> None:
    with pytest.raises(NotJSMessageError):
        parse_metadata(reply)


async def test_a_message_that_no_consumer_delivered_cannot_be_settled() -> None:
    message = JetStreamMsg("a.b", "", b"")
    for settle in (message.ack, message.nak, message.term, message.in_progress, message.ack_sync):
        with pytest.raises(NotJSMessageError):
            await settle()


async def test_settles_a_message_in_each_way(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 5) as (_client, stream):
        consumer = await stream.create_consumer(durable_name="c", ack_wait=30)
        first, second, third, fourth, fifth = await consumer.fetch(5)
        await first.ack()
        await second.ack_sync()
        await third.nak()
        await fourth.term("it is broken")
        await fifth.in_progress()
        assert [m.is_settled for m in (first, second, third, fourth, fifth)] == [True] * 4 + [False]
        (again,) = await consumer.fetch(1)
        assert again.data == b"3"
        assert again.metadata.num_delivered == 2
        await again.ack_sync()
        info = await consumer.info()
        assert (info.num_ack_pending, info.num_redelivered) == (1, 0)


async def test_a_message_is_settled_once(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        message = await consumer.next()
        await message.ack()
        for settle in (message.ack, message.nak, message.term, message.in_progress, message.ack_sync):
            with pytest.raises(MsgAlreadyAckdError):
                await settle()


@pytest.mark.parametrize("delay", [0.2, timedelta(seconds=0.2)])
async def test_a_refused_message_comes_again_after_its_delay(
    nats_url: str, name: str, delay: float | timedelta
) -> None:
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        await (await consumer.next()).nak(delay)
        assert await consumer.fetch(1, no_wait=True) == []
        assert (await consumer.next()).metadata.num_delivered == 2


async def test_a_delay_is_not_negative(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c")
        message = await consumer.next()
        with pytest.raises(ValueError, match="negative"):
            await message.nak(-1)
        assert not message.is_settled


async def test_work_in_progress_puts_the_redelivery_off(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c", ack_wait=0.4)
        message = await consumer.next()
        for _ in range(3):
            assert await consumer.fetch(1, 0.25) == []
            await message.in_progress()
        await message.ack_sync()
        assert (await consumer.info()).num_redelivered == 0


async def test_acknowledges_and_takes_the_next(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 2) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        first = await consumer.next()
        second = await first.next(timeout=5)
        assert numbers([first, second]) == [1, 2]
        assert first.is_settled
        with pytest.raises(TimeoutError, match="no next message within"):
            await second.next(timeout=0.2)
        assert second.is_settled
        await fill(client, f"{name}.n", 1, 3)
        assert (await consumer.next()).data == b"3"
        await unacknowledged(consumer.info, 1)


async def test_nobody_waits_for_an_acknowledgement_where_none_is_wanted(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (_client, stream):
        consumer = await stream.create_consumer(name="c", ack_policy="none")
        message = await consumer.next()
        with pytest.raises(NoRespondersError, match="ack_policy none"):
            await message.ack_sync()


async def test_headers_are_those_of_the_publisher(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        await client.request(f"{name}.h", b"x", headers={"A": ["1", "2"]})
        consumer = await stream.create_consumer(name="c")
        message = await consumer.next()
        assert message.headers.get_all("A") == ["1", "2"]
        assert message.subject == f"{name}.h"
        assert message.metadata.stream == name


async def test_ack_waits_for_the_connection_where_publishing_does(nats_url: str, name: str) -> None:
    options = {"reconnect_buffer_policy": "block", "reconnect_buffer_size": 100}
    async with Proxy(nats_url) as proxy, numbered(proxy.url, name, 3, **options) as (client, stream):
        consumer = await stream.create_consumer(durable_name="c")
        messages = await consumer.fetch(3)
        async with proxy.away():
            await away(client)
            acks = [asyncio.create_task(message.ack()) for message in messages]
            await asyncio.wait(acks[:1])
        async with asyncio.timeout(20):
            await asyncio.gather(*acks)
        assert all(message.is_settled for message in messages)
        await unacknowledged(consumer.info, 0)


@pytest.mark.parametrize("time", [10**30, -(10**30)])
def test_a_time_that_no_date_can_hold(time: int) -> None:
    with pytest.raises(NotJSMessageError):
        parse_metadata(f"$JS.ACK.S.c.1.1.1.{time}.0")
