"""Publishes that were encoded elsewhere: written as they are, counted, held back while there is no server."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import eventually
from tests.proxy import Proxy

from tidings.nats import ConnectionClosedError, PossiblyLostError, connect
from tidings.nats.server import NatsServer

TWO = (b"PUB a 1\r\nx\r\nPUB a ", b"2\r\nyz\r\n")


async def test_they_arrive_behind_what_was_published_before(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("a")
        await client.publish("a", b"before")
        await client.writer.hand_over(TWO, (2, 3))
        await client.publish("a", b"after")
        assert [(await sub.next_msg(10)).data for _ in range(4)] == [b"before", b"x", b"yz", b"after"]
        assert (client.stats.out_msgs, client.stats.out_bytes) == (4, 14)


async def test_it_waits_for_a_connection_that_is_away(nats_server: NatsServer) -> None:
    async with await connect(nats_server.url, reconnect_time_wait=0.02, reconnect_jitter=0) as client:
        sub = await client.subscribe("a")
        await asyncio.to_thread(nats_server.kill)
        await eventually(lambda: client.is_reconnecting)
        handing = asyncio.create_task(client.writer.hand_over(TWO, (2, 3)))
        await asyncio.to_thread(nats_server.restart)
        await handing
        assert [(await sub.next_msg(10)).data for _ in range(2)] == [b"x", b"yz"]


async def test_a_client_that_closes_meanwhile_took_nothing(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url)
    await asyncio.to_thread(nats_server.kill)
    await eventually(lambda: client.is_reconnecting)
    handing = asyncio.create_task(client.writer.hand_over(TWO, (2, 3)))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ConnectionClosedError):
        await handing
    assert client.stats.out_msgs == 0


async def test_what_is_lost_with_the_connection_is_reported(nats_server: NatsServer) -> None:
    errors: list[Exception] = []
    client = await connect(nats_server.url, error_cb=errors.append)
    await client.writer.hand_over(TWO, (2, 3))
    await asyncio.to_thread(nats_server.kill)
    await eventually(lambda: any(isinstance(error, PossiblyLostError) for error in errors))
    (lost,) = [error for error in errors if isinstance(error, PossiblyLostError)]
    assert (lost.messages, lost.bytes) == (2, 3)
    await client.close()


async def test_parts_go_to_the_socket_as_they_are(nats_url: str) -> None:
    body = bytes(range(256)) * 4096
    parts: list[bytes | memoryview] = [b"PUB a 1048576\r\n", memoryview(body), b"\r\nPUB a 1\r\n", b"x\r\n"]
    async with await connect(nats_url) as client:
        sub = await client.subscribe("a")
        await client.publish("a", b"before")
        assert client.writer.write_parts(parts, (2, len(body) + 1))
        await client.publish("a", b"after")
        assert [(await sub.next_msg(10)).data for _ in range(4)] == [b"before", body, b"x", b"after"]
        assert (client.stats.out_msgs, client.stats.out_bytes) == (4, len(body) + 12)


async def test_parts_are_left_to_the_caller_while_the_connection_is_away(nats_server: NatsServer) -> None:
    async with await connect(nats_server.url) as client:
        await asyncio.to_thread(nats_server.kill)
        await eventually(lambda: client.is_reconnecting)
        assert not client.writer.write_parts(TWO, (2, 3))
        assert client.stats.out_msgs == 0
    assert not client.writer.write_parts(TWO, (2, 3))


async def test_parts_are_left_to_the_caller_while_the_socket_is_full(nats_url: str) -> None:
    async with Proxy(nats_url) as proxy, await connect(proxy.url) as client:
        await client.flush(10)
        with proxy.deaf():
            written = 0
            while client.writer.write_parts(
                [b"PUB a 1000000\r\n", bytes(1_000_000), b"\r\n"], (1, 1_000_000)
            ):
                written += 1
                assert written < 1000
        await client.flush(20)
        assert client.stats.out_msgs == written
