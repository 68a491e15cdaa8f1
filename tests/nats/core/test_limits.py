"""What a subscription does at its limits, policy by policy."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import Gathered, Ticks, eventually, leaves_nothing
from tests.proxy import Proxy

from tidings.nats import BadSubscriptionError, Client, Msg, SlowConsumerError, connect, events


async def send(client: Client, subject: str, count: int, size: int = 0) -> None:
    for i in range(count):
        await client.publish(subject, str(i).ljust(size))
    await client.flush()


async def test_a_policy_there_is_not(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        with pytest.raises(ValueError, match="limit_policy is one of drop_new, drop_old, block, error"):
            await client.subscribe("a", limit_policy="wait")  # type: ignore[arg-type]


@pytest.mark.parametrize(("policy", "kept"), [("drop_new", [0, 1, 2]), ("drop_old", [7, 8, 9])])
async def test_dropping(nats_url: str, policy: str, kept: list[int]) -> None:
    errors = Gathered()
    async with await connect(nats_url, error_cb=errors) as client:
        sub = await client.subscribe("full", pending_msgs_limit=3, limit_policy=policy)  # type: ignore[arg-type]
        await send(client, "full", 10)
        (error,) = await errors.reach()
        assert isinstance(error, SlowConsumerError)
        assert (sub.received, sub.dropped, sub.delivered, sub.highest_pending_msgs) == (10, 7, 3, 3)
        assert [int((await sub.next_msg()).data) for _ in range(3)] == kept
        assert sub.failure is None


class TestError:
    @pytest.mark.parametrize("how", ["next_msg", "iterator"])
    async def test_the_reader_gets_what_was_held_and_then_the_error(self, nats_url: str, how: str) -> None:
        errors, seen = Gathered(), []
        async with await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("full", pending_msgs_limit=3, limit_policy="error")
            await send(client, "full", 10)

            async def read() -> None:
                if how == "iterator":
                    async for message in sub:
                        seen.append(int(message.data))
                while how == "next_msg":
                    seen.append(int((await sub.next_msg()).data))

            with pytest.raises(SlowConsumerError) as caught:
                await read()
            assert seen == [0, 1, 2]
            assert sub.is_closed
            assert await sub.closed() is sub.failure is caught.value
            with pytest.raises(SlowConsumerError):
                await sub.next_msg()
            with pytest.raises(BadSubscriptionError) as refused:
                await sub.unsubscribe()
            assert refused.value.__cause__ is caught.value
            assert await errors.reach() == [caught.value]
            assert len(client._subscriptions) == 0

    async def test_a_reader_that_waits_gets_it_at_once(self, nats_url: str) -> None:
        async with await connect(nats_url, error_cb=Gathered()) as client:
            sub = await client.subscribe("full", pending_bytes_limit=5, limit_policy="error")
            reading = asyncio.create_task(sub.next_msg(None))
            await eventually(lambda: sub._waiters)
            await client.publish("full", b"too long")
            with pytest.raises(SlowConsumerError):
                await reading

    async def test_a_callback_gets_what_was_held(self, nats_url: str) -> None:
        errors, handled, gate = Gathered(), Gathered(), asyncio.Event()

        async def slow(message: Msg) -> None:
            await gate.wait()
            handled(message)

        async with await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("full", cb=slow, pending_msgs_limit=3, limit_policy="error")
            await client.publish("full", b"first")
            await eventually(lambda: sub.tasks and not sub.pending_msgs)
            await send(client, "full", 10)
            (error,) = await errors.reach()
            gate.set()
            assert (await handled.reach(4)).data == [b"first", b"0", b"1", b"2"]
            assert isinstance(error, SlowConsumerError)
            assert sub.is_closed

    async def test_others_go_on(self, nats_url: str) -> None:
        async with await connect(nats_url, error_cb=Gathered()) as client:
            await client.subscribe("full", pending_msgs_limit=1, limit_policy="error")
            other = await client.subscribe("full")
            await send(client, "full", 10)
            assert other.received == 10


class TestBlock:
    @pytest.mark.parametrize("limits", [{"pending_msgs_limit": 100}, {"pending_bytes_limit": 100_000}])
    async def test_nothing_is_dropped(self, nats_url: str, limits: dict[str, int]) -> None:
        errors, count = Gathered(), 20_000
        async with await connect(nats_url) as sender, await connect(nats_url, error_cb=errors) as client:
            sub = await client.subscribe("flood", limit_policy="block", **limits)  # type: ignore[arg-type]
            await client.flush()
            await send(sender, "flood", count, size=1000)
            await eventually(lambda: client._subscriptions.is_blocked)
            held = sub.received
            assert held < count // 2  # as much as one read of the socket gives, and not all
            assert [int((await sub.next_msg(20)).data) for _ in range(count)] == list(range(count))
            assert (sub.received, sub.dropped, errors) == (count, 0, [])
            assert not client._subscriptions.is_blocked

    @pytest.mark.parametrize("workers", [1, 4])
    async def test_a_callback_takes_its_time(self, nats_url: str, workers: int) -> None:
        handled = Gathered()

        async def slow(message: Msg) -> None:
            await asyncio.sleep(0)
            handled(message)

        async with await connect(nats_url) as sender, await connect(nats_url) as client:
            sub = await client.subscribe(
                "flood", cb=slow, limit_policy="block", pending_msgs_limit=10, workers=workers
            )
            await client.flush()
            await send(sender, "flood", 3000, size=1000)
            await handled.reach(3000)
            assert sub.dropped == 0

    @pytest.mark.parametrize("end", ["unsubscribe", "drain", "close"])
    async def test_its_end_lets_the_others_go_on(self, nats_url: str, end: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("flood", limit_policy="block", pending_msgs_limit=1)
            other = await client.subscribe("other")
            await client.publish("flood")
            await eventually(lambda: client._subscriptions.is_blocked)
            await client.publish("other")
            if end == "close":
                await client.close()
                return
            await getattr(sub, end)()
            await other.next_msg(20)
            await client.flush()

    async def test_two_that_block(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            subs = [
                await client.subscribe("flood", limit_policy="block", pending_msgs_limit=1) for _ in range(2)
            ]
            await client.publish("flood")
            await eventually(lambda: client._subscriptions.is_blocked)
            await subs[0].next_msg()
            assert client._subscriptions.is_blocked
            await subs[1].next_msg()
            await client.flush()

    async def test_draining_the_client(self, nats_url: str) -> None:
        async with leaves_nothing():
            client = await connect(nats_url)
            await client.subscribe("flood", limit_policy="block", pending_msgs_limit=1)
            await client.publish("flood")
            await eventually(lambda: client._subscriptions.is_blocked)
            await client.drain(timeout=20)

    async def test_a_new_connection_waits_too(self, nats_url: str) -> None:
        back = Gathered()
        async with (
            Proxy(nats_url) as proxy,
            await connect(proxy.url, reconnect_time_wait=0.01, reconnected_cb=back) as client,
        ):
            sub = await client.subscribe("flood", limit_policy="block", pending_msgs_limit=1)
            await client.publish("flood", b"1")
            await eventually(lambda: client._subscriptions.is_blocked)
            client._link.abort()  # type: ignore[union-attr]  # a reader that is paused sees no reset
            await back.reach()
            await client.publish("flood", b"2")
            await client.rtt() if not client._subscriptions.is_blocked else None
            assert client._subscriptions.is_blocked
            assert (await sub.next_msg()).data == b"1"
            assert (await sub.next_msg(20)).data == b"2"

    async def test_pings_that_cannot_be_answered_do_not_count(self, nats_url: str) -> None:
        ticks = Ticks()
        async with await connect(nats_url, ping_interval=ticks.interval, max_outstanding_pings=2) as client:
            lost = client.events()
            sub = await client.subscribe("flood", limit_policy="block", pending_msgs_limit=1)
            await client.publish("flood")
            await eventually(lambda: client._subscriptions.is_blocked)
            link = client._link
            for _ in range(20):
                ticks.tick()
                await asyncio.sleep(0)
            assert client._link is link
            await sub.next_msg()
            await client.flush()
            assert not [event for event in lost._held if isinstance(event, events.Disconnected)]
