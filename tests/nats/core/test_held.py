"""What is published while the connection is away: how much is held, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually
from tests.proxy import Proxy

from tidings.nats import Client, ConnectionClosedError, Msg, OutboundBufferLimitError, connect

ROOM = 1000  # seven messages of 100 bytes with their lines, or eight


@asynccontextmanager
async def away(nats_url: str, heard: Gathered, **options: Any) -> AsyncIterator[tuple[Client, asyncio.Event]]:
    """A client that is away until the event is set; what it published by then arrives at `heard`."""
    back = asyncio.Event()
    options = {"reconnect_buffer_size": ROOM, "reconnect_time_wait": 0.01, "reconnect_jitter": 0} | options
    async with Proxy(nats_url) as proxy, await connect(nats_url) as other:
        await other.subscribe("held", cb=heard)
        await other.flush()
        client = await connect(proxy.url, **options)
        gone = asyncio.Event()

        async def stay_away() -> None:
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                gone.set()
                await back.wait()

        staying = asyncio.create_task(stay_away())
        await gone.wait()
        yield client, back
        back.set()
        await staying
        if not client.is_closed:
            await eventually(lambda: client.is_connected)
            await client.flush()
            await other.flush()
            await client.close()


def numbered(first: int, last: int) -> list[bytes]:
    return [b"%0100d" % i for i in range(first, last)]


async def publish(client: Client, payloads: list[bytes]) -> None:
    for payload in payloads:
        await client.publish("held", payload)


async def test_what_is_new_is_dropped(nats_url: str) -> None:
    heard, errors = Gathered(), Gathered()
    async with away(nats_url, heard, reconnect_buffer_policy="drop_new", error_cb=errors) as (client, _):
        await publish(client, numbered(0, 20))
        dropped = client.stats.dropped_publishes
        assert dropped == 12
        assert client.stats.out_msgs == 8
    assert heard.data == numbered(0, 20 - dropped)
    (error,) = errors  # told once
    assert isinstance(error, OutboundBufferLimitError)
    assert "the limit is 1000; what is published is dropped" in str(error)


async def test_the_oldest_are_dropped(nats_url: str) -> None:
    heard, errors = Gathered(), Gathered()
    async with away(nats_url, heard, reconnect_buffer_policy="drop_old", error_cb=errors) as (client, _):
        await publish(client, numbered(0, 20))
        dropped = client.stats.dropped_publishes
        assert dropped == 12
    assert heard.data == numbered(dropped, 20)
    (error,) = errors
    assert isinstance(error, OutboundBufferLimitError)
    assert "the oldest of what was published is dropped" in str(error)
    assert client.stats.possibly_lost_msgs == 0


async def test_a_message_larger_than_the_buffer_pushes_nothing_out(nats_url: str) -> None:
    heard = Gathered()
    options: dict[str, Any] = {"reconnect_buffer_policy": "drop_old", "error_cb": Gathered()}
    async with away(nats_url, heard, **options) as (client, _):
        await publish(client, [b"small", bytes(ROOM), b"small too"])
        assert client.stats.dropped_publishes == 1
    assert heard.data == [b"small", b"small too"]


async def test_small_ones_are_dropped_in_parts(nats_url: str) -> None:
    heard = Gathered()
    options: dict[str, Any] = {"reconnect_buffer_size": 256 * 1024, "error_cb": Gathered()}
    async with away(nats_url, heard, reconnect_buffer_policy="drop_old", **options) as (client, _):
        payloads = [b"%06d" % i for i in range(20_000)]  # a line and a payload are 20 bytes
        await publish(client, payloads)
        await publish(client, [bytes(255 * 1024)])  # which nothing older fits beside but the last part
        dropped = client.stats.dropped_publishes
        assert client.stats.out_msgs == 20_001
    assert 0 < len(heard) == 20_001 - dropped < 60
    assert heard.data[:-1] == payloads[dropped:]


async def test_the_oldest_make_room_for_a_request_s_leftovers_too(nats_url: str) -> None:
    """A request is gathered without being handed over; the next publish does that for both."""
    heard = Gathered()
    options: dict[str, Any] = {"reconnect_buffer_policy": "drop_old", "error_cb": Gathered()}
    async with away(nats_url, heard, **options) as (client, _):
        asking = asyncio.create_task(client.request("held", bytes(800), timeout=None))
        await asyncio.sleep(0)
        await publish(client, numbered(0, 3))
        assert client.stats.dropped_publishes == 1
    assert heard.data == numbered(0, 3)
    with pytest.raises(ConnectionClosedError):
        await asking


async def test_publishers_wait(nats_url: str) -> None:
    heard = Gathered()
    async with away(nats_url, heard, reconnect_buffer_policy="block") as (client, back):
        publishing = asyncio.create_task(publish(client, numbered(0, 20)))
        await eventually(lambda: client.stats.out_msgs == 8)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not publishing.done()
        with pytest.raises(OutboundBufferLimitError):
            await client.request("held", bytes(100), timeout=10)
        back.set()
        await publishing
    assert heard.data == numbered(0, 20)
    assert client.stats.dropped_publishes == 0


async def test_closing_ends_the_wait(nats_url: str) -> None:
    async with away(nats_url, Gathered(), reconnect_buffer_policy="block", error_cb=print) as (
        client,
        _,
    ):
        publishing = [asyncio.create_task(publish(client, numbered(0, 20))) for _ in range(2)]
        await eventually(lambda: client.stats.out_msgs == 8)
        await client.close()
        for each in publishing:
            with pytest.raises(ConnectionClosedError):
                await each


@pytest.mark.parametrize(("policy", "arrive"), [("drop_new", 0), ("drop_old", 0), ("block", 3)])
async def test_with_no_room_at_all(nats_url: str, policy: str, arrive: int) -> None:
    heard, errors = Gathered(), Gathered()
    options = {"reconnect_buffer_policy": policy, "reconnect_buffer_size": 0, "error_cb": errors}
    async with away(nats_url, heard, **options) as (client, back):
        publishing = asyncio.create_task(publish(client, numbered(0, 3)))
        for _ in range(20):
            await asyncio.sleep(0)
        back.set()
        await publishing
        assert client.stats.dropped_publishes == 3 - arrive
    assert heard.data == numbered(0, arrive)
    assert len(errors) == (policy != "block")


async def test_an_answer_is_published_by_the_same_rules(nats_url: str) -> None:
    heard = Gathered()
    async with away(nats_url, heard, reconnect_buffer_policy="block") as (client, back):
        question = Msg("question", "held", owner=client)
        await publish(client, numbered(0, 8))
        answering = asyncio.create_task(question.respond(bytes(500)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not answering.done()
        back.set()
        await answering
    assert len(heard) == 9


def test_a_policy_there_is_not() -> None:
    from tidings.nats import Options

    with pytest.raises(ValueError, match="error, drop_new, drop_old, block, not 'drop'"):
        Options(reconnect_buffer_policy="drop")  # type: ignore[arg-type]


async def test_what_meets_a_socket_that_is_closing_is_held_too(nats_url: str) -> None:
    """Between a failed write and the end of the link nothing is taken to be written."""
    back, errors = Gathered(), Gathered()
    async with await connect(nats_url) as other:
        sub = await other.subscribe("held")
        await other.flush()
        client = await connect(nats_url, reconnect_time_wait=0.01, reconnected_cb=back, error_cb=errors)
        link = client._link
        assert link is not None
        assert link._transport is not None
        link._transport.abort()
        await client.publish("held", b"1")
        client._writer.write()
        await back.reach()
        assert (await sub.next_msg(10)).data == b"1"
        assert not errors
        await client.close()
