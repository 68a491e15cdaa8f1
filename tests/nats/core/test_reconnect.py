"""The way back after the connection was lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Garbage, Peer, Side, Welcoming
from tests.proxy import Proxy

from tidings.nats import (
    BadSubjectError,
    Client,
    ConnectionClosedError,
    ConnectionReconnectingError,
    Msg,
    NoServersError,
    OutboundBufferLimitError,
    PossiblyLostError,
    TimeoutError,
    connect,
)
from tidings.nats.server import NatsServer

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.005,
    "reconnect_jitter": 0.001,
    "max_reconnect_attempts": -1,
}


class TestARealServer:
    async def test_everything_comes_back(self, nats_server: NatsServer) -> None:
        """Subscriptions, queue groups, what is left of max_msgs, requests, and publishes made meanwhile."""
        lost, back, plain, limited, shared = (Gathered() for _ in range(5))

        async def came_back() -> None:
            back()

        client = await connect(nats_server.url, disconnected_cb=lost, reconnected_cb=came_back, **QUICK)
        await client.subscribe("plain.*", cb=plain)
        limit = await client.subscribe("limited", cb=limited, max_msgs=5)
        for _ in range(2):
            await client.subscribe("shared", "group", cb=shared)
        await client.subscribe("echo", cb=lambda message: message.respond(message.data))
        gone = await client.subscribe("gone", cb=plain)
        await gone.unsubscribe()
        await client.request("echo", timeout=10)
        for i in range(3):
            await client.publish("limited", str(i))
        await client.flush()

        nats_server.kill()
        await lost.reach()
        await eventually(lambda: client.is_reconnecting)
        assert not client.is_connected
        assert client.connected_url is None
        for i in range(1000):
            await client.publish("plain.away", str(i))
        nats_server.restart()
        await back.reach()

        await plain.reach(1000)
        assert [int(message.data) for message in plain] == list(range(1000))
        assert (await client.request("echo", b"again", timeout=10)).data == b"again"
        for i in range(3, 10):
            await client.publish("limited", str(i))
        await client.publish("gone")
        for i in range(10):
            await client.publish("shared", str(i))
        await client.flush()
        await shared.reach(10)
        assert [int(message.data) for message in limited] == [0, 1, 2, 3, 4]
        assert limit.is_closed
        assert sorted(int(message.data) for message in shared) == list(range(10))
        assert len(plain) == 1000
        assert client.is_connected
        assert (len(lost), len(back)) == (1, 1)
        await client.close()

    async def test_another_node_of_the_cluster_is_found(self) -> None:
        """Only one is named; its token is in the URL, and the others are told by INFO without one."""
        back = Gathered()
        with NatsServer.cluster(2) as cluster:
            first, second = cluster.servers
            client = await connect(first.url, reconnected_cb=back, **QUICK)
            sub = await client.subscribe("cluster")
            await client.flush()
            first.kill()
            await back.reach()
            assert client.connected_url == f"nats://{second.host}:{second.port}"
            await client.publish("cluster", b"1")
            assert (await sub.next_msg(10)).data == b"1"
            await client.close()


class TestComingBack:
    async def test_subscriptions_come_before_what_was_published(self) -> None:
        go = asyncio.Event()

        async def cut(side: Side) -> None:
            await side.greet()
            await side.expect(b"SUB ")
            await side.expect(b"SUB ")

        async def second(side: Side) -> None:
            await go.wait()
            await Welcoming()(side)

        async with leaves_nothing(), Peer(cut, second) as peer:
            client = await connect(peer.url, **QUICK)
            one = await client.subscribe("one", "group")
            two = await client.subscribe("two", max_msgs=7)
            await eventually(lambda: client.is_reconnecting)
            await client.publish("away", b"1")
            three = await client.subscribe("three")
            await client.publish("away", b"2")
            go.set()
            await eventually(lambda: client.is_connected)
            await client.flush()
            await client.close()
            lines = peer.sides[1].lines
        assert lines[2:-2] == [
            b"SUB one group %d" % one.sid,
            b"SUB two %d" % two.sid,
            b"UNSUB %d 7" % two.sid,
            b"SUB three %d" % three.sid,
            b"PUB away 1",
            b"1",
            b"PUB away 1",
            b"2",
        ]

    async def test_what_is_left_of_max_msgs_is_asked_for(self) -> None:
        async def three_of_five(side: Side) -> None:
            await side.greet()
            sid = (await side.expect(b"SUB ")).split()[-1]
            await side.expect(b"UNSUB %b 5" % sid)
            await side.send(b"MSG a %b 1\r\nx\r\n" % sid * 3)

        async with Peer(three_of_five, Welcoming()) as peer:
            client = await connect(peer.url, **QUICK)
            sub = await client.subscribe("a", max_msgs=5)
            await eventually(lambda: len(peer.sides) == 2 and client.is_connected)
            await client.flush()
            assert peer.sides[1].lines[2:4] == [b"SUB a %d" % sub.sid, b"UNSUB %d 2" % sub.sid]
            await client.close()

    async def test_what_ended_while_away_does_not_come_back(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **QUICK)
            dropped, drained = await client.subscribe("a"), await client.subscribe("a")
            await client.flush()
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                await dropped.unsubscribe()
                await drained.drain()
            await eventually(lambda: client.is_connected)
            await client.publish("a")
            await client.flush()
            assert (dropped.received, drained.received) == (0, 0)
            await client.close()

    async def test_subscribing_while_away(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **QUICK)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                sub = await client.subscribe("late", max_msgs=1)
                for bad, queue in (("a b", ""), ("x" * 5000, ""), ("a", "q r"), ("a", "q" * 5000)):
                    with pytest.raises(BadSubjectError):
                        await client.subscribe(bad, queue)
            await eventually(lambda: client.is_connected)
            await client.publish("late", b"1")
            assert (await sub.next_msg(10)).data == b"1"
            await client.close()

    async def test_the_first_request_may_be_made_while_away(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy, await connect(nats_url) as service:
            await service.subscribe("echo", cb=lambda message: message.respond(message.data))
            await service.flush()
            client = await connect(proxy.url, **QUICK)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                asking = asyncio.create_task(client.request("echo", b"1", timeout=20))
                await eventually(lambda: client._replies is not None)
            assert (await asking).data == b"1"
            await client.close()

    async def test_a_request_under_way_times_out_as_usual(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy, await connect(nats_url) as service:
            asked = Gathered()
            await service.subscribe("slow", cb=asked)
            await service.flush()
            client = await connect(proxy.url, **QUICK)
            asking = asyncio.create_task(client.request("slow", timeout=0.2))
            await asked.reach()
            proxy.cut()
            with pytest.raises(TimeoutError):
                await asking
            await client.close()

    async def test_a_reply_may_come_over_the_new_connection(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy, await connect(nats_url) as service:
            asked, back = Gathered(), Gathered()
            await service.subscribe("slow", cb=asked)
            await service.flush()
            client = await connect(proxy.url, reconnected_cb=back, **QUICK)
            asking = asyncio.create_task(client.request("slow", timeout=20))
            (question,) = await asked.reach()
            proxy.cut()
            await back.reach()
            await client.flush()
            await question.respond(b"here")
            assert (await asking).data == b"here"
            await client.close()

    async def test_a_flush_under_way_fails(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **QUICK)
            with proxy.deaf():
                flushing = asyncio.create_task(client.flush(20))
                await eventually(lambda: client._link is not None and client._link._pongs)
                proxy.cut()
                with pytest.raises(ConnectionClosedError, match="was lost"):
                    await flushing
            await client.close()

    async def test_a_flush_while_away_is_refused(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **QUICK)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                with pytest.raises(ConnectionReconnectingError, match="away"):
                    await client.flush()
                with pytest.raises(ConnectionReconnectingError):
                    await client.rtt()
            await client.close()

    async def test_iterators_and_readers_go_on(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            back = Gathered()
            client = await connect(proxy.url, reconnected_cb=back, **QUICK)
            iterated, read = await client.subscribe("go.on", max_msgs=3), await client.subscribe("go.on")
            seen = Gathered()

            async def iterate() -> None:
                async for message in iterated:
                    seen(message)

            iterating = asyncio.create_task(iterate())
            reading = asyncio.create_task(read.next_msg(20))
            await client.publish("go.on", b"1")
            await seen.reach(1)
            await reading
            reading = asyncio.create_task(read.next_msg(20))
            proxy.cut()
            await back.reach()
            await client.publish("go.on", b"2")
            await client.publish("go.on", b"3")
            await iterating
            assert seen.data == [b"1", b"2", b"3"]
            assert (await reading).data == b"2"
            await client.close()

    async def test_again_and_again(self, nats_url: str) -> None:
        back, gathered = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(proxy.url, reconnected_cb=back, **QUICK)
            await client.subscribe("again", cb=gathered)
            for round_ in range(1, 6):
                await client.publish("again", str(round_))
                await gathered.reach(round_)
                proxy.cut()
                await back.reach(round_)
            await client.close()
        assert gathered.data == [b"1", b"2", b"3", b"4", b"5"]

    async def test_a_callback_that_runs_meanwhile_goes_on(self, nats_url: str) -> None:
        gate, started, done = asyncio.Event(), Gathered(), Gathered()

        async def work(message: Msg) -> None:
            started(message)
            await gate.wait()
            await message.respond(b"done")
            done(message)

        async with Proxy(nats_url) as proxy, await connect(nats_url) as other:
            client = await connect(proxy.url, **QUICK)
            await client.subscribe("work", cb=work)
            await client.flush()
            asking = asyncio.create_task(other.request("work", timeout=20))
            await started.reach()
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                gate.set()
                await done.reach()
            assert (await asking).data == b"done"
            await client.close()

    async def test_a_server_that_throws_us_out_at_once_is_not_stormed(self) -> None:
        """The first time we come back at once, after that with the pause between rounds."""

        async def throw_out(side: Side) -> None:
            await side.greet()

        async with leaves_nothing(), Peer(throw_out) as peer:
            client = await connect(peer.url, reconnect_time_wait=30, max_reconnect_attempts=-1)
            await eventually(lambda: len(peer.sides) == 2 and client.is_reconnecting)
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(peer.sides) == 2
            await client.close()


class TestWhatIsHeld:
    async def test_up_to_a_limit(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy, await connect(nats_url) as other:
            sub = await other.subscribe("held")
            await other.flush()
            client = await connect(proxy.url, reconnect_buffer_size=1000, **QUICK)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                for _ in range(8):
                    await client.publish("held", bytes(100))
                with pytest.raises(OutboundBufferLimitError, match="limit is 1000"):
                    await client.publish("held", bytes(100))
                with pytest.raises(OutboundBufferLimitError):
                    await client.request("held", bytes(100), timeout=10)
                await client.publish("held", b"small")
            await eventually(lambda: client.is_connected)
            await client.flush()
            await other.flush()
            assert sub.received == 9
            await client.close()

    @pytest.mark.parametrize("size", [0, -1])
    async def test_a_limit_of_zero_holds_nothing(self, nats_url: str, size: int) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, reconnect_buffer_size=size, **QUICK)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                with pytest.raises(OutboundBufferLimitError, match=r"=-?\d holds nothing"):
                    await client.publish("held")
            await eventually(lambda: client.is_connected)
            await client.publish("held")
            await client.flush()
            await client.close()

    async def test_there_is_no_limit_while_connected(self, nats_url: str) -> None:
        async with Proxy(nats_url) as proxy:
            client = await connect(proxy.url, reconnect_buffer_size=10, **QUICK)
            for _ in range(100):
                await client.publish("free", bytes(100))
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
            await eventually(lambda: client.is_connected)
            for _ in range(100):
                await client.publish("free", bytes(100))
            await client.flush()
            await client.close()

    async def test_close_tells_what_it_could_not_send(self, nats_url: str) -> None:
        errors = Gathered()
        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(proxy.url, error_cb=errors, **QUICK)
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                await client.publish("held", b"1")
                await client.close()
        (error,) = errors
        assert isinstance(error, ConnectionClosedError)
        assert "15 bytes" in str(error)


class TestGivingUp:
    async def give_up(self, client: Client) -> None:
        await eventually(lambda: client.is_closed)
        await eventually(lambda: client._closed.done())

    async def test_when_it_is_not_wanted(self, nats_url: str) -> None:
        events, errors = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(
                proxy.url,
                allow_reconnect=False,
                error_cb=errors,
                disconnected_cb=lambda: events("disconnected"),
                closed_cb=lambda: events("closed"),
            )
            sub = await client.subscribe("a")
            proxy.cut()
            await self.give_up(client)
            assert events == ["disconnected", "closed"]
            assert proxy.connections == 0
            with pytest.raises(ConnectionClosedError):
                await sub.next_msg()
            with pytest.raises(ConnectionClosedError) as caught:
                await client.publish("a")
            assert "allow_reconnect is off" in str(caught.value.__cause__)
            assert len(errors) == 1

    @pytest.mark.parametrize("attempts", [1, 3])
    async def test_when_the_attempts_are_used_up(self, nats_url: str, attempts: int) -> None:
        tried = 0

        async def refuse(side: Side) -> None:
            nonlocal tried
            tried += 1

        async def once(side: Side) -> None:
            await side.greet()
            await side.expect(b"SUB")

        errors = Gathered()
        async with leaves_nothing(), Peer(once, refuse) as peer:
            client = await connect(
                peer.url, error_cb=errors, **(QUICK | {"max_reconnect_attempts": attempts})
            )
            sub = await client.subscribe("a")
            reading = asyncio.create_task(sub.next_msg(None))
            iterating = asyncio.create_task(self.collect(await client.subscribe("b")))
            asking = asyncio.create_task(client.request("c", timeout=None))
            await self.give_up(client)
            assert tried == attempts
            assert isinstance(client.last_error, NoServersError)
            lost, error = errors  # the request, and then all of it
            assert isinstance(lost, PossiblyLostError)
            assert error is client.last_error
            assert isinstance(client.last_error.__cause__, ConnectionClosedError)
            for waiter in (reading, asking):
                with pytest.raises(ConnectionClosedError):
                    await waiter
            assert await iterating == []

    async def collect(self, sub: Any) -> list[Msg]:
        return [message async for message in sub]

    async def test_each_server_has_attempts_of_its_own(self) -> None:
        scripts = (Welcoming(), Garbage(b"no\r\n"))
        async with leaves_nothing(), Peer(*scripts) as one, Peer(*scripts) as other:
            client = await connect(
                [one.url, other.url], no_randomize=True, **(QUICK | {"max_reconnect_attempts": 3})
            )
            one.sides[0].cut()
            await eventually(lambda: client.connected_url == other.url)
            other.sides[0].cut()
            await self.give_up(client)
            assert len(one.sides) == 1 + 3
            assert len(other.sides) == 1 + 2  # that it took us and dropped us at once counts too

    async def test_closing_while_it_tries(self, nats_url: str) -> None:
        async with leaves_nothing(), Proxy(nats_url) as proxy:
            client = await connect(proxy.url, **(QUICK | {"reconnect_time_wait": 30}))
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                await client.close()
            assert client.is_closed

    async def test_closing_in_the_middle_of_a_handshake(self) -> None:
        async with leaves_nothing(), Peer(Welcoming(), Garbage(b"")) as peer:
            client = await connect(peer.url, **(QUICK | {"connect_timeout": 30}))
            peer.sides[0].cut()
            await eventually(lambda: len(peer.sides) == 2)
            await client.close()
            assert client.is_closed


class TestWhichServer:
    async def test_the_others_come_before_the_one_that_was_lost(self) -> None:
        async with Peer(Welcoming()) as one, Peer(Welcoming()) as two, Peer(Welcoming()) as three:
            client = await connect([one.url, two.url, three.url], no_randomize=True, **QUICK)
            for lost, found in ((one, two), (two, three), (three, one)):
                assert client.connected_url == lost.url
                lost.sides[-1].cut()
                await eventually(lambda found=found: client.connected_url == found.url)
            await client.close()

    async def test_servers_named_later_are_tried(self) -> None:
        connects: list[dict[str, Any]] = []

        async def second(side: Side) -> None:
            connects.append(await side.greet())
            await side.answer_pings()

        async with Peer(second) as other:
            named = [f"127.0.0.1:{other.port}"]

            async def names_the_other(side: Side) -> None:
                await side.send(b'INFO {"connect_urls": ["127.0.0.1:%d"]}\r\n' % other.port)
                await side.expect(b"PING")
                await side.send(b"PONG\r\n")

            async with Peer(lambda side: greet_and(side, names_the_other)) as one:
                client = await connect(f"nats://ada:secret@127.0.0.1:{one.port}", **QUICK)
                await client.flush()
                assert client.server_info["connect_urls"] == named
                await eventually(lambda: client.connected_url == other.url)
                await client.close()
        assert (connects[0]["user"], connects[0]["pass"]) == ("ada", "secret")


async def greet_and(side: Side, then: Any) -> None:
    await side.greet()
    await then(side)
