"""Ack subjects with domain and account hash, as a server gives them that was told to (ADR-53)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.nats.core.gathering import Gathered
from tests.nats.jetstream.consuming import numbered, numbers, sequences, unacknowledged

from tidings.nats.jetstream import ConsumerConfig, PushSubscription
from tidings.nats.server import NatsServer


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with NatsServer(durability="fast", config="feature_flags { js_ack_fc_v2: true }") as server:
        yield server.url


async def test_messages_are_settled_and_know_their_place(url: str, name: str) -> None:
    async with numbered(url, name, 20) as (client, stream):
        consumer = await stream.create_consumer(name="c")
        message = await consumer.next()
        assert len(message.reply.split(".")) >= 11
        meta = message.metadata
        assert (meta.stream, meta.consumer, meta.sequence.stream) == (name, "c", 1)
        assert meta.account_hash
        await message.ack_sync()
        async with consumer.messages(stop_after=19) as messages:
            async for message in messages:
                await message.ack()
        await client.flush()
        await unacknowledged(consumer.info, 0)


async def test_an_ordered_consumer_reads_on(url: str, name: str) -> None:
    async with numbered(url, name, 500) as (client, stream):
        found = []
        errors: list[Exception] = []
        async with stream.ordered_consumer().messages(until_end=True, on_error=errors.append) as messages:
            async for message in messages:
                found.append(message)
                if len(found) == 200:
                    await client.jetstream().delete_consumer(name, messages.name)
        assert sequences(found) == list(range(1, 501))
        assert len(errors) <= 1


async def test_flow_control_is_answered(url: str, name: str) -> None:
    async with numbered(url, name, 200) as (client, _stream):
        handled = Gathered()
        sub = await client.jetstream().subscribe(
            f"{name}.>", cb=handled, idle_heartbeat=1, flow_control=True, config=ConsumerConfig()
        )
        assert isinstance(sub, PushSubscription)
        await handled.reach(200)
        assert numbers(handled) == list(range(1, 201))
        await client.flush()
        await unacknowledged(sub.consumer_info, 0)
        await sub.unsubscribe()
