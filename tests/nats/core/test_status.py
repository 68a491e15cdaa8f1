"""Figures of a connection, and what it tells of its server."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import Gathered
from tests.proxy import Proxy

from tidings.nats import NoRespondersError, TimeoutError, connect
from tidings.nats.server import NatsServer


async def test_messages_and_bytes(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        assert dict(client.stats) == dict.fromkeys(client.stats.keys(), 0)
        await client.subscribe("a")
        await client.publish("a", b"1234")
        await client.publish("a", b"12", headers={"A": "1"})
        await client.publish("nobody", b"1")
        await client.flush()
        stats = client.stats
        assert (stats.out_msgs, stats.out_bytes) == (3, 4 + 20 + 1)
        assert (stats["in_msgs"], stats["in_bytes"]) == (2, 24)
        with pytest.raises(KeyError):
            stats["keys"]
    assert client.stats == stats


async def test_they_go_on_after_a_reconnect(nats_url: str) -> None:
    back = Gathered()
    async with (
        Proxy(nats_url) as proxy,
        await connect(proxy.url, reconnect_time_wait=0.01, reconnected_cb=back) as client,
    ):
        await client.subscribe("a")
        for count in (1, 2):
            await client.publish("a", b"1234")
            await client.flush()
            proxy.cut()
            await back.reach(count)
        await client.publish("a", b"1234")
        await client.flush()
        stats = client.stats
        assert (stats.in_msgs, stats.in_bytes, stats.out_msgs, stats.reconnects) == (3, 12, 3, 2)


async def test_late_replies(nats_url: str) -> None:
    questions = Gathered()
    async with await connect(nats_url) as client:
        await client.subscribe("late", cb=questions)
        with pytest.raises(TimeoutError):
            await client.request("late", timeout=0)
        (question,) = await questions.reach()
        await question.respond(b"too late")
        await client.flush()
        assert client.stats.late_replies == 1


async def test_who_is_at_the_other_end() -> None:
    async with NatsServer(token=False, config="server_name: jupiter\n", durability="fast") as server:
        client = await connect(server.url)
        known = client.connected_server
        assert known is not None
        assert (known.name, known.cluster) == ("jupiter", "")
        assert known.id.startswith("N")
        assert known.version.count(".") == 2
        assert isinstance(client.client_id, int)
        assert client.client_ip == "127.0.0.1"
        await client.close()
        assert (client.connected_server, client.client_id, client.client_ip) == (None, None, None)


ACCOUNTS = """
accounts { SYS { users: [{user: sys, password: x}] }, SHOP { users: [{user: clerk, password: x}] } }
system_account: SYS
"""


async def test_the_account_and_whether_it_is_that_of_the_system() -> None:
    async with NatsServer(token=False, config=ACCOUNTS, jetstream=False) as server:
        for user, account, is_system in (("sys", "SYS", True), ("clerk", "SHOP", False)):
            client = await connect(f"nats://{user}:x@{server.host}:{server.port}")
            assert (client.account, client.is_system_account) == (account, is_system)
            known = client.connected_server
            assert known is not None
            assert known.has_jetstream is False
            await client.close()
            assert (client.account, client.is_system_account) == (None, False)


async def test_jetstream_of_the_server() -> None:
    config = "jetstream { domain: hub }\n"
    async with (
        NatsServer(token=False, config=config, durability="fast") as server,
        await connect(server.url) as client,
    ):
        known = client.connected_server
        assert known is not None
        assert (known.has_jetstream, known.domain) == (True, "hub")
        assert known.api_level > 0


async def test_without_tls(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        assert (client.is_secure, client.ssl_object) == (False, None)


async def test_open_subscriptions(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        one, other = await client.subscribe("one"), await client.subscribe("other", cb=Gathered())
        with pytest.raises(NoRespondersError):
            await client.request("nobody")
        asking = asyncio.create_task(client.request("one", timeout=None, old_style=True))
        await one.next_msg(10)
        assert client.subscriptions == [one, other]
        await other.unsubscribe()
        assert client.subscriptions == [one]
        asking.cancel()
    assert client.subscriptions == []
