"""WebSocket on a network that fails, and in a cluster whose servers come and go."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Garbage, Peer
from tests.proxy import Proxy
from tests.websocket import BINARY, BLOCK, PING, TEXT, frame, ws_url

from tidings.nats import (
    Client,
    FlushTimeoutError,
    NoServersError,
    ProtocolError,
    StaleConnectionError,
    TLSOptions,
    WebSocketError,
    connect,
)
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.01,
    "reconnect_jitter": 0.001,
    "max_reconnect_wait": 0.05,
    "max_reconnect_attempts": -1,
}
# The server names its own address, which would lead past the proxy.
ONLY: dict[str, Any] = {**QUICK, "ignore_discovered_servers": True}


@pytest.fixture(scope="module")
def url() -> Any:
    with NatsServer(jetstream=False, config=BLOCK) as server:
        yield ws_url(server)


def bare(url: str) -> str:
    """The URL without credentials, as `connected_url` has it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


async def comes_through(client: Client, got: Gathered) -> None:
    count = len(got)
    await client.publish("a", b"x")
    await got.reach(count + 1)


class TestTheNetwork:
    async def test_cut_and_back(self, url: str) -> None:
        got, away, back = Gathered(), Gathered(), Gathered()
        async with leaves_nothing(), Proxy(url) as proxy:
            client = await connect(proxy.url, disconnected_cb=away, reconnected_cb=back, **ONLY)
            await client.subscribe("a", cb=got)
            for round_ in range(1, 6):
                proxy.cut()
                await away.reach(round_)
                await client.publish("a", b"while away")
                await back.reach(round_)
                await got.reach(2 * round_ - 1)
                await comes_through(client, got)
            await client.close()

    async def test_away_for_a_while(self, url: str) -> None:
        got, back = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(url) as proxy:
            client = await connect(proxy.url, reconnected_cb=back, **ONLY)
            await client.subscribe("a", cb=got)
            await client.flush()
            async with proxy.away():
                await eventually(lambda: not client.is_connected)
                await client.publish("a", b"while away")
            await back.reach()
            await got.reach()
            await client.close()

    async def test_deaf(self, url: str) -> None:
        """No call hangs, and pings find the half-open connection."""
        away = Gathered()
        async with leaves_nothing(), Proxy(url) as dead, Proxy(url) as alive:
            client = await connect(
                [dead.url, alive.url],
                no_randomize=True,
                ping_interval=0.1,
                connect_timeout=1.0,
                disconnected_cb=lambda: away(client.last_error),
                **ONLY,
            )
            with dead.deaf():
                with pytest.raises(FlushTimeoutError):
                    await client.flush(0.05)
                await away.reach()
                assert isinstance(away[0], StaleConnectionError)
                await eventually(lambda: client.connected_url == bare(alive.url))
                await client.flush()
                await client.close()

    async def test_deaf_while_closing(self, url: str) -> None:
        async with leaves_nothing(), Proxy(url) as proxy:
            client = await connect(proxy.url, **ONLY)
            with proxy.deaf():
                await client.publish("a", b"x")
                await client.close()
            assert client.is_closed

    @pytest.mark.parametrize("size", [1, 10, 100])
    @pytest.mark.parametrize(
        ("garbage", "kind"),
        [
            (b"\xff" * 200, WebSocketError),
            (b"HTTP/1.1 200 OK\r\n" * 20, WebSocketError),
            (frame(TEXT, b"PING\r\n"), WebSocketError),
            (frame(BINARY, b"garbage\r\n"), ProtocolError),
        ],
        ids=["ones", "http", "text", "nats"],
    )
    async def test_garbage(self, url: str, garbage: bytes, kind: type[Exception], size: int) -> None:
        got, away, back = Gathered(), Gathered(), Gathered()
        async with leaves_nothing(), Proxy(url) as proxy:
            client = await connect(
                proxy.url, disconnected_cb=lambda: away(client.last_error), reconnected_cb=back, **ONLY
            )
            await client.subscribe("a", cb=got)
            await client.flush()
            proxy.slip_in(frame(PING, b"good") * size + garbage)
            await away.reach()
            assert isinstance(away[0], kind)
            await back.reach()
            await comes_through(client, got)
            await client.close()

    async def test_garbage_in_place_of_the_response(self) -> None:
        async with leaves_nothing(), Peer(Garbage(b"\x00" * 10_000 + b"\r\n")) as peer:
            with pytest.raises(NoServersError, match="does not speak WebSocket"):
                await connect(peer.url.replace("nats://", "ws://"))

    async def test_many_reconnects_leave_nothing(self, url: str) -> None:
        back = Gathered()
        async with leaves_nothing(), Proxy(url) as proxy:
            client = await connect(proxy.url, reconnected_cb=back, ws_compression=True, **ONLY)
            for round_ in range(1, 101):
                proxy.cut()
                await back.reach(round_)
            await client.flush()
            await client.close()


class TestServers:
    async def test_killed_and_restarted(self) -> None:
        got, back = Gathered(), Gathered()
        block = BLOCK.replace(":-1", f":{free_port()}")
        with NatsServer(jetstream=False, config=block) as server:
            async with leaves_nothing():
                client = await connect(ws_url(server), reconnected_cb=back, **QUICK)
                await client.subscribe("a", cb=got)
                await client.flush()
                server.kill()
                await eventually(lambda: not client.is_connected)
                await client.publish("a", b"while away")
                server.restart()
                await back.reach()
                await got.reach()
                await client.drain(10)

    async def test_the_connected_node_of_three(self) -> None:
        """Discovered servers are dialled through WebSocket too."""
        got, back = Gathered(), Gathered()
        with NatsServer.cluster(3, config=BLOCK) as cluster:
            urls = {bare(ws_url(server)): server for server in cluster.servers}
            client = await connect(ws_url(cluster.servers[0]), reconnected_cb=back, **QUICK)
            await client.subscribe("a", cb=got)
            await eventually(lambda: len(client.server_pool) == 3)
            assert {server.address for server in client.server_pool} == set(urls)
            urls.pop(str(client.connected_url)).kill()
            await back.reach()
            assert client.connected_url in urls
            await comes_through(client, got)
            await client.drain(10)

    async def test_discovered_servers_are_verified_by_the_name_dialled(self, tmp_path: Path) -> None:
        authority, back = Authority(tmp_path), Gathered()
        certificate = authority.issue("localhost")
        tls = f'tls {{ cert_file: "{certificate.cert}", key_file: "{certificate.key}" }}'
        with NatsServer.cluster(2, config=BLOCK.replace("no_tls: true", tls)) as cluster:
            first, second = (ws_url(server) for server in cluster.servers)
            client = await connect(
                first.replace("127.0.0.1", "localhost"),
                tls=TLSOptions(ca_file=authority.ca),
                reconnected_cb=back,
                **QUICK,
            )
            await eventually(lambda: bare(second) in {server.address for server in client.server_pool})
            cluster.servers[0].kill()
            await back.reach()
            assert client.connected_url == bare(second)
            assert client._link is not None
            assert client._link.is_secure
            await client.drain(10)

    async def test_lame_duck(self) -> None:
        lame, back, got = Gathered(), Gathered(), Gathered()
        with NatsServer.cluster(2, config=BLOCK) as cluster:
            first, second = cluster.servers
            client = await connect(ws_url(first), lame_duck_mode_cb=lame, reconnected_cb=back, **QUICK)
            await client.subscribe("a", cb=got)
            await eventually(lambda: len(client.server_pool) == 2)
            assert first.pid is not None
            os.kill(first.pid, signal.SIGUSR2)
            await lame.reach()
            await back.reach()
            assert client.connected_url == bare(ws_url(second))
            await comes_through(client, got)
            assert client.possibly_lost_bytes == 0
            await client.close()
            first.kill()

    async def test_where_only_websocket_gets_through(self) -> None:
        """A pool may hold both: the one that can be reached is taken."""
        with NatsServer(jetstream=False, config=BLOCK) as server:
            closed = f"nats://127.0.0.1:{free_port()}"
            async with await connect([closed, ws_url(server)], no_randomize=True) as client:
                assert client.connected_url == bare(ws_url(server))
