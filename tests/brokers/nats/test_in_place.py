"""Retries of messages that no stream keeps: order, a stop meanwhile, and where their dead letters go."""

from __future__ import annotations

import asyncio

from tests.brokers.harness import LIMIT, Seen
from tidings import RejectMessage, Retry
from tidings.brokers.nats import NatsBroker
from tidings.nats import Headers, connect
from tidings.nats.jetstream import StreamConfig

QUICK = Retry(attempts=3, backoff=0.01, jitter=0)


async def test_the_messages_behind_it_keep_their_order(nats_url: str) -> None:
    calls = Seen[int]()
    async with NatsBroker(nats_url) as broker:

        @broker.subscriber("in-place.order", retry=QUICK)
        async def handler(number: int) -> None:
            calls.add(number)
            if number % 2 and calls.count(number) < 3:
                raise RuntimeError("not yet")

        await broker.start()
        for number in range(4):
            await broker.publish(number, "in-place.order")
        assert await calls.until(8) == [0, 1, 1, 1, 2, 3, 3, 3]


async def test_a_stop_while_it_waits_makes_the_last_try_and_loses_nothing(nats_url: str) -> None:
    calls, letters = Seen[int](), Seen[int]()
    broker = NatsBroker(nats_url, graceful_timeout=LIMIT)

    @broker.subscriber(
        "in-place.stop", retry=Retry(attempts=9, backoff=3600, max_delay=3600), dead_letter="d"
    )
    async def handler(number: int) -> None:
        calls.add(number)
        if number != 2:
            raise RuntimeError("always")

    async with NatsBroker(nats_url) as other:

        @other.subscriber("d")
        async def bury(number: int) -> None:
            letters.add(number)

        await other.start()
        await broker.start()
        for number in range(1, 4):
            await broker.publish(number, "in-place.stop")
        await calls.until(1)
        await asyncio.wait_for(broker.stop(), LIMIT)
        assert await letters.until(2) == [1, 3]
    assert calls == [1, 1, 2, 3, 3]


async def test_a_dead_letter_is_in_the_stream_that_has_its_subject(nats_url: str) -> None:
    headers = Headers([("tenant", "a"), ("tenant", "b"), ("Nats-Msg-Id", "mine")])
    async with await connect(nats_url) as client, NatsBroker(nats_url) as broker:
        js = client.jetstream()
        stream = await js.create_stream(StreamConfig(name="IN_PLACE_DEAD", subjects=["in-place.dead"]))

        @broker.subscriber("in-place.stored", retry=QUICK, dead_letter="in-place.dead")
        async def handler(number: int) -> None:
            raise RejectMessage("no use")

        await broker.start()
        for number in range(3):
            await client.publish("in-place.stored", str(number).encode(), headers=headers)
        await client.flush()
        await broker.stop()
        letters = [await stream.get_msg(sequence) for sequence in (1, 2, 3)]
        await js.delete_stream("IN_PLACE_DEAD")
    assert [letter.data for letter in letters] == [b"0", b"1", b"2"]
    assert letters[0].headers.get_all("tenant") == ["a", "b"]
    assert "Nats-Msg-Id" not in letters[0].headers or letters[0].headers["Nats-Msg-Id"] != "mine"
    assert letters[0].headers["dead-letter-source"] == "in-place.stored"
    assert letters[0].headers["dead-letter-error"] == "RejectMessage: no use"
