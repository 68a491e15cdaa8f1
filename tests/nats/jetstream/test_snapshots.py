from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tidings.nats import Client, Msg, TimeoutError, connect
from tidings.nats.jetstream import Snapshot, Stream, StreamConfig, StreamInfo
from tidings.nats.jetstream.errors import (
    ApiError,
    BadRequestError,
    ConfigError,
    SnapshotError,
    StreamNotFoundError,
)

SIZE = 200_000


async def filled(client: Client, name: str, count: int = 10, **config: Any) -> Stream:
    """A stream with messages that cannot be compressed, and a consumer."""
    stream = await client.jetstream().create_stream(
        name=name, subjects=[f"{name}.>"], metadata={"a": "b"}, **config
    )
    for number in range(count):
        await client.request(f"{name}.{number}", os.urandom(SIZE), 10.0)
    await stream.create_consumer(durable_name="w")
    return stream


async def taken(stream: Stream, **options: Any) -> tuple[Snapshot, list[bytes]]:
    async with await stream.snapshot(**options) as snapshot:
        return snapshot, [chunk async for chunk in snapshot]


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_a_stream_is_taken_away_and_brought_back(nats_url: str, name: str, storage: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream(timeout=20.0)
        stream = await filled(client, name, storage=storage)
        before = await stream.get_msg(7)
        snapshot, chunks = await taken(stream, check=True)
        assert (snapshot.config.name, snapshot.state.messages) == (name, 10)
        assert len(chunks) > 2
        await js.delete_stream(name)

        async def stored() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        back = await js.restore_stream(snapshot.config, snapshot.state, stored())
        info = await back.info()
        assert (info.state.messages, info.state.last_seq) == (10, 10)
        assert info.config == snapshot.config
        assert await back.get_msg(7) == before
        assert [consumer async for consumer in back.consumer_names()] == ["w"]
        await js.delete_stream(name)


async def test_without_its_consumers_and_under_another_name(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream(timeout=20.0)
        stream = await filled(client, name)
        snapshot, chunks = await taken(stream, consumers=False)
        with pytest.raises(BadRequestError, match="already in use"):
            await js.restore_stream(snapshot.config, snapshot.state, chunks)
        other = replace(snapshot.config, name=f"{name}2", subjects=[f"{name}2.>"])
        back = await js.restore_stream(other, snapshot.state, chunks)
        assert (await back.info()).state.messages == 10
        assert [consumer async for consumer in back.consumer_names()] == []
        for each in (name, f"{name}2"):
            await js.delete_stream(each)


async def test_chunks_that_are_no_snapshot(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream(timeout=20.0)
        stream = await filled(client, name, 2)
        snapshot, chunks = await taken(stream)
        await js.delete_stream(name)
        for wrong in (chunks[:1], [b"garbage"], []):
            with pytest.raises(ApiError, match="restore failed"):
                await js.restore_stream(snapshot.config, snapshot.state, wrong)
        for nothing in ([*chunks, b""], b"bytes"):
            with pytest.raises(ConfigError, match="chunk"):
                await js.restore_stream(snapshot.config, snapshot.state, nothing)  # type: ignore[arg-type]

        def failing() -> Any:
            yield chunks[0]
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            await js.restore_stream(snapshot.config, snapshot.state, failing())
        with pytest.raises(StreamNotFoundError):
            await js.stream(name)
        back = await js.restore_stream(snapshot.config, snapshot.state, chunks)
        assert (await back.info()).state.messages == 2
        await js.delete_stream(name)


async def test_one_that_is_left_early_leaves_nothing_behind(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        stream = await filled(client, name)
        before = len(client.subscriptions)
        async with await stream.snapshot() as snapshot:
            assert await anext(snapshot)
        assert len(client.subscriptions) == before
        with pytest.raises(StopAsyncIteration):
            await anext(snapshot)
        await client.jetstream().delete_stream(name)
        with pytest.raises(StreamNotFoundError):
            await stream.snapshot()
        assert len(client.subscriptions) == before


class TestServersThatMisbehave:
    @staticmethod
    async def begin(server: Client, name: str, *chunks: tuple[bytes, dict[str, str]]) -> None:
        async def respond(request: Msg) -> None:
            inbox = request.data.decode().partition('"deliver_subject":"')[2].partition('"')[0]
            await request.respond(b'{"config":{"name":"S"},"state":{}}')
            for data, headers in chunks:
                await server.publish(inbox, data, "", headers)

        await server.subscribe(f"{name}.STREAM.SNAPSHOT.S", cb=respond)
        await server.flush()

    async def test_silence_is_a_timeout(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as server, await connect(nats_url) as client:
            await self.begin(server, name, (b"chunk", {}))
            stream = stream_at(client, name)
            snapshot = await stream.snapshot(timeout=0.1)
            assert await anext(snapshot) == b"chunk"
            with pytest.raises(TimeoutError):
                await anext(snapshot)
            with pytest.raises(StopAsyncIteration):
                await anext(snapshot)

    async def test_a_restore_that_nobody_takes(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as server, await connect(nats_url) as client:
            answer = b'{"deliver_subject":"nobody.' + name.encode() + b'"}'

            async def respond(request: Msg) -> None:
                await request.respond(answer)

            await server.subscribe(f"{name}.STREAM.RESTORE.S", cb=respond)
            await server.flush()
            stream = stream_at(client, name)
            info = stream.cached_info
            with pytest.raises(SnapshotError, match="gave up the restore"):
                await client.jetstream(prefix=name).restore_stream(info.config, info.state, [b"chunk"])


def stream_at(client: Client, prefix: str) -> Stream:
    return Stream(client.jetstream(prefix=prefix).api, StreamInfo(config=StreamConfig(name="S")))


async def test_a_server_that_hears_nothing_breaks_it_off(nats_url: str, name: str) -> None:
    """The server waits for our word that a chunk was taken; so a reader that is too slow is told."""
    async with await connect(nats_url) as client:
        js = client.jetstream(timeout=20.0)
        stream = await js.create_stream(name=name, subjects=[f"{name}.>"])
        for number in range(30):
            await client.request(f"{name}.{number}", os.urandom(900_000), 10.0)
        async with await stream.snapshot() as snapshot:

            async def read_silently() -> None:
                async for _ in snapshot:
                    snapshot._ack = ""

            with pytest.raises(SnapshotError, match="408 No Flow Response"):
                await read_silently()
        await js.delete_stream(name)
