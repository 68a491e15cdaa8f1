from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.nats.jetstream.streaming import away, streaming
from tests.proxy import Proxy

from tidings.nats import BadSubjectError, Msg, ProtocolError, connect
from tidings.nats.jetstream import JetStream, PubAck, Stream, fast_flow
from tidings.nats.jetstream.errors import (
    AckLostError,
    AckTimeoutError,
    BatchAbandonedError,
    BatchClosedError,
    BatchCutError,
    BatchGapError,
    BatchMessageError,
    BatchNotEnabledError,
    ConfigError,
    JetStreamError,
    NoStreamResponseError,
    WrongLastSequenceError,
)


async def batched(js: JetStream, name: str) -> Stream:
    return await js.create_stream(name=name, subjects=[f"{name}.>"], allow_batched=True)


def place(message: Msg) -> tuple[str, int, int]:
    """Batch id, number and operation, of the reply subject."""
    tokens = message.reply.split(".")
    return tokens[-6], int(tokens[-3]), int(tokens[-2])


def served(then: Callable[[int, int, str], dict[str, Any] | bytes | None]) -> Callable[[Msg], bytes | None]:
    """A server that takes the first message, and `then` answers by number, operation and batch id."""

    def answer(message: Msg) -> bytes | None:
        batch_id, number, operation = place(message)
        if operation == 0:
            return b'{"type":"ack","seq":0,"msgs":1}'
        said = then(number, operation, batch_id)
        return json.dumps(said).encode() if isinstance(said, dict) else said

    return answer


class TestIngest:
    async def test_many_messages_with_one_acknowledgement_at_the_end(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await batched(js, name)
            async with js.fast_ingest(flow=50) as batch:
                numbers = [await batch.add(f"{name}.{i}", str(i)) for i in range(1000)]
                assert batch.acked > 0
            assert numbers == list(range(1, 1001))
            assert batch.ack == PubAck(name, 1000, batch_id=batch.id, batch_size=1000)
            assert (batch.count, batch.acked, batch.is_closed) == (1000, 1000, True)
            assert (await stream.get_msg(seq=1000)).data == b"999"
            assert not list(client.subscriptions)

    async def test_a_commit_with_a_message(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await batched(js, name)
            batch = js.fast_ingest()
            for _ in range(5):
                await batch.add(f"{name}.a", headers={"A": "1"}, expected_stream=name)
            ack = await batch.commit(f"{name}.last", "last", headers={"A": "2"})
            assert ack == PubAck(name, 6, batch_id=batch.id, batch_size=6)
            assert (await stream.get_msg(seq=6)).headers["A"] == "2"
            with pytest.raises(BatchClosedError):
                await batch.add(f"{name}.a")
            with pytest.raises(BatchClosedError):
                await batch.commit()

    async def test_one_message_can_be_a_batch(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await batched(js, name)
            assert (await js.fast_ingest().commit(f"{name}.a")).batch_size == 1

    async def test_a_block_without_messages_says_nothing(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            async with client.jetstream().fast_ingest() as batch:
                pass
            assert batch.ack is None
            assert client.stats.out_msgs == 0
            with pytest.raises(ConfigError, match="nothing to commit"):
                await client.jetstream().fast_ingest().commit()

    async def test_several_publishers_at_once(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await batched(js, name)

            async def ingest() -> None:
                async with js.fast_ingest() as batch:
                    for _ in range(300):
                        await batch.add(f"{name}.a")

            await asyncio.gather(*(ingest() for _ in range(5)))
            assert (await stream.info()).state.messages == 1500

    async def test_an_error_in_the_block_leaves_what_is_stored(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await batched(js, name)
            batch = js.fast_ingest()

            async def block() -> None:
                async with batch:
                    await batch.add(f"{name}.a")
                    raise RuntimeError

            with pytest.raises(RuntimeError):
                await block()
            assert batch.is_closed
            assert batch.ack is None
            assert (await stream.info()).state.messages == 1
            assert not list(client.subscriptions)


class TestRefusal:
    async def test_a_stream_that_allows_none(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            batch = js.fast_ingest()
            with pytest.raises(BatchNotEnabledError):
                await batch.add(name)
            with pytest.raises(BatchNotEnabledError):
                await batch.add(name)

    async def test_a_subject_without_stream(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(NoStreamResponseError):
                await client.jetstream().fast_ingest().add(name)
            assert not list(client.subscriptions)

    async def test_a_refused_message_ends_a_batch_without_gaps(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await batched(js, name)
            batch = js.fast_ingest()
            await batch.add(f"{name}.a")
            await batch.add(f"{name}.a", expected_last_seq=77)

            async def go_on() -> None:
                while True:
                    await batch.add(f"{name}.a")

            with pytest.raises(BatchCutError, match="after 1 of") as raised:
                await go_on()
            assert (raised.value.stored, raised.value.seq) == (1, 1)
            assert isinstance(raised.value.__cause__, BatchMessageError)
            assert isinstance(raised.value.__cause__.__cause__, WrongLastSequenceError)
            assert (await stream.info()).state.messages == 1

    async def test_a_refused_last_message_is_told(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await batched(js, name)
            batch = js.fast_ingest()
            await batch.add(f"{name}.a")
            with pytest.raises(BatchCutError, match="after 1 of 2"):
                await batch.commit(f"{name}.a", expected_last_seq=77)

    async def test_a_batch_with_gaps_goes_on_without_what_is_refused(self, nats_url: str, name: str) -> None:
        missed: list[JetStreamError] = []
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await batched(js, name)
            async with js.fast_ingest(gap="ok", on_error=missed.append) as batch:
                await batch.add(f"{name}.a")
                await batch.add(f"{name}.a", expected_last_seq=77)
                batch.count += 2  # as if two had been lost
                await batch.add(f"{name}.a")
            assert batch.ack == PubAck(name, 2, batch_id=batch.id, batch_size=5)
            assert (await stream.info()).state.messages == 2
        refused, gap = missed
        assert isinstance(refused, BatchMessageError)
        assert refused.number == 2
        assert isinstance(gap, BatchGapError)
        assert (gap.first, gap.last) == (3, 4)

    async def test_a_lost_message_ends_a_batch_without_gaps(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await batched(js, name)
            batch = js.fast_ingest()
            await batch.add(f"{name}.a")
            batch.count += 1  # as if one had been lost
            await batch.add(f"{name}.a")
            with pytest.raises(BatchCutError) as raised:
                await batch.commit()
            assert raised.value.stored == 1
            assert isinstance(raised.value.__cause__, BatchGapError)

    async def test_what_nobody_listens_for_goes_to_the_error_callback(self, nats_url: str, name: str) -> None:
        reported: list[Exception] = []
        async with await connect(nats_url, error_cb=reported.append) as client:
            js = client.jetstream()
            await batched(js, name)
            async with js.fast_ingest(gap="ok") as batch:
                await batch.add(f"{name}.a")
                await batch.add(f"{name}.a", expected_last_seq=77)
        assert [type(error) for error in reported] == [BatchMessageError]

    async def test_a_batch_that_the_server_forgot(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await batched(js, name)
            batch = js.fast_ingest()
            await batch.add(f"{name}.a")
            batch._head = batch._head.replace(batch.id, "other")  # as after ten seconds of silence
            with pytest.raises(BatchAbandonedError):
                await batch.commit()

    async def test_what_is_refused_at_once_costs_no_number(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await batched(js, name)
            async with js.fast_ingest() as batch:
                for _ in range(2):
                    with pytest.raises(BadSubjectError):
                        await batch.add("a b")
                    with pytest.raises(ConfigError):
                        await batch.add(f"{name}.a", ttl=0)
                    await batch.add(f"{name}.a")
            assert batch.ack is not None
            assert batch.ack.batch_size == 2

    @pytest.mark.parametrize(
        "options", [{"flow": 0}, {"flow": 70000}, {"max_outstanding_acks": 0}, {"gap": "maybe"}]
    )
    async def test_values_that_cannot_work(self, nats_url: str, options: Any) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(ConfigError, match=next(iter(options))):
                client.jetstream().fast_ingest(**options)


class TestFlow:
    async def test_it_waits_for_the_server_and_asks_when_an_acknowledgement_was_lost(
        self, nats_url: str, name: str
    ) -> None:
        said: list[tuple[int, int]] = []

        def then(number: int, operation: int, batch_id: str) -> dict[str, Any] | None:
            said.append((number, operation))
            if operation == 4:
                return {"type": "ack", "seq": number, "msgs": 1}
            if operation == 3:
                return {"stream": "FAKE", "seq": 3, "batch": batch_id, "count": number - 1}
            return None  # lost

        async with streaming(nats_url, name, served(then)), await connect(nats_url) as client:
            async with client.jetstream().fast_ingest(timeout=0.3) as batch:
                for _ in range(3):
                    await batch.add(name)
            assert batch.ack is not None
        assert said == [(2, 1), (2, 4), (3, 1), (4, 3)]

    async def test_a_server_that_falls_silent(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name, served(lambda *a: None)), await connect(nats_url) as client:
            batch = client.jetstream().fast_ingest(timeout=0.06)
            await batch.add(name)
            await batch.add(name)
            with pytest.raises(AckTimeoutError, match="messages 1 to 2"):
                await batch.add(name)
            assert not list(client.subscriptions)

    async def test_it_keeps_a_slow_batch_alive(
        self, nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fast_flow, "_KEEP_ALIVE", 0.02)
        pinged = asyncio.Event()

        def then(number: int, operation: int, batch_id: str) -> dict[str, Any] | None:
            if operation == 4:
                pinged.set()
                return {"type": "ack", "seq": 1, "msgs": 1}
            return {"stream": "FAKE", "seq": 1, "batch": batch_id, "count": 1}

        async with (
            streaming(nats_url, name, served(then)),
            await connect(nats_url) as client,
            client.jetstream().fast_ingest() as batch,
        ):
            await batch.add(name)
            await pinged.wait()

    @pytest.mark.parametrize(
        "said",
        [
            b"no json",
            b"[]",
            b"{}",
            b'{"type":"ack"}',
            b'{"type":"gap","seq":"x"}',
            b'{"type":"ack","seq":Infinity}',
        ],
    )
    async def test_nonsense_ends_it(self, nats_url: str, name: str, said: bytes) -> None:
        async with streaming(nats_url, name, lambda m: said), await connect(nats_url) as client:
            with pytest.raises(ProtocolError):
                await client.jetstream().fast_ingest().add(name)

    async def test_a_stream_that_knows_no_batches_is_found_out(self, nats_url: str, name: str) -> None:
        plain = b'{"stream":"OLD","seq":1}'
        async with streaming(nats_url, name, lambda m: plain), await connect(nats_url) as client:
            with pytest.raises(JetStreamError, match="no batch"):
                await client.jetstream().fast_ingest().add(name)


class TestLoss:
    async def test_a_lost_connection_ends_a_batch_without_gaps(self, nats_url: str, name: str) -> None:
        async with Proxy(nats_url) as proxy, await connect(proxy.url, reconnect_time_wait=0.01) as client:
            js = client.jetstream()
            await batched(js, name)
            batch = js.fast_ingest()
            await batch.add(f"{name}.a")
            proxy.cut()
            await away(client)
            with pytest.raises(AckLostError, match="may or may not"):
                await batch.add(f"{name}.a")

    async def test_a_batch_with_gaps_goes_on_over_the_next_connection(self, nats_url: str, name: str) -> None:
        async with Proxy(nats_url) as proxy, await connect(proxy.url, reconnect_time_wait=0.01) as client:
            js = client.jetstream()
            stream = await batched(js, name)
            async with js.fast_ingest(gap="ok", on_error=lambda error: None) as batch:
                for _ in range(10):
                    await batch.add(f"{name}.a")
                async with proxy.away():
                    await away(client)
                for _ in range(10):
                    await batch.add(f"{name}.a")
            assert batch.ack is not None
            assert batch.ack.batch_size == 20
            assert (await stream.info()).state.messages >= 10

    async def test_closing_the_client_ends_it(self, nats_url: str, name: str) -> None:
        async with streaming(nats_url, name, served(lambda *a: None)):
            client = await connect(nats_url)
            batch = client.jetstream().fast_ingest()
            await batch.add(name)
            await batch.add(name)
            waiting = asyncio.create_task(batch.add(name))
            await asyncio.sleep(0)
            await client.close()
            with pytest.raises(AckLostError):
                await waiting
