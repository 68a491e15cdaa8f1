"""Closing, whatever is under way: nobody waits for ever, nothing stays open, nothing is lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Peer, Side, Welcoming
from tests.proxy import Proxy

from tidings.nats import Client, Msg, PossiblyLostError, connect, events
from tidings.nats.core import connection

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.005,
    "reconnect_jitter": 0,
    "max_reconnect_wait": 0.05,
    "max_reconnect_attempts": -1,
}


async def hang(_: object = None) -> None:
    await asyncio.get_running_loop().create_future()


class TestWhileTheServerIsLeft:
    async def test_before_the_leaving_has_begun(self) -> None:
        async with leaves_nothing(), Peer(Welcoming()) as peer, asyncio.timeout(20):
            client = await connect(peer.url, **QUICK)
            leaving = asyncio.create_task(client.force_reconnect())
            await asyncio.sleep(0)
            await client.close()
            await leaving
            await eventually(lambda: peer.sides[0].reader.at_eof())

    @pytest.mark.parametrize("turns", [1, 3])
    async def test_what_it_was_not_seen_to_get_is_told(self, turns: int) -> None:
        async def silent(side: Side) -> None:
            await side.greet()
            await side.ended()

        errors = Gathered()
        async with leaves_nothing(), Peer(silent) as peer, asyncio.timeout(20):
            client = await connect(peer.url, error_cb=errors, **QUICK)
            await client.publish("lost", b"12345")
            leaving = asyncio.create_task(client.force_reconnect())
            for _ in range(turns):
                await asyncio.sleep(0)
            await client.close()
            await leaving
            (error,) = errors
            assert isinstance(error, PossiblyLostError)
            assert (error.messages, error.bytes) == (1, 5)
            assert client.stats.possibly_lost_msgs == 1

    async def test_a_server_that_goes_before_it_is_left_is_counted_once(self) -> None:
        async def silent(side: Side) -> None:
            await side.greet()
            await side.ended()

        errors, back = Gathered(), Gathered()
        async with Peer(silent, Welcoming()) as peer:
            client = await connect(peer.url, error_cb=errors, reconnected_cb=back, **QUICK)
            await client.publish("lost", b"12345")
            link = client._link
            assert link is not None
            leaving = asyncio.create_task(client.force_reconnect())
            await asyncio.sleep(0)
            link.connection_lost(None)  # between the call and its first step
            await leaving
            await back.reach()
            assert [type(error) for error in errors] == [PossiblyLostError]
            await client.close()


class TestFromWithinTheWayBack:
    async def test_by_the_handler_that_chooses_a_server(self, nats_url: str) -> None:
        closed = Gathered()

        async def give_up(servers: object, info: object) -> tuple[None, float]:
            await client.close()
            return None, 0

        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client: Client = await connect(
                proxy.url, reconnect_to_server_handler=give_up, closed_cb=closed, **QUICK
            )
            proxy.cut()
            await closed.reach()
            await eventually(lambda: client._closed.done())
            assert client.is_closed
            assert not client.is_connected

    async def test_while_there_is_no_server(self) -> None:
        closed, tried = Gathered(), Gathered()

        async def give_up(servers: object, info: object) -> tuple[None, float]:
            tried(servers)
            if len(tried) == 2:
                await client.close()
            return None, 0

        async with leaves_nothing():
            async with Peer(Welcoming()) as peer:
                client: Client = await connect(
                    peer.url, reconnect_to_server_handler=give_up, closed_cb=closed, **QUICK
                )
            await closed.reach()
            await eventually(lambda: client._closed.done())
            await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        assert len(tried) == 2

    async def test_by_who_gives_the_credentials(self, nats_url: str) -> None:
        closed, asked = Gathered(), Gathered()

        async def token() -> str:
            asked(None)
            if len(asked) > 1:
                await client.close()
            return token_of_the_url

        token_of_the_url = nats_url.partition("//")[2].partition("@")[0]
        async with leaves_nothing(), Proxy(nats_url) as proxy:
            url = f"nats://127.0.0.1:{proxy.port}"
            client: Client = await connect(url, token=token, closed_cb=closed, **QUICK)
            proxy.cut()
            await closed.reach()
            await eventually(lambda: client._closed.done())
            assert not client.is_connected

    async def test_by_one_who_does_not_take_the_cancellation(self, nats_url: str) -> None:
        """A function of the user's that swallows it brings no closed client back."""
        asked = asyncio.Event()

        async def stubborn(servers: object, info: object) -> tuple[None, float]:
            asked.set()
            with contextlib.suppress(asyncio.CancelledError):
                await hang()
            return None, 0

        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(proxy.url, reconnect_to_server_handler=stubborn, **QUICK)
            proxy.cut()
            await asked.wait()
            await client.close()
            await eventually(lambda: proxy.connections == 0)
            assert not client.is_connected


class TestCancelled:
    async def test_who_listens_to_events_hears_the_end(self, nats_url: str) -> None:
        hanging = asyncio.Event()

        async def late() -> None:
            hanging.set()
            await hang()

        async with leaves_nothing(), asyncio.timeout(20):
            client = await connect(nats_url, closed_cb=late)
            heard = asyncio.create_task(_all(client.events()))
            closing = asyncio.create_task(client.close())
            await hanging.wait()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert isinstance((await heard)[-1], events.Closed)
            await client.close()


async def _all(stream: events.EventStream) -> list[events.ConnectionEvent]:
    return [event async for event in stream]


class TestByTwo:
    @pytest.fixture(autouse=True)
    def _who_waits_in_vain_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "_CLOSE_PATIENCE", 3600.0)

    async def test_the_second_waits_for_the_end_too(self, nats_url: str) -> None:
        """Or the program might end before all was written."""
        begun, ending = asyncio.Event(), asyncio.Event()

        async def late() -> None:
            begun.set()
            await ending.wait()

        async with leaves_nothing(), asyncio.timeout(20):
            client = await connect(nats_url, closed_cb=late)
            first = asyncio.create_task(client.close())
            await begun.wait()
            second = asyncio.create_task(client.close())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not second.done()
            ending.set()
            await asyncio.gather(first, second)

    @pytest.mark.parametrize("end", ["drain", "close"])
    async def test_callbacks_do_not_wait_for_each_other(self, nats_url: str, end: str) -> None:
        async def stop(_: Msg) -> None:
            if not client.is_closed:
                await getattr(client, end)()

        async with leaves_nothing(), asyncio.timeout(20):
            client = await connect(nats_url)
            for _ in range(3):
                await client.subscribe("stop", cb=stop)
            await client.flush()
            await client.publish("stop")
            await client._closed

    async def test_a_callback_of_the_end_may_close(self, nats_url: str) -> None:
        async def again() -> None:
            await client.close()

        async with leaves_nothing(), asyncio.timeout(20):
            client = await connect(nats_url, closed_cb=again)
            await client.close()
