"""Publishing through faults: all that was acknowledged is stored once, and every future ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from tests.proxy import Proxy

from tidings.nats import connect
from tidings.nats.core.events import Disconnected
from tidings.nats.errors import Error
from tidings.nats.jetstream import FastIngest, JetStream, Stream
from tidings.nats.jetstream.errors import (
    BatchAbandonedError,
    BatchCutError,
    BatchGapError,
    JetStreamError,
    NoStreamResponseError,
    UnconfirmedError,
)
from tidings.nats.server import NatsServer

Fault = Callable[[], Awaitable[object] | None]


async def publish_until_stored(
    js: JetStream, subject: str, count: int, faults: Mapping[int, Fault]
) -> tuple[int, int]:
    """Publish `count` numbers, and each again until it is acknowledged; `faults` come after so many sends.

    Returns how often a number was in doubt, and how many of those had been stored.
    """
    left, sent, in_doubt, duplicates = list(range(count)), 0, 0, 0
    running: list[asyncio.Future[object]] = []
    while left:
        futures = []
        for number in left:
            futures.append((number, await js.publish_async(subject, str(number), msg_id=str(number))))
            sent += 1
            if sent in faults and (fault := faults[sent]()) is not None:
                running.append(asyncio.ensure_future(fault))
        await js.publish_async_completed(timeout=50)
        left = []
        for number, future in futures:
            try:
                duplicates += (await future).duplicate
            except (UnconfirmedError, NoStreamResponseError):
                left.append(number)
        in_doubt += len(left)
    await asyncio.gather(*running)
    assert js.publish_async_pending == 0
    return in_doubt, duplicates


async def payloads(stream: Stream, subject: str) -> list[bytes]:
    """What the stream has, read from a replica that has as much as the leader."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Error):  # there may be no leader yet
                found = [message.data async for message in stream.get_batch(batch=100_000, subject=subject)]
                if len(found) >= sum((await stream.info(subjects_filter=subject)).state.subjects.values()):
                    return found


async def stored(stream: Stream) -> Counter[bytes]:
    """How often the stream has each payload."""
    return Counter(await payloads(stream, ">"))


def once_each(count: int) -> Counter[bytes]:
    return Counter({str(number).encode(): 1 for number in range(count)})


async def test_a_client_cut_in_the_middle_of_a_window(nats_url: str, name: str) -> None:
    async with Proxy(nats_url) as proxy, await connect(proxy.url, reconnect_time_wait=0.01) as client:
        js = client.jetstream(publish_async_max_pending=1000)
        stream = await js.create_stream(name=name, subjects=[name], allow_direct=True)
        cuts: dict[int, Fault] = dict.fromkeys((1500, 3100, 5000, 7700, 9999), proxy.cut)
        in_doubt, _ = await publish_until_stored(js, name, 10_000, cuts)
        assert in_doubt > 0
        assert await stored(stream) == once_each(10_000)


async def test_acknowledgements_lost_on_their_way(nats_url: str, name: str) -> None:
    async with Proxy(nats_url) as proxy, await connect(proxy.url, reconnect_time_wait=0.01) as client:
        js = client.jetstream(publish_async_max_pending=200)
        stream = await js.create_stream(name=name, subjects=[name], allow_direct=True)

        async def cut_when_stored() -> None:
            async with await connect(nats_url) as other:
                watching = await other.jetstream().stream(name)
                while (await watching.info()).state.messages < 200:
                    pass
            proxy.cut()

        with proxy.deaf("down"):
            publishing = asyncio.create_task(publish_until_stored(js, name, 500, {200: cut_when_stored}))
            async for event in client.events():
                if isinstance(event, Disconnected):
                    break
        in_doubt, duplicates = await publishing
        assert in_doubt >= 200
        assert duplicates >= 200
        assert await stored(stream) == once_each(500)


async def test_a_server_restarted_in_the_middle_of_a_window(name: str) -> None:
    async with (
        NatsServer() as server,
        await connect(server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1) as client,
    ):
        js = client.jetstream(publish_async_max_pending=500)
        stream = await js.create_stream(name=name, subjects=[name], allow_direct=True)

        async def restart() -> None:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.restart)

        in_doubt, _ = await publish_until_stored(js, name, 2000, {900: restart})
        assert in_doubt > 0
        assert await stored(stream) == once_each(2000)


async def test_batches_through_a_change_of_leader(name: str) -> None:
    missed: list[JetStreamError] = []
    async with (
        NatsServer.cluster(3, durability="fast") as cluster,
        await connect(cluster.urls, reconnect_time_wait=0.05) as client,
    ):
        js = client.jetstream()
        stream = await js.create_stream(
            name=name, subjects=[f"{name}.>"], num_replicas=3, allow_batched=True, allow_direct=True
        )

        async def ingest(batch: FastIngest, subject: str) -> None:
            async with batch:
                for number in range(2000):
                    await batch.add(subject, str(number))
                    if number == 500:
                        await js.api.request(f"STREAM.LEADER.STEPDOWN.{name}")

        with_gaps = js.fast_ingest(gap="ok", on_error=missed.append)
        await ingest(with_gaps, f"{name}.gaps")
        lost = sum(error.last - error.first + 1 for error in missed if isinstance(error, BatchGapError))
        assert len(await payloads(stream, f"{name}.gaps")) + lost == 2000

        whole = js.fast_ingest()
        with contextlib.suppress(UnconfirmedError, BatchCutError, BatchAbandonedError):
            await ingest(whole, f"{name}.whole")
        there = await payloads(stream, f"{name}.whole")
        assert there == [str(number).encode() for number in range(len(there))]
        assert len(there) >= whole.acked > 0


async def test_a_leader_moved_and_a_leader_killed(name: str) -> None:
    async with (
        NatsServer.cluster(3, durability="fast") as cluster,
        await connect(cluster.urls, reconnect_time_wait=0.05, max_reconnect_attempts=-1) as client,
    ):
        js = client.jetstream(publish_async_max_pending=200, publish_async_ack_timeout=2.0)
        stream = await js.create_stream(name=name, subjects=[name], num_replicas=3, allow_direct=True)

        async def move() -> None:
            await js.api.request(f"STREAM.LEADER.STEPDOWN.{name}")

        async def kill() -> None:
            info = await stream.info()
            assert info.cluster is not None
            assert info.cluster.leader is not None
            leader = cluster.servers[int(info.cluster.leader.removeprefix("n")) - 1]
            await asyncio.to_thread(leader.kill)

        await publish_until_stored(js, name, 3000, {500: move, 2000: kill})
        assert await stored(stream) == once_each(3000)
