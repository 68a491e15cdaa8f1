"""Draining the client: what was delivered is handled, what was published is at the server, then it closes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Deaf, Peer, Side, Welcoming
from tests.proxy import Proxy

from tidings.nats import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    Msg,
    NoServersError,
    connect,
)


async def test_everything_delivered_is_handled(nats_url: str) -> None:
    handled = Gathered()

    async def slowish(message: Msg) -> None:
        if len(handled) % 10 == 0:
            await asyncio.sleep(0)
        handled(message)

    async with leaves_nothing():
        client = await connect(nats_url)
        await client.subscribe("drain.many", cb=slowish)
        for i in range(10_000):
            await client.publish("drain.many", str(i))
        await client.drain()
        assert client.is_closed
        assert [int(message.data) for message in handled] == list(range(10_000))


async def test_what_callbacks_publish_meanwhile_arrives(nats_url: str) -> None:
    async with await connect(nats_url) as listener:
        results = Gathered()
        await listener.subscribe("drain.results", cb=results)
        await listener.flush()
        client = await connect(nats_url)

        async def work(message: Msg) -> None:
            await asyncio.sleep(0)
            await client.publish("drain.results", message.data)

        await client.subscribe("drain.work", cb=work)
        for i in range(500):
            await client.publish("drain.work", str(i))
        await client.drain()
        assert [int(message.data) for message in await results.reach(500)] == list(range(500))


async def test_callbacks_can_request_meanwhile(nats_url: str) -> None:
    async with await connect(nats_url) as helper:
        await helper.subscribe("drain.help", cb=lambda message: message.respond(message.data * 2))
        await helper.flush()
        answers = Gathered()
        client = await connect(nats_url)

        async def ask(message: Msg) -> None:
            answers(await client.request("drain.help", message.data, timeout=10))

        await client.subscribe("drain.ask", cb=ask)
        for _ in range(20):
            await client.publish("drain.ask", b"x")
        await client.drain()
        assert answers.data == [b"xx"] * 20


async def test_nothing_new_comes_meanwhile(nats_url: str) -> None:
    gate, started, handled = asyncio.Event(), Gathered(), Gathered()

    async def hold(message: Msg) -> None:
        started(message)
        await gate.wait()
        handled(message)

    async with await connect(nats_url) as other:
        client = await connect(nats_url)
        sub = await client.subscribe("drain.hold", cb=hold)
        await client.publish("drain.hold", b"before")
        await started.reach()
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: sub.is_closed)
        assert client.is_draining
        await other.publish("drain.hold", b"after")
        await other.flush()
        gate.set()
        await draining
        assert handled.data == [b"before"]


async def test_the_context_manager_drains(nats_url: str) -> None:
    handled, closed = Gathered(), Gathered()
    async with leaves_nothing():
        async with await connect(nats_url, closed_cb=closed) as client:
            await client.subscribe("drain.context", cb=handled)
            for _ in range(100):
                await client.publish("drain.context")
        assert client.is_closed
        assert len(handled) == 100
        assert len(closed) == 1


async def test_after_an_error_the_context_manager_closes_at_once(nats_url: str) -> None:
    started = Gathered()

    async def hang(message: Msg) -> None:
        started(message)
        await asyncio.get_running_loop().create_future()

    async with leaves_nothing():
        with pytest.raises(LookupError):  # noqa: PT012
            async with await connect(nats_url) as client:
                await client.subscribe("drain.hang", cb=hang)
                await client.publish("drain.hang")
                await started.reach()
                raise LookupError
        assert client.is_closed


async def test_a_context_manager_may_be_closed_inside(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.close()
    async with await connect(nats_url) as client:
        await client.drain()


@pytest.mark.parametrize("ended_by", ["max_msgs", "unsubscribe with a limit", "its own drain"])
async def test_a_subscription_that_has_ended_is_handled_too(nats_url: str, ended_by: str) -> None:
    """It gets no more messages, but those it got are not handled yet."""
    handled, started = Gathered(), Gathered()

    async def slow(message: Msg) -> None:
        started(message)
        await asyncio.sleep(0.002)
        handled(message)

    async with leaves_nothing():
        client = await connect(nats_url)
        sub = await client.subscribe("drain.ended", cb=slow, max_msgs=5 if ended_by == "max_msgs" else 0)
        for _ in range(5):
            await client.publish("drain.ended")
        await started.reach()
        if ended_by == "unsubscribe with a limit":
            await sub.unsubscribe(1)
        elif ended_by == "its own drain":
            draining = asyncio.create_task(sub.drain())
            await eventually(lambda: sub.is_closed)
        await client.drain()
        assert len(handled) == 5
        if ended_by == "its own drain":
            await draining


@pytest.mark.parametrize("ended_by", ["max_msgs", "unsubscribe", "nothing"])
async def test_from_a_callback(nats_url: str, ended_by: str) -> None:
    """It goes on behind the callback, which must not wait for itself."""
    handled, closed = Gathered(), Gathered()
    async with leaves_nothing():
        client = await connect(nats_url, closed_cb=closed)

        async def last_orders(message: Msg) -> None:
            handled(message)
            if len(handled) == 1:
                await eventually(lambda: sub.received == 5)
                if ended_by == "unsubscribe":
                    await sub.unsubscribe(1)
                await client.drain()
                assert not client.is_closed
            await client.publish("drain.somewhere")

        sub = await client.subscribe(
            "drain.orders", cb=last_orders, max_msgs=5 if ended_by == "max_msgs" else 0
        )
        for _ in range(5):
            await client.publish("drain.orders")
        await closed.reach()
        assert len(handled) == 5
        await eventually(lambda: client.is_closed)


async def test_from_a_loop_over_a_subscription(nats_url: str) -> None:
    client = await connect(nats_url)
    sub = await client.subscribe("drain.loop")
    for i in range(10):
        await client.publish("drain.loop", str(i))
    await client.flush()
    seen = []
    async for message in sub:
        seen.append(int(message.data))
        if len(seen) == 3:
            await client.drain()
            assert client.is_closed
    assert seen == list(range(10))


async def test_a_loop_that_was_left_is_not_waited_for(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("drain.left")
        for _ in range(10):
            await client.publish("drain.left")
        async for _ in sub:
            break
    assert client.is_closed


async def test_a_loop_in_another_task_gets_everything(nats_url: str) -> None:
    seen = Gathered()
    async with await connect(nats_url) as client:
        sub = await client.subscribe("drain.reader")
        for i in range(1000):
            await client.publish("drain.reader", str(i))

        async def read() -> None:
            async for message in sub:
                await asyncio.sleep(0)
                await client.publish("drain.seen", message.data)
                seen(message)

        reader = asyncio.create_task(read())
        await seen.reach(1)
    await reader
    assert [int(message.data) for message in seen] == list(range(1000))


async def test_too_slow(nats_url: str) -> None:
    started = Gathered()

    async def hang(message: Msg) -> None:
        started(message)
        await asyncio.get_running_loop().create_future()

    async with leaves_nothing():
        client = await connect(nats_url)
        await client.subscribe("drain.slow", cb=hang)
        for _ in range(5):
            await client.publish("drain.slow")
        await client.flush()
        await started.reach()
        with pytest.raises(DrainTimeoutError, match=r"0\.02 s; 4 messages are left and 1 callbacks"):
            await client.drain(0.02)
        assert client.is_closed


async def test_without_a_timeout_it_takes_that_of_the_options(nats_url: str) -> None:
    started = Gathered()

    async def hang(message: Msg) -> None:
        started(message)
        await asyncio.get_running_loop().create_future()

    client = await connect(nats_url, drain_timeout=0.03)
    await client.subscribe("drain.slow", cb=hang)
    await client.publish("drain.slow")
    await started.reach()
    with pytest.raises(DrainTimeoutError, match=r"0\.03 s"):
        await client.drain()


async def test_a_server_that_does_not_answer() -> None:
    async with leaves_nothing(), Peer(Deaf()) as peer:
        client = await connect(peer.url)
        await client.publish("a", b"1")
        with pytest.raises(DrainTimeoutError):
            await client.drain(0.02)
        assert client.is_closed


async def test_twice_at_once(nats_url: str) -> None:
    gate, started, closed = asyncio.Event(), Gathered(), Gathered()

    async def hold(message: Msg) -> None:
        started(message)
        await gate.wait()

    client = await connect(nats_url, closed_cb=closed)
    await client.subscribe("drain.twice", cb=hold)
    await client.publish("drain.twice")
    await started.reach()
    both = [asyncio.create_task(client.drain()) for _ in range(2)]
    await eventually(lambda: client.is_draining)
    gate.set()
    await asyncio.gather(*both)
    assert client.is_closed
    assert len(closed) == 1
    with pytest.raises(ConnectionClosedError):
        await client.drain()


async def test_close_cuts_it_short(nats_url: str) -> None:
    started = Gathered()

    async def hang(message: Msg) -> None:
        started(message)
        await asyncio.get_running_loop().create_future()

    async with leaves_nothing():
        client = await connect(nats_url)
        await client.subscribe("drain.cut", cb=hang)
        sub = await client.subscribe("drain.cut")
        for _ in range(3):
            await client.publish("drain.cut")

        async def read_slowly() -> None:
            async for _ in sub:
                await asyncio.get_running_loop().create_future()

        reader = asyncio.create_task(read_slowly())
        await started.reach()
        draining = [asyncio.create_task(client.drain()) for _ in range(2)]
        await eventually(lambda: sub.is_closed)
        await client.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*draining)
        reader.cancel()
        await asyncio.wait([reader])


async def test_the_connection_is_lost_meanwhile(nats_url: str) -> None:
    gate, started, handled = asyncio.Event(), Gathered(), Gathered()

    async def hold(message: Msg) -> None:
        started(message)
        await gate.wait()
        handled(message)

    async with leaves_nothing(), Proxy(nats_url) as proxy:
        client = await connect(proxy.url)
        sub = await client.subscribe("drain.lost", cb=hold)
        for _ in range(3):
            await client.publish("drain.lost")
        await client.flush()
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: sub.is_closed)
        proxy.cut()
        await eventually(lambda: not client.is_connected)
        gate.set()
        await draining
        assert len(handled) == 3
        assert client.is_closed


async def test_the_connection_is_lost_before_anything_was_ready(nats_url: str) -> None:
    async with leaves_nothing(), Proxy(nats_url) as proxy:
        client = await connect(proxy.url)
        await client.subscribe("drain.lost")
        with proxy.deaf():
            draining = asyncio.create_task(client.drain())
            await eventually(lambda: client.is_draining)
            proxy.cut()
            await draining
        assert client.is_closed


async def test_while_it_reconnects_what_was_delivered_is_handled(nats_url: str) -> None:
    gate, started, handled = asyncio.Event(), Gathered(), Gathered()

    async def hold(message: Msg) -> None:
        started(message)
        await gate.wait()
        handled(message)

    async with leaves_nothing(), Proxy(nats_url) as proxy:
        client = await connect(proxy.url)
        await client.subscribe("drain.away", cb=hold)
        for _ in range(3):
            await client.publish("drain.away")
        await client.flush()
        async with proxy.away():
            await eventually(lambda: client.is_reconnecting)
            draining = asyncio.create_task(client.drain())
            await eventually(lambda: client.is_draining)
            gate.set()
            await draining
        assert len(handled) == 3
        assert client.is_closed


async def test_while_it_reconnects_what_is_held_is_not_lost_in_silence(nats_url: str) -> None:
    errors = Gathered()
    async with leaves_nothing(), Proxy(nats_url) as proxy:
        client = await connect(proxy.url, error_cb=errors)
        async with proxy.away():
            await eventually(lambda: client.is_reconnecting)
            await client.publish("drain.held", b"1")
            with pytest.raises(DrainTimeoutError, match="21 bytes that were published are not sent"):
                await client.drain(timeout=0.05)
        assert client.is_closed
    (error,) = errors
    assert "21 bytes that were published could not be sent" in str(error)


async def test_while_it_reconnects_it_waits_to_deliver_what_is_held(nats_url: str) -> None:
    async with leaves_nothing(), Proxy(nats_url) as proxy, await connect(nats_url) as other:
        sub = await other.subscribe("drain.held")
        await other.flush()
        client = await connect(proxy.url, reconnect_time_wait=0.01)
        async with proxy.away():
            await eventually(lambda: client.is_reconnecting)
            await client.publish("drain.held", b"1")
            draining = asyncio.create_task(client.drain())
            await eventually(lambda: client.is_draining)
            await client.publish("drain.held", b"2")
        await draining
        assert client.is_closed
        assert [(await sub.next_msg()).data for _ in range(2)] == [b"1", b"2"]


async def test_what_callbacks_answer_after_a_loss_is_delivered_too(nats_url: str) -> None:
    gate = asyncio.Event()

    async def answer_late(message: Msg) -> None:
        await gate.wait()
        await message.respond(b"late")

    async with leaves_nothing(), Proxy(nats_url) as proxy, await connect(nats_url) as other:
        client = await connect(proxy.url, reconnect_time_wait=0.01)
        sub = await client.subscribe("drain.answer", cb=answer_late)
        await client.flush()
        asking = asyncio.create_task(other.request("drain.answer", timeout=20))
        await eventually(lambda: sub.received)
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: sub.is_closed)
        proxy.cut()
        await eventually(lambda: not client.is_connected)
        gate.set()
        assert (await asking).data == b"late"
        await draining


async def test_a_callback_that_waits_for_room_does_not_hold_it_up(nats_url: str) -> None:
    gate = asyncio.Event()

    async def publish_late(message: Msg) -> None:
        await gate.wait()
        await client.publish("drain.room", bytes(100))

    options: dict[str, Any] = {"reconnect_buffer_policy": "block", "reconnect_buffer_size": 50}
    async with leaves_nothing(), Proxy(nats_url) as proxy, await connect(nats_url) as other:
        heard = await other.subscribe("drain.room")
        client = await connect(proxy.url, reconnect_time_wait=0.01, **options)
        sub = await client.subscribe("drain.block", cb=publish_late)
        await client.publish("drain.block")
        await eventually(lambda: sub.received)
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: sub.is_closed)
        async with proxy.away():
            await eventually(lambda: not client.is_connected)
            gate.set()
            await asyncio.sleep(0)
        await draining
        assert (await heard.next_msg(10)).data == bytes(100)


async def test_from_a_lame_server_that_ends_meanwhile() -> None:
    """It found no other server then, and finds one now."""
    gate, lame, came = asyncio.Event(), Gathered(), Gathered()

    async def publish_late(message: Msg) -> None:
        await gate.wait()
        await client.publish("drain.lame", b"1")

    async def go_lame(side: Side) -> None:
        sid = (await side.expect(b"SUB")).split()[-1]
        await side.send(b'INFO {"ldm": true}\r\nMSG a %b 0\r\n\r\n' % sid)

    async def hear(side: Side) -> None:
        await side.expect(b"PUB drain.lame 1")
        came(await side.line())

    async with leaves_nothing(), Peer(Welcoming(go_lame), Welcoming(hear)) as peer:
        client = await connect(peer.url, lame_duck_mode_cb=lame)
        sub = await client.subscribe("a", cb=publish_late)
        await lame.reach()
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: sub.is_closed)
        peer.sides[0].cut()
        await eventually(lambda: not client.is_connected)
        gate.set()
        await draining
        assert came == [b"1"]


async def test_what_is_held_is_reported_when_nothing_comes_back() -> None:
    errors, gate = Gathered(), asyncio.Event()

    async def refuse(side: Side) -> None:
        await gate.wait()
        await side.send(b"no\r\n")

    async with leaves_nothing(), Peer(Welcoming(), refuse) as peer:
        client = await connect(peer.url, error_cb=errors, max_reconnect_attempts=1)
        peer.sides[0].cut()
        await eventually(lambda: client.is_reconnecting)
        await client.publish("drain.held", b"1")
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: client.is_draining)
        gate.set()
        with pytest.raises(ConnectionReconnectingError, match="21 bytes") as caught:
            await draining
        assert isinstance(caught.value.__cause__, NoServersError)
        assert client.is_closed
    assert [type(error) for error in errors] == [NoServersError, ConnectionClosedError]


async def test_cancelling_it_closes_the_client(nats_url: str) -> None:
    started = Gathered()

    async def hang(message: Msg) -> None:
        started(message)
        await asyncio.get_running_loop().create_future()

    async with leaves_nothing():
        client = await connect(nats_url)
        await client.subscribe("drain.cancel", cb=hang)
        await client.publish("drain.cancel")
        await started.reach()
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: client.is_draining)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        assert client.is_closed


async def test_the_server_hears_unsub_before_the_end() -> None:
    lines: list[bytes] = []

    async def script(side: Side) -> None:
        await Welcoming()(side)
        lines.extend(side.lines[2:])

    async with Peer(script) as peer:
        client = await connect(peer.url)
        sub = await client.subscribe("a")
        await client.publish("b", b"1")
        await client.drain()
        await eventually(lambda: lines)
    assert lines == [b"SUB a %d" % sub.sid, b"PUB b 1", b"1", b"UNSUB %d" % sub.sid, b"PING", b"PING", b""]
