"""What a broken connection may have lost is told, to the error callback and as an event."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.nats.core.gathering import Gathered, eventually
from tests.peers import Peer, Side, Welcoming
from tests.proxy import Proxy

from tidings.nats import Client, PossiblyLostError, TimeoutError, connect, events

QUICK: dict[str, Any] = {"reconnect_time_wait": 0.005, "reconnect_jitter": 0, "max_reconnect_attempts": -1}


async def lose(client: Client, proxy: Proxy, *payloads: bytes) -> None:
    """Publish what the server never gets, and lose the connection."""
    with proxy.deaf("up"):
        for payload in payloads:
            await client.publish("lost", payload, headers={"A": "1"})
        with contextlib.suppress(TimeoutError):
            await client.flush(0.01)
        proxy.cut()


async def test_what_no_pong_confirmed_is_told(nats_url: str) -> None:
    back, errors = Gathered(), Gathered()
    async with Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnected_cb=back, error_cb=errors, **QUICK)
        stream = client.events()
        await client.publish("lost", bytes(100))
        await client.flush()  # confirmed
        await lose(client, proxy, bytes(1000), b"")
        await back.reach()
        (error,) = await errors.reach()
        assert isinstance(error, PossiblyLostError)
        block = len(b"NATS/1.0\r\nA: 1\r\n\r\n")
        assert (error.server, error.messages, error.bytes) == (
            f"nats://127.0.0.1:{proxy.port}",
            2,
            1000 + 2 * block,
        )
        assert (client.stats.possibly_lost_msgs, client.possibly_lost_bytes) == (2, error.bytes)
        assert isinstance(await anext(stream), events.Disconnected)
        assert await anext(stream) == events.ErrorReported(error)
        assert isinstance(await anext(stream), events.Reconnected)
        await client.close()


async def test_it_is_counted_anew_on_each_connection(nats_url: str) -> None:
    back, errors = Gathered(), Gathered()
    async with Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnected_cb=back, error_cb=errors, **QUICK)
        for count in (1, 2):
            await lose(client, proxy, *[b"1"] * count)
            await back.reach(count)
        assert [error.messages for error in errors] == [1, 2]
        assert client.stats.possibly_lost_msgs == 3
        await client.close()


async def test_what_was_held_is_in_doubt_once_it_was_written(nats_url: str) -> None:
    back, errors = Gathered(), Gathered()
    async with Proxy(nats_url) as proxy:
        client = await connect(proxy.url, reconnected_cb=back, error_cb=errors, **QUICK)
        await client.subscribe("lost")
        async with proxy.away():
            await eventually(lambda: client.is_reconnecting)
            for _ in range(5):
                await client.publish("lost", b"1")
        await back.reach()
        await client.flush()
        assert not errors  # a subscription that was not confirmed is no loss, it is made again
        await lose(client, proxy, b"1")
        await back.reach(2)
        assert [error.messages for error in errors] == [1]
        await client.close()


async def test_an_error_of_the_server_that_ends_it(nats_url: str) -> None:
    errors, closed = Gathered(), Gathered()

    async def give_up(side: Side) -> None:
        await side.expect(b"PUB")
        await side.send(b"-ERR 'Unknown Protocol Operation'\r\n")

    async with Peer(Welcoming(give_up)) as peer:
        client = await connect(peer.url, error_cb=errors, closed_cb=closed)
        await client.publish("a", b"1")
        await closed.reach()
    assert [error.messages for error in errors if isinstance(error, PossiblyLostError)] == [1]
