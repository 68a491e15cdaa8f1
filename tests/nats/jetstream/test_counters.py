from __future__ import annotations

import asyncio

import pytest
from tests.nats.jetstream.streaming import in_turn, streaming

from tidings.nats import ProtocolError, connect
from tidings.nats.jetstream import CounterEntry, StreamSource, SubjectTransform
from tidings.nats.jetstream.errors import (
    ConfigError,
    CounterError,
    MessageNotFoundError,
    StreamNotFoundError,
)


async def test_it_adds_up(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[f"{name}.>"], allow_msg_counter=True, allow_direct=True)
        counter = await js.counter(name)
        assert await counter.add(f"{name}.a", 5) == 5
        assert await counter.add(f"{name}.a", -7) == -2
        assert await counter.add(f"{name}.a", 0) == -2
        assert await counter.add(f"{name}.a", 10**40) == 10**40 - 2
        assert await counter.get(f"{name}.a") == 10**40 - 2
        assert await counter.entry(f"{name}.a") == CounterEntry(f"{name}.a", 10**40 - 2, 10**40)


async def test_all_that_add_at_once_count(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[name], allow_msg_counter=True, allow_direct=True)
        counter = await js.counter(name)
        values = await asyncio.gather(*(counter.add(name, 1) for _ in range(100)))
        assert sorted(values) == list(range(1, 101))


async def test_the_same_message_id_counts_once(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[name], allow_msg_counter=True, allow_direct=True)
        counter = await js.counter(name)
        assert await counter.add(name, 3, msg_id="7") == 3
        assert await counter.add(name, 3, msg_id="7") == 3


async def test_many_counters_are_read_together(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[f"{name}.>"], allow_msg_counter=True, allow_direct=True)
        counter = await js.counter(name)
        for number in range(5):
            await counter.add(f"{name}.{number}", number)
        assert [entry.value async for entry in counter.entries()] == [0, 1, 2, 3, 4]
        some = [entry.value async for entry in counter.entries(f"{name}.1", f"{name}.3")]
        assert some == [1, 3]


async def test_a_stream_that_adds_up_others_tells_what_each_gave(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        parts = [f"{name}-east", f"{name}-west"]
        for part in parts:
            await js.create_stream(
                name=part, subjects=[f"{part}.hits"], allow_msg_counter=True, allow_direct=True
            )
        sources = [
            StreamSource(
                name=part, subject_transforms=[SubjectTransform(src=f"{part}.hits", dest=f"{name}.hits")]
            )
            for part in parts
        ]
        await js.create_stream(name=name, sources=sources, allow_msg_counter=True, allow_direct=True)
        for part, value in zip(parts, (3, 4), strict=True):
            await (await js.counter(part)).add(f"{part}.hits", value)
        counter = await js.counter(name)
        total = 0
        while total != 7:  # bounded by the limit of the test
            await asyncio.sleep(0.02)
            total = sum([entry.value async for entry in counter.entries()])
        entry = await counter.entry(f"{name}.hits")
        assert entry.sources == {
            part: {f"{part}.hits": value} for part, value in zip(parts, (3, 4), strict=True)
        }


async def test_what_is_no_counter(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        stream = await js.create_stream(
            name=name, subjects=[f"{name}.>"], allow_msg_counter=True, allow_direct=True
        )
        with pytest.raises(CounterError, match="missing"):
            await js.publish(f"{name}.a")
        counter = await js.counter(name)
        with pytest.raises(MessageNotFoundError):
            await counter.get(f"{name}.a")
        for value in (1.5, "1", True, None):
            with pytest.raises(ConfigError, match="an int"):
                await counter.add(f"{name}.a", value)  # type: ignore[arg-type]
        with pytest.raises(StreamNotFoundError):
            await js.counter(f"{name}-other")
        await js.create_stream(name=f"{name}-plain", subjects=[f"{name}-plain"])
        with pytest.raises(ConfigError, match="allow_msg_counter"):
            await js.counter(f"{name}-plain")
        assert (await stream.info()).state.messages == 0


async def test_a_stream_that_does_not_count_is_found_out(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[f"{name}.>"], allow_msg_counter=True, allow_direct=True)
        counter = await js.counter(name)
        plain = b'{"stream":"OLD","seq":1}'
        async with streaming(nats_url, f"{name}-old", in_turn([plain])):
            with pytest.raises(ProtocolError, match="counted nothing"):
                await counter.add(f"{name}-old", 1)
