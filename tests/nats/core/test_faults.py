"""Servers and networks that fail: no call hangs, nothing is lost in silence, everything is back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from tests.nats.core.gathering import Gathered, Ticks, eventually, leaves_nothing
from tests.nats.core.witness import QUICK, witnessing
from tests.peers import Peer, Side, Silent, Welcoming, info_line
from tests.proxy import Proxy

from tidings.nats import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    FlushTimeoutError,
    NoServersError,
    ProtocolError,
    ServerError,
    StaleConnectionError,
    TimeoutError,
    connect,
)
from tidings.nats.server import NatsServer

# Servers that a cluster of 2,500 names in its INFO, which is over 40 KiB then.
MANY = [f"10.0.{n // 250}.{n % 250}:4222" for n in range(2500)]


class TestServersThatDie:
    async def test_killed_and_restarted_under_load(self, nats_server: NatsServer) -> None:
        """A window of publishes either was confirmed by a flush and arrived, or its flush raised."""
        async with witnessing(nats_server.url) as witness:
            for round_ in range(1, 4):
                await witness.goes_on()
                nats_server.kill()
                await witness.lost.reach(round_)
                await witness.calls_end()
                if round_ == 1:
                    await witness.hold(20)
                nats_server.restart()
                await witness.back.reach(round_)
                await witness.is_whole()
            await witness.held_arrive(20)

    @pytest.mark.parametrize("end", ["drain", "close"])
    async def test_ending_while_it_is_gone(self, nats_server: NatsServer, end: str) -> None:
        """In time, and what was held for the server is reported as lost."""
        lost, errors = Gathered(), Gathered()
        async with leaves_nothing():
            client = await connect(nats_server.url, disconnected_cb=lost, error_cb=errors, **QUICK)
            await client.subscribe("a", cb=lambda message: None)
            nats_server.kill()
            await lost.reach()
            await client.publish("a", b"held")
            async with asyncio.timeout(10):
                if end == "drain":
                    with pytest.raises(DrainTimeoutError, match="15 bytes that were published are not sent"):
                        await client.drain(0.5)
                await client.close()
            assert client.is_closed
            assert [error for error in errors if "could not be sent before close" in str(error)]


class TestSilence:
    async def test_a_half_open_connection_is_found_by_pings(self, nats_url: str) -> None:
        """Nothing arrives, and no FIN either: the socket stays open until we leave it."""
        lost, got = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(nats_url) as dead, Proxy(nats_url) as alive:
            ticks = Ticks()
            client = await connect(
                [dead.url, alive.url],
                no_randomize=True,
                ping_interval=ticks.interval,
                max_outstanding_pings=2,
                connect_timeout=1.0,
                disconnected_cb=lost,
                **QUICK,
            )
            await client.subscribe("half", cb=got)
            await client.flush()
            with dead.deaf():
                for _ in range(3):
                    ticks.tick()
                await lost.reach()
                assert isinstance(client.last_error, StaleConnectionError)
                await client.publish("half", b"1")
                await eventually(lambda: client.is_connected)
                assert client.connected_url == f"nats://127.0.0.1:{alive.port}"
                await got.reach()
                await client.close()

    @pytest.mark.parametrize("direction", ["up", "down"])
    async def test_in_one_direction(self, nats_url: str, direction: Literal["up", "down"]) -> None:
        """It is left, and the way back is found when the silence ends."""
        async with Proxy(nats_url) as proxy:
            ticks = Ticks()
            options = {"ping_interval": ticks.interval, "connect_timeout": 0.5}
            async with witnessing(proxy.url, is_alone=False, **options) as witness:
                with proxy.deaf(direction):
                    for _ in range(3):
                        ticks.tick()
                    await witness.lost.reach()
                    assert isinstance(witness.client.last_error, StaleConnectionError | TimeoutError)
                    await witness.calls_end()
                    await witness.hold(5)
                await witness.held_arrive(5)

    async def test_calls_end_in_time_meanwhile(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **QUICK)
            sub = await client.subscribe("quiet")
            await client.flush()
            with proxy.deaf():
                assert client.is_connected  # as far as anybody can know
                with pytest.raises(FlushTimeoutError):
                    await client.flush(0.05)
                with pytest.raises(TimeoutError):
                    await client.request("quiet", timeout=0.05)
                with pytest.raises(TimeoutError):
                    await sub.next_msg(timeout=0.05)
                with pytest.raises(DrainTimeoutError):
                    await client.drain(0.1)
                assert client.is_closed

    async def test_late_is_not_lost(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **QUICK)
            sub = await client.subscribe("late")
            with proxy.delayed(0.1):
                await client.publish("late", b"1")
                assert (await sub.next_msg(timeout=10)).data == b"1"
            await client.drain(10)


class TestServersThatMisbehave:
    async def test_info_and_nothing_more_while_coming_back(self) -> None:
        """It holds us up for `connect_timeout`, and then the next one is tried."""

        async def info_only(side: Side) -> None:
            await side.send(b'INFO {"server_id": "X"}\r\n')
            await side.ended()

        async with leaves_nothing(), Peer(Welcoming(), info_only) as mute, Peer(Welcoming()) as good:
            client = await connect([mute.url], connect_timeout=0.5, **QUICK)
            mute.sides[0].cut()
            await eventually(lambda: len(mute.sides) > 2)
            assert (client.is_connected, client.is_reconnecting) == (False, True)
            await eventually(lambda: isinstance(client.last_error, TimeoutError))
            assert f"{mute.url} did not answer within 0.5 s" in str(client.last_error)
            with pytest.raises(ConnectionReconnectingError):
                await client.flush()
            client.set_server_pool([good.url])
            await eventually(lambda: client.is_connected)
            await client.close()

    async def test_info_and_nothing_more_at_the_start(self) -> None:
        async with leaves_nothing(), Peer(Silent(info_line())) as mute, Peer(Welcoming()) as good:
            with pytest.raises(NoServersError) as caught:
                await connect(mute.url, connect_timeout=0.1)
            assert isinstance(caught.value.__cause__, TimeoutError)
            client = await connect([mute.url, good.url], no_randomize=True, connect_timeout=0.5)
            assert client.connected_url == good.url
            await client.close()

    @pytest.mark.parametrize("end", ["drain", "close"])
    async def test_info_and_nothing_more_while_it_ends(self, end: str) -> None:
        async with leaves_nothing(), Peer(Welcoming(), Silent(info_line())) as mute:
            client = await connect(mute.url, connect_timeout=60, **QUICK)
            await client.subscribe("a", cb=lambda message: None)
            mute.sides[0].cut()
            await eventually(lambda: len(mute.sides) > 1)
            async with asyncio.timeout(10):
                await (client.drain(5) if end == "drain" else client.close())
            assert client.is_closed

    async def test_info_of_40_kib_at_the_start(self) -> None:
        async with Peer(Welcoming(connect_urls=MANY)) as peer:
            assert len(info_line(connect_urls=MANY)) > 40 * 1024
            client = await connect(peer.url)
            assert len(client.server_pool) == 2501
            await client.flush()
            await client.close()

    async def test_info_of_40_kib_on_the_way(self) -> None:
        found = Gathered()

        async def grow(side: Side) -> None:
            await side.send(info_line(connect_urls=MANY))

        async with Peer(Welcoming(grow)) as peer:
            client = await connect(peer.url, discovered_server_cb=found)
            await found.reach()
            assert len(client.server_pool) == 2501
            await client.flush()
            await client.close()

    @pytest.mark.parametrize(
        "torn", [b"MSG a 1 100\r\nonly so much", b"MSG a 1 1", b"HMSG a 1 12 20\r\nNATS/1.0\r\n"]
    )
    async def test_closes_in_the_middle_of_a_message(self, torn: bytes) -> None:
        """The whole ones are delivered, the torn one is not, and the next link starts clean."""

        async def tear(side: Side) -> None:
            await side.expect(b"SUB a 1")
            await side.send(b"MSG a 1 5\r\nwhole\r\n" + torn)
            side.writer.close()

        async def again(side: Side) -> None:
            await side.expect(b"SUB a 1")
            await side.send(b"MSG a 1 5\r\nagain\r\n")

        async with leaves_nothing(), Peer(greeted(tear), Welcoming(again)) as peer:
            client = await connect(peer.url, **QUICK)
            sub = await client.subscribe("a")
            assert [(await sub.next_msg(5)).data for _ in range(2)] == [b"whole", b"again"]
            await client.close()

    async def test_a_payload_over_its_own_limit_arrives_all_the_same(self) -> None:
        """Its limit is for us; what it sends is bounded by the parser."""

        async def big(side: Side) -> None:
            await side.expect(b"SUB a 1")
            await side.send(b"MSG a 1 5000\r\n" + bytes(5000) + b"\r\n")

        async with Peer(Welcoming(big, max_payload=100)) as peer:
            client = await connect(peer.url)
            sub = await client.subscribe("a")
            assert len((await sub.next_msg(5)).data) == 5000
            await client.close()

    async def test_a_length_nobody_can_hold_ends_the_link(self) -> None:
        async def absurd(side: Side) -> None:
            await side.expect(b"SUB a 1")
            await side.send(b"MSG a 1 99999999999\r\n")

        back = Gathered()
        async with leaves_nothing(), Peer(Welcoming(absurd), Welcoming()) as peer:
            client = await connect(peer.url, reconnected_cb=back, **QUICK)
            await client.subscribe("a")
            await back.reach()
            assert isinstance(client.last_error, ProtocolError)
            await client.close()


class TestNames:
    """The lookup fails, or hangs, as it does where the name server is out of reach."""

    async def test_one_that_never_resolved(self) -> None:
        async with leaves_nothing():
            with pytest.raises(NoServersError, match=r"nowhere\.invalid") as caught:
                await connect("nats://nowhere.invalid:4222")
            assert isinstance(caught.value.__cause__, socket.gaierror)

    async def test_one_that_resolves_no_more(self) -> None:
        closed = Gathered()
        async with leaves_nothing(), Peer(Welcoming()) as peer:
            client = await connect(peer.url, closed_cb=closed, **(QUICK | {"max_reconnect_attempts": 2}))
            client.set_server_pool(["nats://nowhere.invalid:4222"])
            peer.sides[0].cut()
            await closed.reach()
            assert isinstance(client.last_error, NoServersError)
            assert isinstance(client.last_error.__cause__, OSError)

    async def test_one_that_resolves_again(self, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        lookup = Lookup(monkeypatch)
        async with Proxy(nats_url) as proxy:
            url = proxy.url.replace("127.0.0.1", "nats.example")
            async with witnessing(url, is_alone=False) as witness:
                lookup.works = False
                proxy.cut()
                await eventually(lambda: isinstance(witness.client.last_error, socket.gaierror))
                await witness.calls_end()
                await witness.hold(5)
                lookup.works = True
                await witness.back.reach()
                await witness.held_arrive(5)

    @pytest.mark.parametrize("end", ["drain", "close", "timeout"])
    async def test_a_lookup_that_hangs(self, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
        """The thread in which it hangs is the system's business; no call waits for it."""
        lookup = Lookup(monkeypatch)
        with lookup.hanging():
            if end == "timeout":
                with pytest.raises(NoServersError) as caught:
                    await connect("nats://nats.example", connect_timeout=0.05)
                assert isinstance(caught.value.__cause__, TimeoutError)
                return
            client = await connect(
                "nats://nats.example", connect_timeout=0.05, retry_on_failed_connect=True, **QUICK
            )
            await client.subscribe("a", cb=lambda message: None)
            async with asyncio.timeout(10):
                await (client.drain(5) if end == "drain" else client.close())
            assert client.is_closed


class TestGarbage:
    """Somebody between slips bytes in."""

    @pytest.mark.parametrize(
        "words", [b"\r\nHELLO\r\n", bytes(64), b"MSG load 1\r\n", b"\xff" * 5000, b"MSG a 1 99999999999\r\n"]
    )
    async def test_from_the_server(self, nats_url: str, words: bytes) -> None:
        """The link is left for a new one, which starts clean."""
        async with Proxy(nats_url) as proxy, witnessing(proxy.url, is_alone=False) as witness:
            proxy.slip_in(words)
            await witness.back.reach()
            assert isinstance(witness.client.last_error, ProtocolError)

    async def test_to_the_server(self, nats_url: str) -> None:
        """The server calls it a fault of ours and ends the connection; so does the client, and says why."""
        async with Proxy(nats_url) as proxy, witnessing(proxy.url, is_alone=False) as witness:
            proxy.slip_in(b"\r\nHELLO\r\n", "up")
            await witness.closed.reach()
            assert not witness.client.is_connected
            assert isinstance(witness.client.last_error, ServerError)
            with pytest.raises(ConnectionClosedError) as caught:
                await witness.client.flush()
            assert caught.value.__cause__ is witness.client.last_error


async def test_a_thousand_reconnects_leave_nothing(nats_url: str) -> None:
    back = Gathered()
    options = QUICK | {"reconnect_delay_cb": lambda attempt: 0.0}
    async with leaves_nothing(), Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnected_cb=back, **options)
        sub = await client.subscribe("still.here")

        async def cycle(count: int) -> None:
            for _ in range(count):
                goal = len(back) + 1
                proxy.cut()
                await back.reach(goal)

        await cycle(100)
        await eventually(lambda: proxy.connections == 1)
        gc.collect()
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
        await cycle(900)
        gc.collect()
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)
        assert len(gc.get_objects()) - objects < 900, "less than an object a reconnect"
        assert sys.getallocatedblocks() - blocks < 900, "nor a block of memory"
        await client.publish("still.here", b"1")
        assert (await sub.next_msg(5)).data == b"1"
        await client.close()


class Lookup:
    """`nats.example` is this machine, while it works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.works = True
        self._go = threading.Event()
        self._go.set()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._find)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        self._go.clear()
        try:
            yield
        finally:
            self._go.set()

    def _find(self, host: str, *args: Any, **named: Any) -> Any:
        self._go.wait(30)
        if not self.works:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real("127.0.0.1" if host == "nats.example" else host, *args, **named)


def greeted(then: Any) -> Any:
    async def script(side: Side) -> None:
        await side.greet()
        await then(side)

    return script
