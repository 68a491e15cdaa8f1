"""Messages that go to a callback."""

from __future__ import annotations

import asyncio
import contextvars
import functools

import pytest
from tests.nats.core.gathering import Gathered, deliver, eventually, numbers, send

from tidings.nats import (
    BadSubscriptionError,
    Client,
    Error,
    Msg,
    Subscription,
    connect,
)


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

    async def test_a_queue_takes_them(self, nats_url: str) -> None:
        """Several subscriptions may share one; while it is full they hold what comes, up to their limits."""
        queue: asyncio.Queue[Msg] = asyncio.Queue(maxsize=2)
        async with await connect(nats_url) as client:
            subs = [await client.subscribe(subject, cb=queue.put) for subject in ("queue.a", "queue.b")]
            for subject in ("queue.a", "queue.b", "queue.a", "queue.b"):
                await client.publish(subject)
            await client.flush()
            await eventually(queue.full)
            assert sum(sub.pending_msgs for sub in subs) <= 2
            async with asyncio.timeout(20):
                taken = [(await queue.get()).subject for _ in range(4)]
            assert sorted(taken) == ["queue.a", "queue.a", "queue.b", "queue.b"]

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


class TestPlainFunction:
    """Called by the loop, without a task of its own."""

    async def test_many_subscriptions_need_no_task(self, nats_url: str) -> None:
        gathered, tasks = Gathered(), set[int]()

        def count(message: Msg) -> None:
            tasks.add(len(asyncio.all_tasks()))
            gathered(message)

        async with await connect(nats_url) as client:
            before = len(asyncio.all_tasks())
            for number in range(200):
                await client.subscribe(f"many.{number}", cb=count)
            for number in range(400):
                await client.publish(f"many.{number % 200}", str(number))
            await gathered.reach(400)
        assert sorted(numbers(gathered)) == list(range(400))
        assert max(tasks) <= before

    async def test_what_it_returns_is_awaited_before_the_next_message(self, nats_url: str) -> None:
        gathered, gate = Gathered(), asyncio.Event()

        async def wait(message: Msg) -> None:
            await gate.wait()
            gathered(message)

        def sometimes(message: Msg) -> object:
            return wait(message) if message.data == b"1" else gathered(message)

        async with await connect(nats_url) as client:
            sub = await client.subscribe("mixed", cb=sometimes)
            await send(client, "mixed", 4)
            await gathered.reach(1)
            await send(client, "mixed", 4, start=4)
            assert numbers(gathered) == [0]
            assert sub.worker is not None
            gate.set()
            assert numbers(await gathered.reach(8)) == list(range(8))
            await send(client, "mixed", 1, start=8)
            await gathered.reach(9)
            assert sub.worker is None

    async def test_what_it_returns_may_fail(self, nats_url: str) -> None:
        gathered, errors = Gathered(), Gathered()

        async def fail(message: Msg) -> None:
            raise LookupError(message.data)

        def sometimes(message: Msg) -> object:
            return fail(message) if message.data == b"0" else gathered(message)

        async with await connect(nats_url, error_cb=errors) as client:
            await client.subscribe("failing", cb=sometimes)
            await send(client, "failing", 3)
            assert numbers(await gathered.reach(2)) == [1, 2]
            (error,) = await errors.reach()
        assert isinstance(error, LookupError)

    async def test_a_result_that_was_cancelled_does_not_end_it(self, nats_url: str) -> None:
        gathered, errors = Gathered(), Gathered()

        def unlucky(message: Msg) -> None:
            if message.data == b"0":
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                future.cancel()
                future.result()
            gathered(message)

        async with await connect(nats_url, error_cb=errors) as client:
            await client.subscribe("cancelled", cb=unlucky)
            await send(client, "cancelled", 3)
            assert numbers(await gathered.reach(2)) == [1, 2]
            (error,) = await errors.reach()
        assert isinstance(error.__cause__, asyncio.CancelledError)

    async def test_a_result_that_nobody_awaits_any_more(self, nats_url: str) -> None:
        gathered, called = Gathered(), Gathered()

        async def never(message: Msg) -> None:
            gathered(message)

        def begin(message: Msg) -> object:
            called(message)
            return never(message)

        client = await connect(nats_url)
        sub = await client.subscribe("begun", cb=begin)
        deliver(sub, "message")
        sub.calls.run(1)
        assert sub.worker is not None
        await client.close()
        assert (len(called), len(gathered)) == (1, 0)

    async def test_a_drain_waits_for_it(self, nats_url: str) -> None:
        gathered = Gathered()
        async with await connect(nats_url) as client:
            sub = await client.subscribe("drained", cb=gathered)
            for number in range(5000):  # several turns of it
                await client.publish("drained", str(number))
            await sub.drain()
            assert len(gathered) == 5000

    def test_one_that_stops_the_loop_takes_no_message_from_the_others(self, nats_url: str) -> None:
        gathered = Gathered()

        def stop(message: Msg) -> None:
            raise KeyboardInterrupt

        async def arrive(subs: list[Subscription]) -> None:
            for sub in subs:
                deliver(sub, sub.subject)
            await asyncio.sleep(0)  # here the loop is stopped

        async def go_on(client: Client) -> None:
            await gathered.reach(2)
            await client.close()

        loop = asyncio.new_event_loop()
        try:
            client = loop.run_until_complete(connect(nats_url))
            callbacks = {"a": gathered, "b": stop, "c": gathered}
            subs = [loop.run_until_complete(client.subscribe(name, cb=cb)) for name, cb in callbacks.items()]
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(arrive(subs))
            loop.run_until_complete(go_on(client))
        finally:
            loop.close()
        assert gathered.data == [b"a", b"c"]
