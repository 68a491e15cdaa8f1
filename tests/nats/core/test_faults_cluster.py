"""A cluster of three that loses a node, or the routes between its nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.nats.core.gathering import Gathered, eventually
from tests.nats.core.witness import QUICK, witnessing
from tests.proxy import Proxy

from tidings.nats import Client, NoRespondersError, TimeoutError, connect
from tidings.nats.server import NatsCluster, NatsServer
from tidings.nats.server.readiness import free_port


@pytest.fixture(scope="module")
def cluster() -> Iterator[NatsCluster]:
    with NatsServer.cluster(3, durability="fast") as cluster:
        yield cluster


def node_of(client: Client, servers: list[NatsServer]) -> NatsServer:
    return next(server for server in servers if client.connected_url == f"nats://127.0.0.1:{server.port}")


async def heard_by(sender: Client, client: Client) -> None:
    """Return when what `sender` publishes reaches `client`."""
    word = client.new_inbox()
    sub = await client.subscribe(word)
    async with asyncio.timeout(20):
        while True:
            await client.flush()
            await sender.publish(word)
            with contextlib.suppress(TimeoutError):
                await sub.next_msg(0.02)
                break
    await sub.unsubscribe()


class TestANodeThatDies:
    async def test_each_of_the_three_in_turn(self, cluster: NatsCluster) -> None:
        """Killed and restarted under load: another one takes us, and the load goes on."""
        async with witnessing(cluster.urls) as witness:
            for round_ in range(1, 4):
                node = node_of(witness.client, cluster.servers)
                await asyncio.to_thread(node.kill)
                await witness.back.reach(round_)
                assert witness.client.connected_url != f"nats://127.0.0.1:{node.port}"
                await witness.is_whole()
                await witness.goes_on()
                await asyncio.to_thread(node.restart)
            assert len(witness.lost) == 3

    async def test_messages_from_the_other_nodes_come_again(self, cluster: NatsCluster) -> None:
        """A subscriber changes the node; who publishes elsewhere need not do anything."""
        got, doubled, back = Gathered(), Gathered(), Gathered()
        urls = cluster.urls
        async with (
            await connect(urls[1:], ignore_discovered_servers=True, **QUICK) as sender,
            await connect(urls, no_randomize=True, reconnected_cb=back, **QUICK) as client,
        ):
            await client.subscribe("three.*", cb=got)
            await client.subscribe("three.*", "group", cb=doubled)
            await heard_by(sender, client)
            for number in range(10):
                await sender.publish("three.a", str(number))
            await got.reach(10)
            await asyncio.to_thread(cluster.servers[0].kill)
            await back.reach()
            await heard_by(sender, client)
            for number in range(10, 20):
                await sender.publish("three.a", str(number))
            await got.reach(20)
            await doubled.reach(20)
            assert got.data == doubled.data == [str(number).encode() for number in range(20)]
            await asyncio.to_thread(cluster.servers[0].restart)

    async def test_two_of_three(self, cluster: NatsCluster) -> None:
        async with witnessing(cluster.urls) as witness:
            dead = []
            for round_ in (1, 2):
                node = node_of(witness.client, cluster.servers)
                await asyncio.to_thread(node.kill)
                dead.append(node)
                await witness.back.reach(round_)
                await witness.is_whole()
            for node in dead:
                await asyncio.to_thread(node.restart)


@contextlib.asynccontextmanager
async def routed_through_proxies() -> AsyncIterator[tuple[list[NatsServer], list[Proxy]]]:
    """Three servers that reach each other through the proxy of whom they reach, and by no other way."""
    ports = [free_port() for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(f"nats://127.0.0.1:{port}")) for port in ports]
        servers = []
        for number, port in enumerate(ports):
            routes = ", ".join(f'"nats://127.0.0.1:{proxy.port}"' for proxy in proxies[:number])
            config = (
                f"server_name: p{number}\n"
                f'cluster {{ name: proxied, listen: "127.0.0.1:{port}", '
                f'advertise: "127.0.0.1:{proxies[number].port}", routes: [{routes}] }}'
            )
            servers.append(
                await stack.enter_async_context(NatsServer(jetstream=False, token="t", config=config))
            )
        yield servers, proxies


async def test_lost_routes_are_no_fault_of_the_connection() -> None:
    """Each node serves its own clients; between the nodes nothing passes, and requests say so."""
    async with contextlib.AsyncExitStack() as stack:
        servers, proxies = await stack.enter_async_context(routed_through_proxies())
        lost = Gathered()
        here, there = [
            await stack.enter_async_context(
                await connect(server.url, ignore_discovered_servers=True, disconnected_cb=lost, **QUICK)
            )
            for server in servers[:2]
        ]
        got = Gathered()
        await there.subscribe("far.>", cb=got)
        await there.subscribe("far.echo", cb=lambda message: message.respond(message.data))
        await heard_by(here, there)
        await here.publish("far.a", b"before")
        await got.reach(1)
        witness = await stack.enter_async_context(
            witnessing([server.url for server in servers], is_alone=False)
        )
        async with contextlib.AsyncExitStack() as cut:
            for proxy in proxies:
                await cut.enter_async_context(proxy.away())
            await witness.is_whole()
            await witness.calls_end()
            await witness.goes_on()
            with pytest.raises((NoRespondersError, TimeoutError)):  # the node may not have noticed yet
                await here.request("far.echo", b"x", timeout=0.05)
            await here.flush()
            assert here.is_connected
            assert there.is_connected
        await heard_by(here, there)
        await heard_by(there, here)
        assert (await here.request("far.echo", b"x", timeout=10)).data == b"x"
        await here.publish("far.a", b"after")
        await eventually(lambda: b"after" in got.data)
        assert lost == witness.lost == []


async def test_the_pool_follows_the_routes() -> None:
    """Who is out of touch leaves the pool, and comes back with its route."""
    async with routed_through_proxies() as (servers, proxies), await connect(servers[0].url) as client:
        everybody = {f"nats://127.0.0.1:{server.port}" for server in servers}

        def pool() -> set[str]:
            return {str(server) for server in client.server_pool}

        await eventually(lambda: pool() == everybody)
        async with contextlib.AsyncExitStack() as cut:
            for proxy in proxies:
                await cut.enter_async_context(proxy.away())
            await eventually(lambda: pool() == {f"nats://127.0.0.1:{servers[0].port}"})
        await eventually(lambda: pool() == everybody)
        await asyncio.to_thread(servers[0].kill)
        await eventually(
            lambda: client.is_connected and client.connected_url != f"nats://127.0.0.1:{servers[0].port}"
        )
