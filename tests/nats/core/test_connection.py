"""The connection as its user sees it: status, flush, and the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, deliver, eventually, leaves_nothing
from tests.peers import Deaf, Peer
from tests.proxy import Proxy

from tidings.nats import (
    ConnectionClosedError,
    ConnectionError,
    FlushTimeoutError,
    Msg,
    TimeoutError,
    connect,
)


class TestStatus:
    async def test_of_an_open_client(self, nats_url: str) -> None:
        client = await connect(nats_url)
        address = f"nats://127.0.0.1:{nats_url.rpartition(':')[2]}"
        assert client.connected_url == address
        assert repr(client) == f"<Client connected to {address}>"
        assert client.last_error is None
        assert (client.is_connected, client.is_reconnecting, client.is_draining, client.is_closed) == (
            True,
            False,
            False,
            False,
        )
        await client.close()

    async def test_of_a_closed_one(self, nats_url: str) -> None:
        client = await connect(nats_url)
        await client.close()
        assert client.connected_url is None
        assert repr(client) == "<Client closed>"
        assert (client.is_connected, client.is_reconnecting, client.is_draining, client.is_closed) == (
            False,
            False,
            False,
            True,
        )

    async def test_of_one_that_is_away(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                assert repr(client) == "<Client reconnecting>"
                assert not client.is_connected
                await client.close()


class TestFlush:
    async def test_the_server_has_seen_what_was_published(self, nats_url: str) -> None:
        async with await connect(nats_url) as one, await connect(nats_url) as other:
            sub = await other.subscribe("flush")
            await other.flush()
            for _ in range(100):
                await one.publish("flush")
            await one.flush()
            await other.flush()
            assert sub.received == 100

    async def test_several_at_once(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            await asyncio.gather(*(client.flush() for _ in range(100)))

    async def test_rtt(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            assert 0 < await client.rtt() < 10

    async def test_a_server_that_does_not_answer(self) -> None:
        async with leaves_nothing(), Peer(Deaf()) as peer:
            client = await connect(peer.url)
            for move in (client.flush, client.rtt):
                with pytest.raises(FlushTimeoutError, match=r"confirm a flush within 0\.01 s") as caught:
                    await move(0.01)
                assert isinstance(caught.value, TimeoutError)
                assert peer.url in str(caught.value)
            await client.close()

    async def test_cancelling_it(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url)
            with proxy.deaf():
                flushing = asyncio.create_task(client.flush())
                await eventually(lambda: client._link is not None and client._link._pongs)
                flushing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await flushing
            await client.flush()
            await client.close()

    async def test_on_a_closed_client(self, nats_url: str) -> None:
        client = await connect(nats_url)
        await client.close()
        for move in (client.flush, client.rtt, client.drain):
            with pytest.raises(ConnectionClosedError, match=r"make a new one with connect\(\)") as caught:
                await move()
            assert isinstance(caught.value, ConnectionError)


class TestClose:
    async def test_it_may_be_repeated(self, nats_url: str) -> None:
        closed = Gathered()
        async with leaves_nothing():
            client = await connect(nats_url, closed_cb=closed)
            await client.close()
            await client.close()
            await asyncio.gather(client.close(), client.close())
        assert len(closed) == 1

    async def test_it_wakes_everybody(self, nats_url: str) -> None:
        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(proxy.url)
            read, iterated = await client.subscribe("a"), await client.subscribe("b")
            await client.subscribe("silence")
            await client.flush()
            with proxy.deaf():

                async def iterate() -> list[Msg]:
                    return [message async for message in iterated]

                iterating = asyncio.create_task(iterate())
                failing = [
                    asyncio.create_task(waiting)
                    for waiting in (
                        read.next_msg(None),
                        read.next_msg(30),
                        client.request("silence", timeout=None),
                        client.request("silence", timeout=30),
                        client.flush(30),
                        client.rtt(30),
                    )
                ]
                await eventually(lambda: client._link is not None and len(client._link._pongs) == 2)
                await client.close()
                assert await iterating == []
                for task in failing:
                    with pytest.raises(ConnectionClosedError):
                        await task

    @pytest.mark.parametrize("kind", ["plain", "async"])
    async def test_from_a_callback(self, nats_url: str, kind: str) -> None:
        handled, closed = Gathered(), Gathered()
        async with leaves_nothing():
            client = await connect(nats_url, closed_cb=closed)

            async def handle(message: Msg) -> None:
                handled(message)
                await client.close()
                assert client.is_closed

            await client.subscribe("close", cb=handle if kind == "async" else lambda message: handle(message))
            for _ in range(5):
                await client.publish("close")
            await closed.reach()
            await eventually(lambda: client._closed.done())
        assert len(handled) == 1, "what was delivered and not handled is dropped"

    async def test_from_the_error_callback(self, nats_url: str) -> None:
        closed = Gathered()

        def fail(message: Msg) -> None:
            raise LookupError

        async with leaves_nothing():

            async def end(error: Exception) -> None:
                await client.close()

            client = await connect(nats_url, error_cb=end, closed_cb=closed)
            await client.subscribe("close", cb=fail)
            await client.publish("close")
            await closed.reach()
            await eventually(lambda: client._closed.done())

    async def test_running_callbacks_are_cancelled(self, nats_url: str) -> None:
        started, cancelled = Gathered(), Gathered()

        async def hang(message: Msg) -> None:
            started(message)
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled(message)
                raise

        async with leaves_nothing():
            client = await connect(nats_url)
            for _ in range(3):
                await client.subscribe("hang", cb=hang)
            await client.publish("hang")
            await started.reach(3)
            await client.close()
            assert len(cancelled) == 3

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_callback_that_has_not_begun_never_does(self, nats_url: str, is_async: bool) -> None:
        handled = Gathered()

        async def handle(message: Msg) -> None:
            handled(message)

        async with leaves_nothing():
            client = await connect(nats_url)
            sub = await client.subscribe("begin", cb=handle if is_async else handled)
            deliver(sub, "message")
            assert (sub.worker is not None) == is_async  # a plain function needs no task
            await client.close()
        assert not handled

    async def test_what_callbacks_do_at_the_end_is_refused(self, nats_url: str) -> None:
        started, refused = Gathered(), Gathered()
        async with leaves_nothing():
            client = await connect(nats_url)

            async def clean_up(message: Msg) -> None:
                started(message)
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    for late in (client.publish("late"), client.request("late"), client.subscribe("late")):
                        try:
                            await late
                        except ConnectionClosedError as error:
                            refused(error)

            await client.subscribe("end", cb=clean_up)
            await client.publish("end")
            await started.reach()
            await client.close()
        assert len(refused) == 3

    async def test_cancelling_it_releases_everything_nevertheless(self) -> None:
        closed = Gathered()
        async with leaves_nothing(), Peer(Deaf()) as peer:
            client = await connect(peer.url, closed_cb=closed, error_cb=Gathered())
            sub = await client.subscribe("a")

            async def publish() -> None:
                while True:
                    await client.publish("fill", bytes(60_000))

            publishing: asyncio.Task[Any] = asyncio.create_task(publish())
            reading = asyncio.create_task(sub.next_msg(None))
            await eventually(lambda: client._link is not None and client._link.paused)
            closing = asyncio.create_task(client.close())
            await eventually(lambda: client.is_closed)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert len(closed) == 1
            for task in (publishing, reading):
                with pytest.raises(ConnectionClosedError):
                    await task

    async def test_many_clients_come_and_go(self, nats_url: str) -> None:
        async with leaves_nothing():
            for _ in range(50):
                client = await connect(nats_url)
                await client.subscribe("a", cb=lambda message: None)
                await client.publish("a")
                await client.close()
