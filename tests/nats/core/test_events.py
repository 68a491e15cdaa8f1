"""The events of a connection, as several listeners see them."""

from __future__ import annotations

import asyncio
import gc

from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.proxy import Proxy

from tidings.nats import Client, SlowConsumerError, connect, events
from tidings.nats.core.options import Options


async def kinds(stream: events.EventStream) -> list[str]:
    return [type(event).__name__ async for event in stream]


async def test_a_life(nats_url: str) -> None:
    back = Gathered()
    async with Proxy(nats_url) as proxy:
        client = Client(proxy.url, Options(reconnect_time_wait=0.01, reconnected_cb=back))
        listeners = [asyncio.create_task(kinds(client.events())) for _ in range(2)]
        await asyncio.sleep(0)
        await client.open()
        proxy.cut()
        await back.reach()
        await client.close()
        for listener in listeners:
            assert await listener == ["Connected", "Disconnected", "Reconnected", "Closed"]


async def test_attempts_that_fail_are_told(nats_url: str) -> None:
    async with Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnect_time_wait=0.01, reconnect_jitter=0)
        stream = client.events()
        async with proxy.away():
            assert isinstance(await anext(stream), events.Disconnected)
            failed = [await anext(stream) for _ in range(2)]
        for event in failed:
            assert isinstance(event, events.ReconnectFailed)
            assert event.server == f"nats://127.0.0.1:{proxy.port}"
            assert isinstance(event.reason, ConnectionRefusedError)
        await client.close()


async def test_they_say_where_and_why(nats_url: str) -> None:
    async with Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnect_time_wait=0.01)
        stream = client.events()
        proxy.cut()
        lost, back = await anext(stream), await anext(stream)
        assert isinstance(lost, events.Disconnected)
        assert isinstance(lost.reason, Exception)
        assert back == events.Reconnected(f"nats://127.0.0.1:{proxy.port}")
        await client.close()
        (end,) = [event async for event in stream]
        assert end == events.Closed(client.last_error)
        assert "Closed(reason=" in repr(end)


async def test_errors_and_slow_consumers(nats_url: str) -> None:
    async with await connect(nats_url, error_cb=Gathered()) as client:
        stream = client.events()
        sub = await client.subscribe("full", pending_msgs_limit=1)
        for _ in range(3):
            await client.publish("full")
        event = await anext(stream)
        match event:
            case events.SlowConsumer(error):
                assert isinstance(error, SlowConsumerError)
                assert (error.sid, error.dropped) == (sub.sid, 2)
            case _:
                raise AssertionError(event)

        def fail(message: object) -> None:
            raise LookupError("this one")

        await client.subscribe("fail", cb=fail)
        await client.publish("fail")
        event = await anext(stream)
        assert isinstance(event, events.ErrorReported)
        assert isinstance(event.error, LookupError)
        assert client.stats.errors == 2


async def test_a_listener_that_does_not_read_loses_the_oldest(nats_url: str) -> None:
    async with await connect(nats_url, error_cb=Gathered()) as client:
        stream = client.events()
        for i in range(2000):
            client._callbacks.report(LookupError(i))
        first = await anext(stream)
        assert isinstance(first, events.ErrorReported)
        assert first.error.args == (976,)
        assert stream.dropped == 976


async def test_after_the_end(nats_url: str) -> None:
    client = await connect(nats_url)
    await client.close()
    assert await kinds(client.events()) == []


async def test_a_listener_that_left_is_forgotten(nats_url: str) -> None:
    async with leaves_nothing(), await connect(nats_url) as client:

        async def listen() -> None:
            async for _ in client.events():
                pass

        listener = asyncio.create_task(listen())
        await eventually(lambda: len(client._events._streams) == 1)
        listener.cancel()
        await asyncio.wait([listener])
        del listener
        gc.collect()
        assert len(client._events._streams) == 0


def test_events_are_values() -> None:
    assert events.Connected("a") == events.Connected("a")
    assert events.Connected("a") != events.Connected("b")
    assert events.Connected("a") != events.Reconnected("a")
    assert events.ServersDiscovered(("a",)) != events.ServersDiscovered(())
    assert repr(events.LameDuck("nats://a:1")) == "LameDuck(server='nats://a:1')"
