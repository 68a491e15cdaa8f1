"""A subscription for so many messages gets so many, however often the connection breaks meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import Gathered, eventually
from tests.proxy import Proxy

from tidings.nats import Client, NoRespondersError, connect

QUICK = {"reconnect_time_wait": 0.01, "reconnect_jitter": 0.0}


async def publish(client: Client, subject: str, *numbers: int) -> None:
    for number in numbers:
        await client.publish(subject, str(number))
    await client.flush()


@pytest.mark.parametrize("later", [False, True], ids=["max_msgs", "unsubscribe"])
@pytest.mark.parametrize("queue", ["", "group"])
async def test_over_several_connections(nats_url: str, queue: str, later: bool) -> None:
    back, handled = Gathered(), Gathered()
    async with (
        Proxy(nats_url) as proxy,
        await connect(nats_url) as sender,
        await connect(proxy.url, reconnected_cb=back, **QUICK) as client,  # type: ignore[arg-type]
    ):
        sub = await client.subscribe("few", queue, cb=handled, max_msgs=0 if later else 5)
        if later:
            await sub.unsubscribe(limit=5)
        await client.flush()
        for round_ in range(3):
            await publish(sender, "few", 2 * round_, 2 * round_ + 1)
            await client.flush()
            if round_ < 2:
                proxy.cut()
                await back.reach(round_ + 1)
                await client.flush()
        assert (await handled.reach(5)).data == [b"0", b"1", b"2", b"3", b"4"]
        assert await sub.closed() is None
        # The server has forgotten it too: nobody is there to answer.
        with pytest.raises(NoRespondersError):
            await sender.request("few", timeout=20)
        assert (sub.received, len(handled)) == (5, 5)


async def test_a_limit_given_while_the_connection_is_away(nats_url: str) -> None:
    async with Proxy(nats_url) as proxy, await connect(proxy.url, **QUICK) as client:  # type: ignore[arg-type]
        sub = await client.subscribe("few")
        reached = await client.subscribe("few")
        await publish(client, "few", 0, 1)
        async with proxy.away():
            await eventually(lambda: client.is_reconnecting)
            await sub.unsubscribe(limit=3)
            await reached.unsubscribe(limit=2)
            assert reached.is_closed
        await eventually(lambda: client.is_connected)
        await publish(client, "few", 2, 3)
        assert [int(message.data) async for message in sub] == [0, 1, 2]
        assert (sub.received, reached.received) == (3, 2)


async def test_dropped_ones_count(nats_url: str) -> None:
    back = Gathered()
    async with (
        Proxy(nats_url) as proxy,
        await connect(proxy.url, reconnected_cb=back, error_cb=Gathered(), **QUICK) as client,  # type: ignore[arg-type]
    ):
        sub = await client.subscribe("few", max_msgs=4, pending_msgs_limit=1, limit_policy="drop_old")
        await publish(client, "few", 0, 1, 2)
        proxy.cut()
        await back.reach()
        await publish(client, "few", 3, 4)
        assert [int(message.data) async for message in sub] == [3]
        assert (sub.received, sub.dropped) == (4, 3)


async def test_an_old_style_request_waits_over_a_reconnect(nats_url: str) -> None:
    """A subscription for one reply is made known to the new connection as well."""
    questions, back = Gathered(), Gathered()
    async with (
        Proxy(nats_url) as proxy,
        await connect(nats_url) as service,
        await connect(proxy.url, reconnected_cb=back, **QUICK) as client,  # type: ignore[arg-type]
    ):
        await service.subscribe("ask", cb=questions)
        await service.flush()
        task = asyncio.create_task(client.request("ask", timeout=20, old_style=True))
        (question,) = await questions.reach()
        proxy.cut()
        await back.reach()
        await client.flush()
        await question.respond(b"here")
        assert (await task).data == b"here"
