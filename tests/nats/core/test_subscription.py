from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, leaves_nothing, numbers, send

from tidings.nats import (
    BadSubjectError,
    BadSubscriptionError,
    ConnectionClosedError,
    ConnectionDrainingError,
    Error,
    Msg,
    SlowConsumerError,
    Subscription,
    connect,
)


class TestWhatASubscriptionTells:
    async def test_of_itself(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("about.*", "group")
            assert isinstance(sub, Subscription)
            assert (sub.subject, sub.queue_group) == ("about.*", "group")
            assert not sub.is_closed
            await send(client, "about.me", 3)
            assert (sub.pending_msgs, sub.pending_bytes, sub.received, sub.dropped) == (3, 3, 3, 0)
            await sub.next_msg()
            assert (sub.pending_msgs, sub.pending_bytes, sub.delivered) == (2, 2, 3)

    async def test_and_of_its_message(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("about.*")
            await client.publish("about.it")
            message = await sub.next_msg()
            assert message.sid == sub.sid
            assert message.owner is client

    async def test_every_one_has_an_id_of_its_own(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            subs = [await client.subscribe("same") for _ in range(10)]
            await client.publish("same")
            await client.flush()
            assert len({sub.sid for sub in subs}) == 10
            assert [sub.received for sub in subs] == [1] * 10


class TestRefused:
    @pytest.mark.parametrize(
        "subject", ["", " ", "a b", "a\r\n", "a..b", ".a", "a.", ">.a", "a.>.b", "x" * 5000, "\ud800"]
    )
    async def test_a_subject(self, nats_url: str, subject: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(BadSubjectError):
                await client.subscribe(subject)
            await client.flush()
            assert client.is_connected

    @pytest.mark.parametrize("queue", [" ", "a b", "a\r\n", "\t", "x" * 5000])
    async def test_a_queue_group(self, nats_url: str, queue: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(BadSubjectError):
                await client.subscribe("a", queue)
            await client.flush()
            assert client.is_connected

    @pytest.mark.parametrize("callback", [5, "print", [print]], ids=repr)
    async def test_a_callback(self, nats_url: str, callback: Any) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(TypeError, match="cb"):
                await client.subscribe("a", cb=callback)

    @pytest.mark.parametrize("name", ["max_msgs", "pending_msgs_limit", "pending_bytes_limit"])
    async def test_a_negative_number(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(ValueError, match=name):
                await client.subscribe("a", **{name: -1})  # type: ignore[arg-type]

    async def test_on_a_closed_client(self, nats_url: str) -> None:
        client = await connect(nats_url)
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await client.subscribe("a")

    async def test_on_a_draining_client(self, nats_url: str) -> None:
        client = await connect(nats_url)
        refused: list[Exception] = []

        async def late(message: Msg) -> None:
            try:
                await client.subscribe("b")
            except ConnectionDrainingError as error:
                refused.append(error)

        await client.subscribe("a", cb=late)
        await client.publish("a")
        await client.drain()
        assert len(refused) == 1

    async def test_what_was_refused_is_forgotten(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            for subject, options in (("a b", {}), ("a", {"queue": "b c"}), ("a", {"max_msgs": -1})):
                with pytest.raises(ValueError):  # noqa: PT011
                    await client.subscribe(subject, **options)  # type: ignore[arg-type]
            assert len(client._subscriptions) == 0


class TestQueueGroup:
    async def test_each_message_goes_to_one_member(self, nats_url: str) -> None:
        async with await connect(nats_url) as one, await connect(nats_url) as other:
            shares = [await client.subscribe("work", "workers") for client in (one, one, other)]
            everything = await other.subscribe("work")
            await other.flush()
            await send(one, "work", 300)
            await other.flush()
            assert sum(sub.received for sub in shares) == 300
            assert all(sub.received for sub in shares)
            assert everything.received == 300


class TestWildcards:
    async def test_one_token_and_the_rest(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            star, rest, literal = [await client.subscribe(subject) for subject in ("w.*.c", "w.>", "w.b.c")]
            for subject in ("w", "w.b", "w.b.c", "w.x.c", "w.b.c.d", "v.b.c"):
                await client.publish(subject, subject)
            await client.flush()
            assert [(await star.next_msg()).data for _ in range(2)] == [b"w.b.c", b"w.x.c"]
            assert rest.received == 4
            assert literal.received == 1


class TestMaxMsgs:
    async def test_with_a_callback(self, nats_url: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:
            sub = await client.subscribe("few", cb=gathered, max_msgs=3)
            await send(client, "few", 10)
            await gathered.reach(3)
            assert sub.is_closed
            await send(client, "few", 10)
        assert numbers(gathered) == [0, 1, 2]

    async def test_limit_given_later(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("few")
            await send(client, "few", 3)
            await sub.unsubscribe(5)
            assert not sub.is_closed
            await send(client, "few", 7, start=3)
            assert numbers(await collect(sub)) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("limit", [1, 3])
    async def test_limit_that_was_reached_already(self, nats_url: str, limit: int) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("few")
            await send(client, "few", 3)
            await sub.unsubscribe(limit)
            assert sub.is_closed
            await send(client, "few", 3)
            assert numbers(await collect(sub)) == [0, 1, 2]

    async def test_the_server_stops_sending(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            await client.subscribe("few", max_msgs=2)
            await send(client, "few", 2)
            with pytest.raises(Error, match="nobody"):
                await client.request("few", timeout=5)


class TestUnsubscribe:
    async def test_it_drops_what_is_held(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("drop")
            await send(client, "drop", 5)
            await sub.unsubscribe()
            assert sub.is_closed
            assert sub.pending_msgs == 0
            with pytest.raises(BadSubscriptionError):
                await sub.next_msg()

    async def test_nothing_comes_after_it(self, nats_url: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:
            sub = await client.subscribe("quiet", cb=gathered)
            await send(client, "quiet", 2)
            await gathered.reach(2)
            await sub.unsubscribe()
            await send(client, "quiet", 5)
        assert len(gathered) == 2

    async def test_from_its_own_callback(self, nats_url: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:

            async def once(message: Msg) -> None:
                gathered(message)
                await sub.unsubscribe()

            sub = await client.subscribe("once", cb=once)
            await send(client, "once", 5)
            await gathered.reach(1)
        assert numbers(gathered) == [0]

    @pytest.mark.parametrize("move", ["unsubscribe", "drain"])
    async def test_twice(self, nats_url: str, move: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("twice")
            await sub.unsubscribe()
            with pytest.raises(BadSubscriptionError, match="closed"):
                await getattr(sub, move)()
        with pytest.raises(ConnectionClosedError):
            await getattr(sub, move)()

    async def test_a_running_callback_ends_with_the_client(self, nats_url: str) -> None:
        started, ended = Gathered(), Gathered()

        async def hang(message: Msg) -> None:
            started(message)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended(message)

        async with leaves_nothing():
            client = await connect(nats_url)
            sub = await client.subscribe("hang", cb=hang)
            await client.publish("hang")
            await started.reach()
            await sub.unsubscribe()
            await client.close()
            assert len(ended) == 1


async def collect(sub: Subscription) -> list[Msg]:
    return [message async for message in sub]


class TestSlowConsumer:
    async def test_messages_over_the_limit_are_dropped_counted_and_reported(self, nats_url: str) -> None:
        errors = Gathered()
        async with await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("slow", pending_msgs_limit=10)
            await send(client, "slow", 100)
            assert (sub.pending_msgs, sub.received, sub.dropped) == (10, 100, 90)
            (error,) = await errors.reach()
            assert isinstance(error, SlowConsumerError)
            assert (error.subject, error.sid) == ("slow", sub.sid)
            assert 0 < error.dropped <= 90
            assert [int((await sub.next_msg()).data) for _ in range(10)] == list(range(10))

    async def test_bytes_over_the_limit(self, nats_url: str) -> None:
        errors = Gathered()
        async with await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("slow", pending_bytes_limit=1000)
            for _ in range(10):
                await client.publish("slow", bytes(300))
            await client.flush()
            assert (sub.pending_msgs, sub.pending_bytes, sub.dropped) == (3, 900, 7)
            await errors.reach()

    async def test_it_is_told_once_an_episode(self, nats_url: str) -> None:
        errors = Gathered()
        async with await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("slow", pending_msgs_limit=1)
            for episode in range(1, 4):
                for _ in range(20):
                    await send(client, "slow", 1)
                assert len(await errors.reach(episode)) == episode
                await sub.next_msg()
                await send(client, "slow", 1)  # fits
                await sub.next_msg()
            assert sub.dropped == 3 * 19

    async def test_zero_is_no_limit(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("slow", pending_msgs_limit=0, pending_bytes_limit=0)
            await send(client, "slow", 5000)
            assert sub.pending_msgs == 5000

    async def test_others_are_not_touched(self, nats_url: str) -> None:
        gathered, errors = Gathered(), Gathered()
        async with await connect(nats_url, error_cb=errors) as client:
            await client.subscribe("slow", pending_msgs_limit=1)
            await client.subscribe("slow", cb=gathered)
            await send(client, "slow", 50)
            assert numbers(await gathered.reach(50)) == list(range(50))
            await errors.reach()

    async def test_dropped_ones_count_for_max_msgs(self, nats_url: str) -> None:
        """The server counts what it sends, so must we, or the subscription would never end."""
        errors = Gathered()
        async with await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("slow", max_msgs=5, pending_msgs_limit=2)
            await send(client, "slow", 10)
            assert numbers(await collect(sub)) == [0, 1]
            await errors.reach()
