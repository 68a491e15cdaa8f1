"""Several workers for a callback: at once, in order for each key, and all waited for at the end."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing

from tidings.nats import Client, DrainTimeoutError, Error, Msg, connect
from tidings.nats.core import workers


class Stopwatch:
    """A callback that waits at a gate and knows how many wait with it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.running = self.most = 0
        self.done: list[bytes] = []

    async def __call__(self, message: Msg) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        self.done.append(message.data)


async def send(client: Client, subject: str, count: int) -> None:
    for i in range(count):
        await client.publish(subject, str(i))
    await client.flush()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"workers": 0, "cb": print}, ValueError),
        ({"workers": 2}, ValueError),
        ({"workers": 2, "cb": print, "ordered_by": "key"}, TypeError),
    ],
)
async def test_refused(nats_url: str, options: dict[str, Any], error: type[Exception]) -> None:
    async with await connect(nats_url) as client:
        with pytest.raises(error, match=r"workers|ordered_by"):
            await client.subscribe("a", **options)


async def test_so_many_at_once_and_no_more(nats_url: str) -> None:
    watch = Stopwatch()
    async with leaves_nothing(), await connect(nats_url) as client:
        sub = await client.subscribe("many", cb=watch, workers=5)
        await send(client, "many", 12)
        await eventually(lambda: watch.running == 5)
        assert (len(sub.tasks), sub.pending_msgs, sub.unhandled) == (5, 7, 7)
        watch.gate.set()
        await eventually(lambda: len(watch.done) == 12)
        assert watch.most == 5
        await eventually(lambda: not sub.tasks)
        watch.gate.clear()
        await send(client, "many", 2)
        await eventually(lambda: watch.running == 2)
        watch.gate.set()


@pytest.mark.parametrize("by", ["subject", "header"])
async def test_in_order_for_each_key(nats_url: str, by: str) -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    running: set[str] = set()
    most = 0
    rng = random.Random(0)

    async def handle(message: Msg) -> None:
        nonlocal most
        key = message.headers["Key"]
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(0)
        running.remove(key)
        seen[key].append(int(message.data))

    async with await connect(nats_url) as client:
        await client.subscribe(
            "keys.*",
            cb=handle,
            workers=4,
            ordered_by="subject" if by == "subject" else lambda message: message.headers["Key"],
        )
        for i in range(2000):
            key = str(rng.randint(0, 9))
            await client.publish(f"keys.{key}", str(i), headers={"Key": key})
    assert sum(map(len, seen.values())) == 2000
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert most == 4


async def test_a_slow_key_does_not_hold_up_the_others(nats_url: str) -> None:
    slow, quick = Stopwatch(), Gathered()

    async def handle(message: Msg) -> None:
        await slow(message) if message.subject == "keys.slow" else quick(message)

    async with await connect(nats_url) as client:
        await client.subscribe("keys.*", cb=handle, workers=2, ordered_by="subject")
        for i in range(100):
            await client.publish("keys.slow", str(i))
            await client.publish("keys.quick", str(i))
        await quick.reach(100)
        assert slow.running == 1
        slow.gate.set()
    assert slow.done == [str(i).encode() for i in range(100)]


async def test_what_is_parked_is_bounded(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PARKED", 10)
    watch = Stopwatch()
    async with await connect(nats_url) as client:
        sub = await client.subscribe("one", cb=watch, workers=3, ordered_by="subject", pending_msgs_limit=30)
        await send(client, "one", 30)
        await eventually(lambda: len(sub.tasks) == 1)
        assert (sub.pending_msgs, sub.unhandled) == (19, 29)
        watch.gate.set()
    assert watch.done == [str(i).encode() for i in range(30)]


async def test_a_key_that_fails_is_the_subject(nats_url: str) -> None:
    errors, handled = Gathered(), Gathered()
    async with await connect(nats_url, error_cb=errors) as client:
        await client.subscribe("a", cb=handled, workers=2, ordered_by=lambda message: [])
        await send(client, "a", 3)
        assert (await handled.reach(3)).data == [b"0", b"1", b"2"]
        assert {type(error) for error in await errors.reach(3)} == {TypeError}


async def test_errors_are_reported_and_the_next_message_handled(nats_url: str) -> None:
    errors, handled = Gathered(), Gathered()

    async def handle(message: Msg) -> None:
        if message.data == b"1":
            raise LookupError("one")
        if message.data == b"2":
            cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            await cancelled
        handled(message)

    async with await connect(nats_url, error_cb=errors) as client:
        await client.subscribe("a", cb=handle, workers=2)
        await send(client, "a", 5)
        assert sorted((await handled.reach(3)).data) == [b"0", b"3", b"4"]
        assert {type(error) for error in await errors.reach(2)} == {LookupError, Error}


@pytest.mark.parametrize("what", ["sub", "client"])
@pytest.mark.parametrize("ordered_by", [None, "subject"])
async def test_drain_waits_for_all(nats_url: str, what: str, ordered_by: Any) -> None:
    watch = Stopwatch()
    async with await connect(nats_url) as client:
        sub = await client.subscribe("a", cb=watch, workers=4, ordered_by=ordered_by)
        await send(client, "a", 50)
        await eventually(lambda: watch.running)
        draining = asyncio.create_task(sub.drain() if what == "sub" else client.drain())
        await eventually(lambda: sub.is_closed)
        assert not draining.done()
        watch.gate.set()
        await draining
        assert len(watch.done) == 50
        assert not sub.tasks


async def test_drain_from_its_own_callback(nats_url: str) -> None:
    handled = Gathered()

    async def handle(message: Msg) -> None:
        if message.data == b"1":
            await sub.drain()
        else:
            await asyncio.sleep(0)
        handled(message)

    async with await connect(nats_url) as client:
        sub = await client.subscribe("a", cb=handle, workers=3)
        await send(client, "a", 20)
        assert (await handled.reach(20)).data[-1] == b"1"


async def test_a_drain_that_takes_too_long_counts_what_is_parked(nats_url: str) -> None:
    watch = Stopwatch()
    async with await connect(nats_url) as client:
        sub = await client.subscribe("a", cb=watch, workers=2, ordered_by="subject")
        await send(client, "a", 5)
        await eventually(lambda: watch.running)
        with pytest.raises(DrainTimeoutError, match="4 messages are left and the callback still runs"):
            await sub.drain(timeout=0.01)
        watch.gate.set()


async def test_close_cancels_all(nats_url: str) -> None:
    watch = Stopwatch()
    async with leaves_nothing():
        client = await connect(nats_url)
        sub = await client.subscribe("a", cb=watch, workers=4)
        await send(client, "a", 10)
        await eventually(lambda: watch.running == 4)
        await client.close()
        assert (watch.done, sub.pending_msgs, len(sub.tasks)) == ([], 0, 0)


async def test_close_from_one_of_them(nats_url: str) -> None:
    async with leaves_nothing():
        client = await connect(nats_url)
        await client.subscribe("a", cb=lambda message: client.close(), workers=3)
        await client.publish("a")
        await eventually(lambda: client.is_closed)
        await client._closed


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with Python 3.12")
@pytest.mark.parametrize("kind", ["coroutine", "plain", "several", "ordered"])
async def test_a_loop_whose_tasks_begin_at_once(nats_url: str, kind: str) -> None:
    """A worker that is done before its subscription knows of it must not be taken for one at work."""
    gathered = Gathered()

    async def handle(message: Msg) -> None:
        gathered(message)

    options: dict[str, Any] = {
        "coroutine": {"cb": handle},
        "plain": {"cb": lambda message: handle(message)},
        "several": {"cb": handle, "workers": 2},
        "ordered": {"cb": handle, "workers": 2, "ordered_by": "subject"},
    }[kind]
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        async with leaves_nothing(), await connect(nats_url) as client:
            await client.subscribe("eager", **options)
            for i in range(5):  # each in a batch of its own
                await send(client, "eager", 1)
                await gathered.reach(i + 1)
    finally:
        loop.set_task_factory(None)
