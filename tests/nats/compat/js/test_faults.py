"""What programs of JetStream see when the connection is lost; on the double only, nats-py loses messages."""

from __future__ import annotations

import asyncio

import pytest
from tests.proxy import Proxy

import tidings.nats.compat as nats
from tidings.nats.compat.js import errors

LIMIT = 20.0  # seconds


async def test_reading_goes_on_where_the_connection_was_lost(nats_url: str, name: str) -> None:
    async with Proxy(nats_url) as proxy:
        nc = await nats.connect(proxy.url, reconnect_time_wait=0.01)
        js = nc.jetstream(timeout=LIMIT)
        await js.add_stream(name=name, subjects=[name])
        kv = await js.create_key_value(bucket=name)
        push = await js.subscribe(name, durable="push")
        ordered = await js.subscribe(name, ordered_consumer=True)
        pull = await js.pull_subscribe(name, "pull")
        watcher = await kv.watchall()
        assert await watcher.updates(timeout=LIMIT) is None

        waiting = asyncio.create_task(pull.fetch(1, timeout=LIMIT))
        lost = [await js.publish_async(f"{name}-nobody", b"") for _ in range(2)]
        proxy.cut()
        for future in lost:
            with pytest.raises(nats.errors.TimeoutError):
                await future
        await js.publish(name, b"1", timeout=LIMIT)  # held until there is a server again
        await kv.put("a", b"1")
        async with asyncio.timeout(LIMIT):
            [fetched] = await waiting
            msgs = [fetched, await push.next_msg(timeout=LIMIT), await ordered.next_msg(timeout=LIMIT)]
            entry = await watcher.updates(timeout=LIMIT)
        assert [msg.data for msg in msgs] == [b"1"] * 3
        assert entry is not None
        assert entry.key == "a"
        await watcher.stop()
        await ordered.unsubscribe()
        await js.delete_key_value(name)
        await js.delete_stream(name)
        await nc.close()


async def test_without_a_server_a_fetch_times_out(nats_url: str, name: str) -> None:
    async with Proxy(nats_url) as proxy:
        nc = await nats.connect(proxy.url, reconnect_time_wait=0.01)
        js = nc.jetstream(timeout=LIMIT)
        await js.add_stream(name=name, subjects=[name])
        pull = await js.pull_subscribe(name, "pull")
        async with proxy.away():
            for batch in (1, 5):
                with pytest.raises(nats.errors.TimeoutError):
                    await pull.fetch(batch, timeout=0.2)
        await js.publish(name, b"1", timeout=LIMIT)
        assert [msg.data for msg in await pull.fetch(5, timeout=LIMIT)] == [b"1"]
        await js.delete_stream(name)
        await nc.close()


async def test_what_waits_ends_with_the_client(nats_url: str, name: str) -> None:
    nc = await nats.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    pull = await js.pull_subscribe(name, "pull")
    push = await js.subscribe(name, durable="push")
    ordered = await js.subscribe(name, ordered_consumer=True)
    watcher = await (await js.create_key_value(bucket=name)).watchall()
    await watcher.updates(timeout=LIMIT)
    waiting = [
        asyncio.create_task(each)
        for each in (
            pull.fetch(1, timeout=LIMIT),
            push.next_msg(timeout=LIMIT),
            ordered.next_msg(timeout=LIMIT),
            watcher.updates(timeout=LIMIT),
        )
    ]
    await js.delete_key_value(name)
    await js.delete_stream(name)
    await nc.close()
    async with asyncio.timeout(LIMIT):
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, nats.errors.Error) for each in found), found


async def test_a_stream_that_goes_ends_a_fetch(nats_url: str, name: str) -> None:
    nc = await nats.connect(nats_url)
    js = nc.jetstream(timeout=LIMIT)
    await js.add_stream(name=name, subjects=[name])
    pull = await js.pull_subscribe(name, "pull")
    waiting = asyncio.create_task(pull.fetch(1, timeout=LIMIT))
    await asyncio.sleep(0)
    await nc.flush()
    await js.delete_stream(name)
    async with asyncio.timeout(LIMIT):
        with pytest.raises(nats.errors.TimeoutError):
            await waiting
        with pytest.raises(errors.ServiceUnavailableError):
            await pull.fetch(1)
    await nc.close()
