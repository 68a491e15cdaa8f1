from __future__ import annotations

import asyncio

import pytest
from tests.nats.jetstream.streaming import in_turn, streaming
from tests.proxy import Proxy

from tidings.nats import BadSubjectError, Headers, MaxPayloadError, connect
from tidings.nats.jetstream import JetStream, PubAck, Stream
from tidings.nats.jetstream.errors import (
    AckLostError,
    AckTimeoutError,
    ApiLevelError,
    BatchAbandonedError,
    BatchClosedError,
    BatchDuplicateError,
    BatchError,
    BatchNotEnabledError,
    ConfigError,
    JetStreamError,
    NoStreamResponseError,
    WrongLastSequenceError,
)


async def atomic(js: JetStream, name: str) -> Stream:
    return await js.create_stream(name=name, subjects=[f"{name}.>"], allow_atomic=True)


class TestCommit:
    async def test_all_are_stored_at_the_commit_and_none_before(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await atomic(js, name)
            await js.publish(f"{name}.before")
            async with js.atomic_batch(ack_every=10) as batch:
                for number in range(25):
                    await batch.add(f"{name}.{number}", str(number), headers={"A": "1"})
                await client.flush()
                assert (await stream.info()).state.messages == 1
                ack = await batch.commit(f"{name}.last", "last", headers=Headers([("A", "1"), ("A", "2")]))
            assert ack == PubAck(name, 27, batch_id=batch.id, batch_size=26)
            assert batch.count == 26
            assert (await stream.get_msg(seq=2)).data == b"0"
            stored = await stream.get_msg(seq=27)
            assert (stored.data, stored.headers.get_all("A")) == (b"last", ["1", "2"])

    async def test_a_commit_can_stand_alone(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await atomic(js, name)
            async with js.atomic_batch() as batch:
                await batch.add(f"{name}.a")
                await batch.add(f"{name}.b")
                ack = await batch.commit()
            assert ack == PubAck(name, 2, batch_id=batch.id, batch_size=2)
            assert (await stream.info()).state.messages == 2

    async def test_one_message_can_be_a_batch(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await atomic(js, name)
            assert (await js.atomic_batch().commit(f"{name}.a", msg_id="7")).batch_size == 1

    async def test_without_a_commit_nothing_is_stored(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await atomic(js, name)
            async with js.atomic_batch() as batch:
                await batch.add(f"{name}.a")
            assert batch.is_closed
            with pytest.raises(BatchClosedError, match="discarded"):
                await batch.add(f"{name}.b")
            assert (await stream.info()).state.messages == 0

    async def test_several_tasks_can_add(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await atomic(js, name)
            batch = js.atomic_batch(ack_every=3)
            await asyncio.gather(*(batch.add(f"{name}.{number}") for number in range(50)))
            assert (await batch.commit()).batch_size == 50


class TestRefusal:
    async def test_an_expectation_that_does_not_hold_undoes_all(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await atomic(js, name)
            batch = js.atomic_batch()
            await batch.add(f"{name}.a", expected_last_seq=5)
            with pytest.raises(WrongLastSequenceError):
                await batch.commit(f"{name}.b")
            with pytest.raises(BatchClosedError, match="wrong last sequence") as raised:
                await batch.commit()
            assert isinstance(raised.value.__cause__, WrongLastSequenceError)
            assert (await stream.info()).state.messages == 0

    async def test_a_message_id_twice_undoes_all(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await atomic(js, name)
            await js.publish(f"{name}.a", msg_id="7")
            batch = js.atomic_batch()
            await batch.add(f"{name}.a", msg_id="7")
            with pytest.raises(BatchDuplicateError):
                await batch.commit(f"{name}.b")

    async def test_a_stream_that_allows_no_batches_says_so_at_the_first_message(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            batch = js.atomic_batch()
            with pytest.raises(BatchNotEnabledError):
                await batch.add(name)
            assert batch.is_closed

    async def test_too_many_messages_are_refused(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await atomic(js, name)
            batch = js.atomic_batch(ack_every=65535)
            for _ in range(1000):
                await batch.add(f"{name}.a")
            with pytest.raises(BatchError, match="too large"):
                await batch.commit(f"{name}.a")
            assert (await stream.info()).state.messages == 0

    async def test_a_gap_abandons_the_batch(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await atomic(js, name)
            batch = js.atomic_batch()
            await batch.add(f"{name}.a")
            batch.count += 1  # as if one had been lost
            with pytest.raises(BatchAbandonedError, match="incomplete"):
                await batch.commit(f"{name}.b")

    async def test_what_is_refused_at_once_costs_no_number(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await atomic(js, name)
            batch = js.atomic_batch()
            for _ in range(2):
                with pytest.raises(BadSubjectError):
                    await batch.add("a b")
                with pytest.raises(MaxPayloadError):
                    await batch.add(f"{name}.a", bytes(client.max_payload))
                with pytest.raises(ConfigError, match="expected_last_msg_id"):
                    await batch.add(f"{name}.a", expected_last_msg_id="x")
                await batch.add(f"{name}.a")
            assert (await batch.commit()).batch_size == 2

    async def test_an_empty_batch_has_nothing_to_commit(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            batch = client.jetstream().atomic_batch()
            with pytest.raises(ConfigError, match="nothing to commit"):
                await batch.commit()
            batch.count = 1
            with pytest.raises(ConfigError, match="no message"):
                await batch.commit(payload=b"x")

    async def test_a_subject_without_stream(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(NoStreamResponseError):
                await client.jetstream().atomic_batch().add(name)

    async def test_a_stream_that_comes_meanwhile_takes_the_first_message(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as client, await connect(nats_url) as other:
            batch = client.jetstream().atomic_batch()
            adding = asyncio.create_task(batch.add(f"{name}.a"))
            await asyncio.sleep(0)
            await client.flush()
            await atomic(other.jetstream(), name)
            await adding
            assert (await batch.commit()).batch_size == 1

    async def test_a_stream_that_knows_no_batches_is_found_out(self, nats_url: str, name: str) -> None:
        plain = b'{"stream":"OLD","seq":1}'
        async with streaming(nats_url, name, in_turn([plain, plain])), await connect(nats_url) as client:
            with pytest.raises(JetStreamError, match="takes no batches"):
                await client.jetstream().atomic_batch().add(name)
            with pytest.raises(JetStreamError, match="no batch"):
                await client.jetstream().atomic_batch().commit(name)

    async def test_an_old_server_is_told_before_a_byte_is_sent(
        self, nats_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            monkeypatch.setattr(type(js.api), "level", 1)
            with pytest.raises(ApiLevelError, match="atomic batch"):
                js.atomic_batch()
            with pytest.raises(ApiLevelError, match="fast ingest"):
                js.fast_ingest()
            monkeypatch.setattr(type(js.api), "level", 2)
            batch = js.atomic_batch()
            batch.count = 1
            with pytest.raises(ApiLevelError, match="without a message"):
                await batch.commit()

    @pytest.mark.parametrize("ack_every", [0, -1, 1.5, True])
    async def test_an_interval_that_is_none(self, nats_url: str, ack_every: int) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(ConfigError, match="ack_every"):
                client.jetstream().atomic_batch(ack_every=ack_every)


async def test_a_lost_connection_ends_the_batch(nats_url: str, name: str) -> None:
    async with streaming(nats_url, name, in_turn([b""])) as taken, Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnect_time_wait=0.01)
        batch = client.jetstream().atomic_batch()
        await batch.add(name)
        committing = asyncio.create_task(batch.commit())
        await taken.reach(2)
        proxy.cut()
        with pytest.raises(AckLostError):
            await committing
        assert batch.is_closed
        await client.close()


async def test_a_message_that_is_not_confirmed_ends_the_batch(nats_url: str, name: str) -> None:
    async with streaming(nats_url, name), await connect(nats_url) as client:
        batch = client.jetstream().atomic_batch(timeout=0.05)
        with pytest.raises(AckTimeoutError, match="nothing of the batch is stored"):
            await batch.add(name)
        with pytest.raises(BatchClosedError):
            await batch.commit()
