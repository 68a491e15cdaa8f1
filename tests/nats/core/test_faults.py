"""Servers and networks that fail: no call hangs, nothing is lost in silence, everything is back."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import INFO, Peer, Side, Welcoming
from tests.proxy import Proxy

from tidings.nats import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    FlushTimeoutError,
    NoServersError,
    ProtocolError,
    StaleConnectionError,
    TimeoutError,
    connect,
)
from tidings.nats.server import NatsServer

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.005,
    "reconnect_jitter": 0.001,
    "max_reconnect_wait": 0.05,
    "max_reconnect_attempts": -1,
}


class TestServersThatDie:
    async def test_killed_and_restarted_under_load(self, nats_server: NatsServer) -> None:
        """A window of publishes either was confirmed by a flush and arrived, or its flush raised."""
        lost, back, got = Gathered(), Gathered(), Gathered()
        client = await connect(nats_server.url, disconnected_cb=lost, reconnected_cb=back, **QUICK)
        await client.subscribe("load", cb=got)
        sent, confirmed, doubtful = 0, set[int](), set[int]()
        going = True

        async def produce() -> None:
            nonlocal sent
            while going:
                window = range(sent, sent + 50)
                for number in window:
                    await client.publish("load", str(number))
                sent += 50
                try:
                    await client.flush(5)
                    confirmed.update(window)
                except (ConnectionClosedError, ConnectionReconnectingError, FlushTimeoutError):
                    doubtful.update(window)
                await asyncio.sleep(0.001)

        producing = asyncio.create_task(produce())
        for round_ in range(1, 4):
            await got.reach(len(got) + 500)
            nats_server.kill()
            await lost.reach(round_)
            assert not client.is_connected
            nats_server.restart()
            await back.reach(round_)
        await got.reach(len(got) + 500)
        going = False
        await producing
        await client.drain(10)
        arrived = [int(data) for data in got.data]
        assert len(arrived) == len(set(arrived)), "nothing comes twice"
        # The server confirms with the PONG; what it had to deliver went down before that, on one connection.
        assert confirmed <= set(arrived)
        assert set(range(sent)) == confirmed | doubtful

    async def test_the_connected_node_of_three(self) -> None:
        back, got, doubled = Gathered(), Gathered(), Gathered()
        with NatsServer.cluster(3) as cluster:
            client = await connect(cluster.urls, reconnected_cb=back, **QUICK)
            other = await connect(cluster.urls[1], **QUICK)
            await client.subscribe("three.*", cb=got)
            await client.subscribe("three.*", "group", cb=doubled)
            await client.flush()
            connected = next(
                server
                for server in cluster.servers
                if client.connected_url == f"nats://127.0.0.1:{server.port}"
            )
            connected.kill()
            await back.reach()
            assert client.is_connected
            assert client.connected_url != f"nats://127.0.0.1:{connected.port}"
            await client.flush()
            for number in range(10):
                await client.publish("three.a", str(number))
            await got.reach(10)
            await doubled.reach(10)
            assert len(got) == len(doubled) == 10
            await client.drain(10)
            await other.close()


class TestSilence:
    async def test_a_half_open_connection_is_found_by_pings(self, nats_url: str) -> None:
        """Nothing arrives, and no FIN either: the socket stays open until we leave it."""
        lost, got = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(nats_url) as dead, Proxy(nats_url) as alive:
            client = await connect(
                [dead.url, alive.url],
                no_randomize=True,
                ping_interval=0.05,
                max_outstanding_pings=2,
                connect_timeout=0.3,
                disconnected_cb=lost,
                **QUICK,
            )
            await client.subscribe("half", cb=got)
            await client.flush()
            with dead.deaf():
                await lost.reach()
                assert isinstance(client.last_error, StaleConnectionError)
                await client.publish("half", b"1")
                await eventually(lambda: client.is_connected)
                assert client.connected_url == f"nats://127.0.0.1:{alive.port}"
                await got.reach()
                await client.close()

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
            client = await connect([mute.url], connect_timeout=0.1, **QUICK)
            client.set_server_pool([mute.url])
            mute.sides[0].cut()
            await eventually(lambda: len(mute.sides) > 2)
            assert client.is_reconnecting
            client.set_server_pool([good.url])
            await eventually(lambda: client.is_connected)
            await client.close()

    async def test_info_of_40_kib_on_the_way(self) -> None:
        urls = [f"10.0.{n // 250}.{n % 250}:4222" for n in range(2500)]
        found = Gathered()

        async def grow(side: Side) -> None:
            import json

            await side.send(b"INFO " + json.dumps(INFO | {"connect_urls": urls}).encode() + b"\r\n")

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

    async def test_a_name_that_resolves_no_more(self) -> None:
        closed = Gathered()
        async with leaves_nothing(), Peer(Welcoming()) as peer:
            client = await connect(peer.url, closed_cb=closed, **(QUICK | {"max_reconnect_attempts": 2}))
            client.set_server_pool(["nats://nowhere.invalid:4222"])
            peer.sides[0].cut()
            await closed.reach()
            assert isinstance(client.last_error, NoServersError)
            assert isinstance(client.last_error.__cause__, OSError)


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
        objects = len(gc.get_objects())
        await cycle(900)
        gc.collect()
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= files)
        assert len(gc.get_objects()) - objects < 900, "less than an object a reconnect"
        await client.publish("still.here", b"1")
        assert (await sub.next_msg(5)).data == b"1"
        await client.close()


def greeted(then: Any) -> Any:
    async def script(side: Side) -> None:
        await side.greet()
        await then(side)

    return script
