"""One subscription ends, and what it got is handled first."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import Gathered, eventually, numbers, send

from tidings.nats import (
    BadSubscriptionError,
    Msg,
    TimeoutError,
    connect,
)


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

    async def test_cancelled_it_leaves_nobody_waiting(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("rest")
            reader = asyncio.create_task(sub.next_msg(timeout=None))
            await eventually(lambda: bool(sub._waiters))
            draining = asyncio.create_task(sub.drain())
            await asyncio.sleep(0)
            assert sub.is_draining
            draining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await draining
            with pytest.raises(BadSubscriptionError):
                async with asyncio.timeout(10):
                    await reader
            assert sub.is_closed
            assert not client.subscriptions

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
