"""Messages that are read: by `async for`, or one by one."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest
from tests.nats.core.gathering import deliver, eventually, numbers, send

from tidings.nats import (
    BadSubscriptionError,
    ConnectionClosedError,
    Error,
    Msg,
    Subscription,
    TimeoutError,
    connect,
)


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
