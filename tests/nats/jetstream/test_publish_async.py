from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from tests.nats.jetstream.streaming import Taken, away, in_turn, streaming
from tests.proxy import Proxy

from tidings.nats import (
    BadSubjectError,
    Client,
    ConnectionClosedError,
    OutboundBufferLimitError,
    TimeoutError,
    connect,
)
from tidings.nats.jetstream import FailedPublish, PubAck
from tidings.nats.jetstream.errors import (
    AckLostError,
    AckTimeoutError,
    NoStreamResponseError,
    TooManyStalledMsgsError,
    WrongLastSequenceError,
)

STORED = b'{"stream":"FAKE","seq":1}'
WRONG = b'{"error":{"code":400,"err_code":10071,"description":"wrong"},"stream":"FAKE","seq":0}'


async def answer_all(client: Client, taken: Taken, answer: bytes = STORED) -> None:
    for message in taken.messages:
        await client.publish(message.reply, answer)
    await client.flush()


class TestFutures:
    async def test_each_future_is_its_acknowledgement(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(name=name, subjects=[f"{name}.*"])
            futures = [await js.publish_async(f"{name}.{i}", str(i)) for i in range(500)]
            assert js.publish_async_pending == 500
            await js.publish_async_completed(timeout=30)
            assert js.publish_async_pending == 0
            assert [future.result() for future in futures] == [PubAck(name, i + 1) for i in range(500)]
            assert (await stream.get_msg(last_by_subject=f"{name}.77")).data == b"77"

    async def test_options_and_errors_are_those_of_publish(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            first = await js.publish_async(name, msg_id="7", headers={"A": "1"})
            again = await js.publish_async(name, msg_id="7")
            wrong = await js.publish_async(name, expected_last_seq=9)
            assert await first == PubAck(name, 1)
            assert await again == PubAck(name, 1, duplicate=True)
            with pytest.raises(WrongLastSequenceError):
                await wrong
            with pytest.raises(BadSubjectError):
                await js.publish_async("a b")
            assert js.publish_async_pending == 0

    async def test_nothing_is_pending_in_a_new_context(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            assert js.publish_async_pending == 0
            await js.publish_async_completed()

    async def test_a_cancelled_future_harms_nobody(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            cancelled, kept = await js.publish_async(name), await js.publish_async(name)
            cancelled.cancel()
            assert (await kept).seq == 2
            assert js.publish_async_pending == 0

    async def test_what_no_stream_takes_is_sent_again_and_then_told(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client, await connect(nats_url) as other:
            js = client.jetstream()
            future = await js.publish_async(name, bytearray(b"x"), headers={"A": "1"})
            await client.flush()  # the answer, that nobody takes it, came before the PONG
            stream = await other.jetstream().create_stream(name=name, subjects=[name])
            assert await future == PubAck(name, 1)
            stored = await stream.get_msg(seq=1)
            assert (stored.data, stored.headers["A"]) == (b"x", "1")

            before = client.stats.out_msgs
            nobody = await js.publish_async(f"{name}.nobody")
            with pytest.raises(NoStreamResponseError):
                await nobody
            assert client.stats.out_msgs - before == 3
            assert js.publish_async_pending == 0

    async def test_what_passes_is_sent_again(self, nats_url: str, name: str) -> None:
        busy = b'{"error":{"code":409,"err_code":10158,"description":"in process"},"stream":"S","seq":0}'
        async with streaming(nats_url, name, in_turn([busy, STORED])), await connect(nats_url) as client:
            assert await (await client.jetstream().publish_async(name)) == PubAck("FAKE", 1)


class TestWindow:
    async def test_one_more_than_the_window_waits_for_room(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name) as taken, await connect(nats_url) as client:
            js = client.jetstream(publish_async_max_pending=4)
            for _ in range(4):
                await js.publish_async(name)
            one_more = asyncio.create_task(js.publish_async(name))
            await taken.reach(4)
            assert not one_more.done()
            assert js.publish_async_pending == 4
            await answer_all(client, taken)
            await one_more
            assert js.publish_async_pending == 1
            await taken.reach(5)
            await answer_all(client, taken)
            await js.publish_async_completed(timeout=30)

    async def test_without_room_in_time_nothing_is_sent(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name) as taken, await connect(nats_url) as client:
            js = client.jetstream(publish_async_max_pending=2, publish_async_stall_wait=0.02)
            futures = [await js.publish_async(name) for _ in range(2)]
            with pytest.raises(TooManyStalledMsgsError, match="2 async publishes"):
                await js.publish_async(name)
            await taken.reach(2)
            await answer_all(client, taken)
            assert len(taken.messages) == 2
            await asyncio.gather(*futures)
            await js.publish_async(name)
            await answer_all(client, Taken())
            await taken.reach(3)
            await answer_all(client, taken)

    async def test_who_waits_is_served_in_order(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name, lambda _: STORED) as taken, await connect(nats_url) as client:
            js = client.jetstream(publish_async_max_pending=4)
            most = 0

            async def publish(number: int) -> None:
                nonlocal most
                await js.publish_async(name, str(number).encode())
                most = max(most, js.publish_async_pending)

            async with asyncio.timeout(30):
                await asyncio.gather(*map(publish, range(500)))
                await js.publish_async_completed()
            assert [int(each.data) for each in taken.messages] == list(range(500))
            assert most <= 4

    async def test_places_that_are_not_taken_go_to_others(self, nats_url: str, name: str) -> None:
        answers = in_turn([None, None, *[STORED] * 20])
        async with streaming(nats_url, name, answers) as taken, await connect(nats_url) as client:
            js = client.jetstream(publish_async_max_pending=2)
            for _ in range(2):
                await js.publish_async(name)
            refused = [asyncio.create_task(js.publish_async("no subject")) for _ in range(6)]
            gone = [asyncio.create_task(js.publish_async(name)) for _ in range(6)]
            last = asyncio.create_task(js.publish_async(name))
            await taken.reach(2)
            gone[0].cancel()
            await answer_all(client, taken)
            async with asyncio.timeout(30):
                await asyncio.wait(refused)
                for task in gone:  # some wait, some were told that there is a place
                    task.cancel()
                await asyncio.wait(gone)
                await (await last)
                await js.publish_async_completed()
            assert all(isinstance(task.exception(), BadSubjectError) for task in refused)

    async def test_many_publishers_share_a_window(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream(publish_async_max_pending=8)
            stream = await js.create_stream(name=name, subjects=[name])
            most = 0

            async def publisher() -> None:
                nonlocal most
                for _ in range(50):
                    await js.publish_async(name)
                    most = max(most, js.publish_async_pending)

            await asyncio.gather(*(publisher() for _ in range(10)))
            await js.publish_async_completed(timeout=30)
            assert most <= 8
            assert (await stream.info()).state.messages == 500

    async def test_each_context_has_a_window_of_its_own(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name) as taken, await connect(nats_url) as client:
            one, two = client.jetstream(publish_async_max_pending=1), client.jetstream()
            await one.publish_async(name)
            await two.publish_async(name)
            assert (one.publish_async_pending, two.publish_async_pending) == (1, 1)
            await taken.reach(2)
            await answer_all(client, taken)
            assert (one.publish_async_pending, two.publish_async_pending) == (0, 0)

    async def test_completion_in_time_or_an_error(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name) as taken, await connect(nats_url) as client:
            js = client.jetstream()
            future = await js.publish_async(name)
            with pytest.raises(TimeoutError, match="1 async publishes"):
                await js.publish_async_completed(timeout=0.02)
            assert not future.done()
            await taken.reach(1)
            await answer_all(client, taken)
            await js.publish_async_completed(timeout=30)


class TestNoAnswer:
    async def test_every_one_has_its_time(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name), await connect(nats_url) as client:
            js = client.jetstream(publish_async_ack_timeout=0.05)
            futures = [await js.publish_async(name) for _ in range(50)]
            await js.publish_async_completed(timeout=30)
            errors = await asyncio.gather(*futures, return_exceptions=True)
            assert {type(error) for error in errors} == {AckTimeoutError}

    async def test_the_handler_hears_of_each_that_failed(self, nats_url: str, name: str) -> None:
        failed: list[tuple[FailedPublish, Exception]] = []
        all_told = asyncio.Event()

        async def handler(message: FailedPublish, error: Exception) -> None:
            await asyncio.sleep(0)
            failed.append((message, error))
            if len(failed) == 2:
                all_told.set()
            if len(failed) == 1:
                raise RuntimeError("of the handler")

        reported: list[Exception] = []
        answers = in_turn([STORED, WRONG, WRONG])
        async with (
            streaming(nats_url, name, answers),
            await connect(nats_url, error_cb=reported.append) as client,
        ):
            js = client.jetstream(publish_async_err_handler=handler)
            for payload in ("a", b"b", memoryview(b"c")):
                await js.publish_async(name, payload, msg_id="7")
            await js.publish_async_completed(timeout=30)
            await all_told.wait()
        assert [message for message, _ in failed] == [
            FailedPublish(name, b"b", {"Nats-Msg-Id": "7"}),
            FailedPublish(name, b"c", {"Nats-Msg-Id": "7"}),
        ]
        assert {type(error) for _, error in failed} == {WrongLastSequenceError}
        assert [str(error) for error in reported] == ["of the handler"]

    async def test_a_plain_handler_can_publish_again_what_failed(self, nats_url: str, name: str) -> None:
        again: list[FailedPublish] = []
        async with streaming(nats_url, name, in_turn([WRONG])), await connect(nats_url) as client:
            js = client.jetstream(publish_async_err_handler=lambda message, error: again.append(message))
            await js.publish_async(name, "a")
            await js.publish_async_completed(timeout=30)
            while not again:
                await client.flush()
            assert again == [FailedPublish(name, "a", None)]


class TestLoss:
    async def test_every_future_ends_when_the_connection_is_lost(self, nats_url: str, name: str) -> None:
        async with (
            streaming(nats_url, name) as taken,
            Proxy(nats_url) as proxy,
            await connect(proxy.url, reconnect_time_wait=0.01) as client,
        ):
            js = client.jetstream()
            futures = [await js.publish_async(name) for _ in range(100)]
            await taken.reach(100)
            proxy.cut()
            await js.publish_async_completed(timeout=30)
            errors = await asyncio.gather(*futures, return_exceptions=True)
            assert {type(error) for error in errors} == {AckLostError}

    async def test_what_is_published_while_it_is_away_is_acknowledged_later(
        self, nats_url: str, name: str
    ) -> None:
        async with Proxy(nats_url) as proxy, await connect(proxy.url, reconnect_time_wait=0.01) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            async with proxy.away():
                await away(client)
                futures = [await js.publish_async(name) for _ in range(10)]
            assert [ack.seq for ack in await asyncio.gather(*futures)] == list(range(1, 11))

    async def test_what_cannot_be_held_is_refused(self, nats_url: str, name: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, reconnect_time_wait=0.01, reconnect_buffer_size=0)
            js = client.jetstream()
            async with proxy.away():
                await away(client)
                with pytest.raises(OutboundBufferLimitError):
                    await js.publish_async(name)
                assert js.publish_async_pending == 0
            await client.close()

    async def test_closing_ends_every_future(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name):
            client = await connect(nats_url)
            js = client.jetstream(publish_async_max_pending=2)
            futures = [await js.publish_async(name) for _ in range(2)]
            stalled = asyncio.create_task(js.publish_async(name))
            await asyncio.sleep(0)
            await client.close()
            errors = await asyncio.gather(*futures, stalled, return_exceptions=True)
            assert [type(error) for error in errors] == [AckLostError, AckLostError, ConnectionClosedError]

    async def test_a_drain_waits_for_the_window_and_for_what_callbacks_publish(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as other:
            stream = await other.jetstream().create_stream(name=name, subjects=[f"{name}.>"])
            client = await connect(nats_url)
            js = client.jetstream()
            futures: list[asyncio.Future[PubAck]] = []

            async def forward(message: Any) -> None:
                await asyncio.sleep(0)
                futures.append(await js.publish_async(f"{name}.{json.loads(message.data)}"))

            await client.subscribe("in." + name, cb=forward)
            await client.flush()
            for number in range(100):
                await other.publish("in." + name, str(number))
            await other.flush()
            await client.drain()
            assert len(futures) == 100
            assert {future.result().stream for future in futures} == {name}
            assert (await stream.info()).state.messages == 100

    async def test_of_a_window_that_nobody_looked_at_the_log_has_one_line(
        self, nats_url: str, name: str
    ) -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async with (
            streaming(nats_url, name) as taken,
            Proxy(nats_url) as proxy,
            await connect(proxy.url, reconnect_time_wait=0.01) as client,
        ):
            js = client.jetstream()
            for _ in range(100):
                await js.publish_async(name)
            await taken.reach(100)
            proxy.cut()
            await js.publish_async_completed(timeout=30)
        gc.collect()
        assert [type(context["exception"]) for context in complaints] == [AckLostError]
