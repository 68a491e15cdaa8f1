from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import tracemalloc
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, deliver, eventually, leaves_nothing

from tidings.nats import (
    BadSubjectError,
    BadSubscriptionError,
    Client,
    ConnectionClosedError,
    ConnectionDrainingError,
    Error,
    Msg,
    SlowConsumerError,
    Subscription,
    TimeoutError,
    connect,
)


async def send(client: Client, subject: str, count: int, start: int = 0) -> None:
    """Publish numbers, and wait until they were delivered to this client too."""
    for i in range(start, start + count):
        await client.publish(subject, str(i))
    await client.flush()


def numbers(messages: list[Any]) -> list[int]:
    return [int(message.data) for message in messages]


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


class Collector:
    """Something to call that is no function."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered

    def method(self, message: Msg) -> None:
        self.gathered(message)

    async def async_method(self, message: Msg) -> None:
        await asyncio.sleep(0)
        self.gathered(message)


class PlainCallable(Collector):
    def __call__(self, message: Msg) -> None:
        self.gathered(message)


class AsyncCallable(Collector):
    async def __call__(self, message: Msg) -> None:
        await asyncio.sleep(0)
        self.gathered(message)


async def into(gathered: Gathered, message: Msg) -> None:
    await asyncio.sleep(0)
    gathered(message)


CALLBACKS = {
    "function": lambda gathered: lambda message: gathered(message),
    "method": lambda gathered: Collector(gathered).method,
    "async method": lambda gathered: Collector(gathered).async_method,
    "object": PlainCallable,
    "async object": AsyncCallable,
    "partial of async": lambda gathered: functools.partial(into, gathered),
    "partial of partial": lambda gathered: functools.partial(functools.partial(into), gathered),
    "function of a coroutine": lambda gathered: lambda message: into(gathered, message),
    "function of a future": lambda gathered: lambda message: asyncio.ensure_future(into(gathered, message)),
}


class TestCallback:
    @pytest.mark.parametrize("kind", CALLBACKS)
    async def test_of_every_kind(self, nats_url: str, kind: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:
            await client.subscribe("kinds", cb=CALLBACKS[kind](gathered))  # type: ignore[no-untyped-call]
            await send(client, "kinds", 20)
            assert numbers(await gathered.reach(20)) == list(range(20))

    async def test_one_at_a_time_and_in_order(self, nats_url: str) -> None:
        gathered, running = Gathered(), 0

        async def slow(message: Msg) -> None:
            nonlocal running
            running += 1
            assert running == 1
            for _ in range(int(message.data) % 3):
                await asyncio.sleep(0)
            running -= 1
            gathered(message)

        async with await connect(nats_url) as client:
            await client.subscribe("order", cb=slow)
            await send(client, "order", 500)
            await send(client, "order", 500, start=500)
            assert numbers(await gathered.reach(1000)) == list(range(1000))

    async def test_subscriptions_do_not_wait_for_each_other(self, nats_url: str) -> None:
        gathered, gate = Gathered(), asyncio.Event()

        async def stuck(message: Msg) -> None:
            await gate.wait()

        async with await connect(nats_url) as client:
            await client.subscribe("lanes", cb=stuck)
            await client.subscribe("lanes", cb=gathered)
            await send(client, "lanes", 5)
            await gathered.reach(5)
            gate.set()

    async def test_a_long_row_lets_others_have_a_turn(self, nats_url: str) -> None:
        done, turns = Gathered(), 0

        def count(message: Msg) -> None:
            done(message)

        async def other() -> None:
            nonlocal turns
            while len(done) < 20_000:
                turns += 1
                await asyncio.sleep(0)

        async with await connect(nats_url) as client:
            sub = await client.subscribe("row", cb=count)
            for _ in range(20_000):
                await client.publish("row")
            await asyncio.gather(other(), done.reach(20_000))
            assert sub.received == 20_000
        assert turns > 10

    @pytest.mark.parametrize("kind", ["plain", "async"])
    async def test_an_error_is_reported_and_the_next_message_handled(self, nats_url: str, kind: str) -> None:
        gathered, errors = Gathered(), Gathered()

        def plain(message: Msg) -> None:
            if message.data == b"1":
                raise LookupError("one")
            gathered(message)

        async def by_await(message: Msg) -> None:
            await asyncio.sleep(0)
            plain(message)

        async with await connect(nats_url, error_cb=errors) as client:
            await client.subscribe("errors", cb=plain if kind == "plain" else by_await)
            await send(client, "errors", 3)
            assert numbers(await gathered.reach(2)) == [0, 2]
            (error,) = await errors.reach()
        assert isinstance(error, LookupError)

    async def test_without_an_error_callback_it_is_logged(
        self, nats_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(message: Msg) -> None:
            raise LookupError("this one")

        async with await connect(nats_url) as client:
            await client.subscribe("errors", cb=fail)
            await client.publish("errors")
        (record,) = [record for record in caplog.records if record.name == "tidings.nats"]
        assert "LookupError: this one" in record.getMessage()
        assert record.exc_info

    async def test_awaiting_something_cancelled_does_not_end_it(self, nats_url: str) -> None:
        gathered, errors = Gathered(), Gathered()

        async def unlucky(message: Msg) -> None:
            if message.data == b"0":
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            gathered(message)

        async with await connect(nats_url, error_cb=errors) as client:
            await client.subscribe("cancelled", cb=unlucky)
            await send(client, "cancelled", 3)
            assert numbers(await gathered.reach(2)) == [1, 2]
            (error,) = await errors.reach()
        assert isinstance(error, Error)
        assert isinstance(error.__cause__, asyncio.CancelledError)

    async def test_it_sees_the_context_of_the_subscriber(self, nats_url: str) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
        gathered = Gathered()
        async with await connect(nats_url) as client:
            variable.set("subscribed")
            await client.subscribe("context", cb=lambda message: gathered(variable.get()))
            variable.set("later")
            await send(client, "context", 2)
            assert await gathered.reach(2) == ["subscribed", "subscribed"]

    async def test_messages_take_no_task_each(self, nats_url: str) -> None:
        most, gathered = 0, Gathered()

        async def count(message: Msg) -> None:
            nonlocal most
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
            gathered(message)

        async with await connect(nats_url) as client:
            before = len(asyncio.all_tasks())
            await client.subscribe("tasks", cb=count)
            await send(client, "tasks", 1000)
            await gathered.reach(1000)
        assert most == before + 1

    async def test_its_messages_cannot_be_read_otherwise(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("taken", cb=print)
            with pytest.raises(BadSubscriptionError, match="callback"):
                await sub.next_msg()
            with pytest.raises(BadSubscriptionError, match="callback"):
                async for _ in sub:
                    pass

    async def test_it_can_publish_subscribe_and_request(self, nats_url: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:
            await client.subscribe("twice", cb=lambda message: message.respond(message.data * 2))

            async def busy(message: Msg) -> None:
                sub = await client.subscribe("side")
                await client.publish("side", b"here")
                answer = await client.request("twice", (await sub.next_msg(5)).data, timeout=5)
                gathered(answer)

            await client.subscribe("busy", cb=busy)
            await client.publish("busy")
            assert (await gathered.reach()).data == [b"herehere"]


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


class TestIterator:
    async def test_it_gives_messages_as_they_come(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("stream")
            await send(client, "stream", 3)
            seen = []
            async for message in sub:
                seen.append(int(message.data))
                if len(seen) == 3:
                    await send(client, "stream", 3, start=3)
                if len(seen) == 6:
                    break
            assert seen == list(range(6))

    async def test_it_ends_with_max_msgs(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("stream", max_msgs=4)
            await send(client, "stream", 10)
            assert numbers([message async for message in sub]) == [0, 1, 2, 3]
            assert sub.is_closed

    @pytest.mark.parametrize("how", ["unsubscribe", "drain", "close", "drain the client"])
    async def test_it_ends_when_it_waits(self, nats_url: str, how: str) -> None:
        client = await connect(nats_url)
        sub = await client.subscribe("quiet")
        reader = asyncio.create_task(collect(sub))
        await eventually(lambda: sub._waiters)
        end = {
            "unsubscribe": sub.unsubscribe,
            "drain": sub.drain,
            "close": client.close,
            "drain the client": client.drain,
        }
        await end[how]()
        assert await reader == []
        await client.close()

    async def test_what_is_held_is_given_after_the_end(self, nats_url: str) -> None:
        client = await connect(nats_url)
        sub = await client.subscribe("held")
        await send(client, "held", 5)
        await client.close()
        assert numbers(await collect(sub)) == [0, 1, 2, 3, 4]

    async def test_messages_is_the_iterator_by_another_name(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("alias", max_msgs=1)
            await client.publish("alias", b"7")
            assert numbers([message async for message in sub.messages]) == [7]

    async def test_a_long_row_lets_others_have_a_turn(self, nats_url: str) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with await connect(nats_url) as client:
            sub = await client.subscribe("row", max_msgs=20_000)
            await send(client, "row", 20_000)
            task = asyncio.create_task(other())
            assert len(await collect(sub)) == 20_000
            task.cancel()
        assert turns > 10


async def collect(sub: Subscription) -> list[Msg]:
    return [message async for message in sub]


class TestNextMsg:
    async def test_it_waits(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("next")
            reading = asyncio.create_task(sub.next_msg(timeout=20))
            await eventually(lambda: sub._waiters)
            await client.publish("next", b"here")
            assert (await reading).data == b"here"

    async def test_without_a_timeout_it_waits_for_the_end(self, nats_url: str) -> None:
        client = await connect(nats_url)
        sub = await client.subscribe("next")
        reading = asyncio.create_task(sub.next_msg(timeout=None))
        await eventually(lambda: sub._waiters)
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await reading

    @pytest.mark.parametrize("timeout", [0, 0.01, -1])
    async def test_it_gives_up(self, nats_url: str, timeout: float) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("next")
            with pytest.raises(TimeoutError, match=f"no message on 'next' within {timeout} s"):
                await sub.next_msg(timeout)

    async def test_its_timeout_is_the_one_of_python(self, nats_url: str) -> None:
        import builtins

        async with await connect(nats_url) as client:
            sub = await client.subscribe("next")
            with pytest.raises(builtins.TimeoutError):
                await sub.next_msg(0.01)

    async def test_with_no_time_it_takes_what_is_there(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("next")
            await send(client, "next", 1)
            assert (await sub.next_msg(0)).data == b"0"

    async def test_an_outer_timeout_stays_the_outer_one(self, nats_url: str) -> None:
        import builtins

        async with await connect(nats_url) as client:
            sub = await client.subscribe("next")
            with pytest.raises(builtins.TimeoutError) as caught:
                async with asyncio.timeout(0.01):
                    await sub.next_msg(20)
            assert not isinstance(caught.value, Error)

    async def test_several_readers_share(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("shared")
            readers = [asyncio.create_task(sub.next_msg(20)) for _ in range(50)]
            await eventually(lambda: sub._waiters and len(sub._waiters) == 50)
            for start in range(0, 50, 10):
                await send(client, "shared", 10, start)
            assert sorted(numbers(await asyncio.gather(*readers))) == list(range(50))

    async def test_a_reader_that_was_cancelled_takes_nothing_along(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("cancel")
            for when in ("before", "after"):
                reader = asyncio.create_task(sub.next_msg(20))
                await eventually(lambda: sub._waiters)
                if when == "before":
                    reader.cancel()
                deliver(sub, when)
                reader.cancel()  # in the second round it was woken, and has not run yet
                with pytest.raises(asyncio.CancelledError):
                    await reader
                assert (await sub.next_msg()).data == when.encode()
            assert not sub._waiters
            assert sub.pending_msgs == 0

    async def test_many_timeouts_leave_nothing_behind(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("never")

            async def time_out(times: int) -> int:
                for _ in range(times):
                    with pytest.raises(TimeoutError):
                        await sub.next_msg(0)
                gc.collect()
                return tracemalloc.get_traced_memory()[0]

            tracemalloc.start()
            try:
                before = await time_out(50)
                after = await time_out(500)
            finally:
                tracemalloc.stop()
            assert not sub._waiters
            assert after - before < 20_000

    async def test_after_the_end(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("over", max_msgs=1)
            await send(client, "over", 1)
            assert (await sub.next_msg()).data == b"0"
            with pytest.raises(BadSubscriptionError, match="'over' is closed"):
                await sub.next_msg()
        with pytest.raises(ConnectionClosedError):
            await sub.next_msg()


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


class TestDrain:
    async def test_the_rest_goes_to_the_callback(self, nats_url: str) -> None:
        gathered = Gathered()

        async def slow(message: Msg) -> None:
            await asyncio.sleep(0)
            gathered(message)

        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest", cb=slow)
            for i in range(2000):
                await client.publish("rest", str(i))
            await sub.drain()
            assert numbers(gathered) == list(range(2000))
            assert sub.is_closed
            await send(client, "rest", 1)
        assert len(gathered) == 2000

    async def test_the_rest_goes_to_the_iterator(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            await send(client, "rest", 10)
            seen = []

            async def read() -> None:
                async for message in sub:
                    await asyncio.sleep(0)
                    seen.append(int(message.data))

            reader = asyncio.create_task(read())
            await asyncio.sleep(0)
            await sub.drain()
            await reader
            assert seen == list(range(10))

    async def test_a_loop_that_was_left_is_not_waited_for(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            await send(client, "rest", 10)
            async for message in sub:
                assert message.data == b"0"
                break
            await sub.drain()
            assert sub.pending_msgs == 9

    async def test_a_loop_that_is_left_ends_the_wait(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            await send(client, "rest", 10)

            async def read_one() -> None:
                async for _ in sub:
                    await eventually(lambda: sub.is_closed)
                    break

            reader = asyncio.create_task(read_one())
            await eventually(lambda: sub.pending_msgs == 9)
            await sub.drain()
            await reader
            assert sub.pending_msgs == 9

    async def test_a_loop_does_not_wait_for_itself(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            await send(client, "rest", 10)
            seen = []
            async for message in sub:
                seen.append(int(message.data))
                if len(seen) == 3:
                    await sub.drain()
            assert seen == list(range(10))

    async def test_two_loops_share_the_rest(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            await send(client, "rest", 10)
            seen = Gathered()

            async def read() -> None:
                async for message in sub:
                    await asyncio.sleep(0)
                    seen(message)

            readers = [asyncio.create_task(read()) for _ in range(2)]
            await asyncio.sleep(0)
            await sub.drain()
            await asyncio.gather(*readers)
            assert sorted(numbers(seen)) == list(range(10))

    async def test_what_is_read_by_hand_stays(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            await send(client, "rest", 3)
            await sub.drain()
            assert [(await sub.next_msg()).data for _ in range(3)] == [b"0", b"1", b"2"]
            with pytest.raises(BadSubscriptionError):
                await sub.next_msg()

    async def test_from_its_own_callback(self, nats_url: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:

            async def last_orders(message: Msg) -> None:
                gathered(message)
                if message.data == b"0":
                    await sub.drain()

            sub = await client.subscribe("orders", cb=last_orders)
            await send(client, "orders", 5)
            await gathered.reach(5)
            await eventually(lambda: sub.is_closed)
        assert numbers(gathered) == [0, 1, 2, 3, 4]

    async def test_while_it_drains_it_takes_no_orders(self, nats_url: str) -> None:
        gate = asyncio.Event()

        async def hold(message: Msg) -> None:
            await gate.wait()

        async with await connect(nats_url) as client:
            sub = await client.subscribe("hold", cb=hold)
            await send(client, "hold", 1)
            draining = asyncio.create_task(sub.drain())
            await eventually(lambda: sub.is_draining)
            for move in (sub.unsubscribe, sub.drain):
                with pytest.raises(BadSubscriptionError):
                    await move()
            gate.set()
            await draining

    async def test_too_slow(self, nats_url: str) -> None:
        started, gate = Gathered(), asyncio.Event()

        async def hold(message: Msg) -> None:
            started(message)
            await gate.wait()

        async with await connect(nats_url) as client:
            sub = await client.subscribe("hold", cb=hold)
            await send(client, "hold", 5)
            await started.reach()
            with pytest.raises(
                TimeoutError, match=r"took over 0\.01 s; 4 messages are left and the callback"
            ):
                await sub.drain(0.01)
            assert sub.is_closed
            gate.set()

    async def test_the_client_closes_meanwhile(self, nats_url: str) -> None:
        started = Gathered()

        async def hang(message: Msg) -> None:
            started(message)
            await asyncio.get_running_loop().create_future()

        client = await connect(nats_url)
        sub = await client.subscribe("hang", cb=hang)
        await send(client, "hang", 3)
        await started.reach()
        draining = asyncio.create_task(sub.drain())
        await eventually(lambda: sub.is_closed)
        await client.close()
        async with asyncio.timeout(10):
            await draining


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
