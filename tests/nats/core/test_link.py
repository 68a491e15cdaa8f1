"""One connection: pings both ways, errors of the server, and its end."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.nats.core.gathering import Gathered, Ticks, eventually, leaves_nothing
from tests.peers import Deaf, Peer, Side, Welcoming, info_line

from tidings.nats import (
    AuthorizationError,
    ConnectionClosedError,
    FlushTimeoutError,
    PermissionsError,
    ProtocolError,
    ServerError,
    StaleConnectionError,
    connect,
)
from tidings.nats.core.link import server_error
from tidings.nats.server import NatsServer
from tidings.nats.wire import Route


def bounded(sock: socket.socket) -> None:
    """Keep the kernel from making its buffers larger, so that a socket that is full stays full."""
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, buffer, 64 * 1024)


class TestPings:
    async def test_those_of_the_server_are_answered(self) -> None:
        answered = asyncio.Event()

        async def script(side: Side) -> None:
            await side.greet()
            for _ in range(3):
                await side.send(b"PING\r\n")
                await side.expect(b"PONG")
            answered.set()
            await side.answer_pings()

        async with Peer(script) as peer:
            client = await connect(peer.url)
            await answered.wait()
            await client.close()

    async def test_answered_ones_of_ours_keep_it_alive(self) -> None:
        async with Peer(Welcoming()) as peer:
            ticks = Ticks()
            client = await connect(peer.url, ping_interval=ticks.interval, max_outstanding_pings=1)
            for _ in range(5):
                ticks.tick()
                await client.flush()  # its PONG comes after that of the ping
            assert peer.sides[0].lines.count(b"PING") == 1 + 5 * 2
            assert client.is_connected
            assert len(peer.sides) == 1
            await client.close()

    @pytest.mark.parametrize("outstanding", [1, 3])
    async def test_unanswered_ones_end_it(self, outstanding: int) -> None:
        lost, back, pings = Gathered(), Gathered(), Gathered()

        async def deaf_mute(side: Side) -> None:
            await side.greet()
            while line := await side.line():
                pings(line)

        async with leaves_nothing(), Peer(deaf_mute, Welcoming()) as peer:
            ticks = Ticks()
            client = await connect(
                peer.url,
                ping_interval=ticks.interval,
                max_outstanding_pings=outstanding,
                disconnected_cb=lost,
                reconnected_cb=back,
            )
            for count in range(1, outstanding + 1):
                ticks.tick()
                await pings.reach(count)
                assert client.is_connected
            ticks.tick()
            await lost.reach()
            assert isinstance(client.last_error, StaleConnectionError)
            assert f"did not answer {outstanding} pings" in str(client.last_error)
            await back.reach()
            assert client.is_connected
            assert pings == [b"PING"] * outstanding
            await client.close()

    async def test_a_server_that_stops_reading_is_noticed_too(self) -> None:
        lost = Gathered()
        async with leaves_nothing(), Peer(Deaf()) as peer:
            ticks = Ticks()
            client = await connect(
                peer.url,
                ping_interval=ticks.interval,
                allow_reconnect=False,
                disconnected_cb=lost,
                error_cb=Gathered(),
            )

            async def publish() -> None:
                while True:
                    await client.publish("fill", bytes(60_000))

            publishing = asyncio.create_task(publish())
            link = client._link
            assert link is not None
            await eventually(lambda: link.paused)
            for _ in range(3):
                ticks.tick()
            await lost.reach()
            with pytest.raises(ConnectionClosedError):
                await publishing
            await eventually(lambda: client._closed.done())

    async def test_they_do_not_answer_for_a_flush(self) -> None:
        """While the socket is full no PING has left: they must leave in the order they are waited for."""
        go, on = asyncio.Event(), asyncio.Event()

        async def answers_those_before_the_last_word(side: Side) -> None:
            await side.greet()
            side.stop_reading()
            await go.wait()
            side.resume_reading()
            while (line := await side.line()) != b"PUB last.word 0":
                if line == b"PING":
                    await side.send(b"PONG\r\n")
            await side.send(info_line(answered=True))
            await on.wait()
            await side.answer_pings()

        async with leaves_nothing(), Peer(answers_those_before_the_last_word) as peer:
            ticks = Ticks()
            client = await connect(peer.url, ping_interval=ticks.interval)

            async def publish() -> None:
                while True:
                    await client.publish("fill", bytes(60_000))

            publishing = asyncio.create_task(publish())
            link = client._link
            assert link is not None
            await eventually(lambda: link.paused)
            publishing.cancel()
            await asyncio.wait([publishing])
            await client.publish("last.word")
            flushing = asyncio.create_task(client.flush(20))
            await eventually(lambda: link._pongs)
            ticks.tick()
            assert len(link._pongs) == 2
            go.set()
            await eventually(lambda: client.server_info.get("answered"))
            assert not flushing.done()
            on.set()
            await flushing
            await client.close()

    async def test_a_server_that_pings_and_does_not_read_costs_no_memory(self) -> None:
        go, heard, pongs = asyncio.Event(), asyncio.Event(), Gathered()
        reading_nothing = asyncio.Event()

        async def flood(side: Side) -> None:
            await side.greet()
            side.stop_reading()
            bounded(side.writer.get_extra_info("socket"))
            reading_nothing.set()
            await go.wait()
            for _ in range(20):
                await side.send(b"PING\r\n" * 10_000)
            await side.send(b'INFO {"flooded": true}\r\n')
            await heard.wait()
            side.resume_reading()
            while line := await side.line():
                if line == b"PONG":
                    pongs(line)
                elif line == b"PING":
                    await side.send(b"PONG\r\n")

        async with leaves_nothing(), Peer(flood) as peer:
            client = await connect(peer.url)
            link = client._link
            assert link is not None
            transport = link._transport
            assert transport is not None
            bounded(transport.get_extra_info("socket"))
            await reading_nothing.wait()

            async def publish() -> None:
                while True:
                    await client.publish("fill", bytes(60_000))

            publishing = asyncio.create_task(publish())
            await eventually(lambda: link.paused)
            publishing.cancel()
            await asyncio.wait([publishing])
            before = transport.get_write_buffer_size()
            go.set()
            await eventually(lambda: client.server_info.get("flooded"))
            assert transport.get_write_buffer_size() <= before
            heard.set()
            await client.flush()
            assert pongs == [b"PONG"]
            await client.close()

    async def test_pongs_nobody_asked_for_do_no_harm(self) -> None:
        async def generous(side: Side) -> None:
            await side.send(b"PONG\r\n" * 1000)

        async with Peer(Welcoming(generous)) as peer:
            client = await connect(peer.url)
            await client.flush()
            await client.close()


class TestErrorsOfTheServer:
    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("Authorization Violation", AuthorizationError),
            ("User Authentication Expired", AuthorizationError),
            ("User Authentication Revoked", AuthorizationError),
            ("Account Authentication Expired", AuthorizationError),
            ("Authentication Timeout", AuthorizationError),
            ('Permissions Violation for Publish to "a"', PermissionsError),
            ('Permissions Violation for Subscription to "a" using queue "q"', PermissionsError),
            ("Stale Connection", StaleConnectionError),
            ("Maximum Connections Exceeded", ServerError),
            ("", ServerError),
        ],
    )
    def test_the_class_by_the_text(self, text: str, kind: type[Exception]) -> None:
        for spelled in (text, text.upper(), text.lower()):
            assert type(server_error(spelled)) is kind
            assert str(server_error(spelled)) == spelled

    async def test_they_are_reported_and_kept(self) -> None:
        errors = Gathered()

        async def complain(side: Side) -> None:
            await side.send(b"-ERR 'Maximum Subscriptions Exceeded'\r\n")

        async with Peer(Welcoming(complain)) as peer:
            client = await connect(peer.url, error_cb=errors)
            (error,) = await errors.reach()
            assert str(error) == "Maximum Subscriptions Exceeded"
            assert client.last_error is error
            assert client.is_connected
            await client.close()

    async def test_a_permission_that_is_missing(self) -> None:
        config = 'authorization { users = [{ user: u, password: p, permissions: { publish: "ok.>" } }] }'
        errors = Gathered()
        with NatsServer(jetstream=False, token=False, config=config) as server:
            address = f"{server.host}:{server.port}"
            async with await connect(f"nats://u:p@{address}", error_cb=errors) as client:
                await client.publish("forbidden.fruit")
                await client.publish("ok.fruit")
                (error,) = await errors.reach()
                await client.flush()
                assert client.is_connected
        assert isinstance(error, PermissionsError)
        assert "forbidden.fruit" in str(error)


class TestNonsense:
    async def test_in_the_middle_of_a_connection_ends_it(self) -> None:
        back = Gathered()

        async def nonsense(side: Side) -> None:
            await side.expect(b"SUB")
            await side.send(b"HELLO\r\n")

        async with leaves_nothing(), Peer(Welcoming(nonsense), Welcoming()) as peer:
            client = await connect(peer.url, reconnected_cb=back)
            await client.subscribe("a")
            await back.reach()
            assert isinstance(client.last_error, ProtocolError)
            await client.flush()
            await client.close()

    async def test_what_came_before_it_is_delivered(self) -> None:
        async def nonsense(side: Side) -> None:
            sid = (await side.expect(b"SUB")).split()[-1]
            await side.send(b"MSG a %b 1\r\n1\r\nMSG a %b 1\r\n2\r\nNONSENSE\r\n" % (sid, sid))

        async with Peer(Welcoming(nonsense), Welcoming()) as peer:
            client = await connect(peer.url)
            sub = await client.subscribe("a")
            assert [(await sub.next_msg(10)).data for _ in range(2)] == [b"1", b"2"]
            await client.close()

    async def test_what_the_server_said_before_it_is_heard(self) -> None:
        lame, errors = Gathered(), Gathered()

        async def last_words(side: Side) -> None:
            await side.expect(b"SUB")
            await side.send(info_line(ldm=True) + b"-ERR 'Stale Connection'\r\nNONSENSE\r\n")

        async with Peer(Welcoming(last_words), Welcoming()) as peer:
            client = await connect(peer.url, lame_duck_mode_cb=lame, error_cb=errors)
            await client.subscribe("a")
            await lame.reach()
            (error,) = await errors.reach()
            assert isinstance(error, StaleConnectionError)
            assert client.last_error is error
            await client.close()

    async def test_messages_for_nobody_are_skipped(self) -> None:
        async def stray(side: Side) -> None:
            await side.send(b"MSG a 999 1\r\n1\r\n")

        async with Peer(Welcoming(stray)) as peer:
            client = await connect(peer.url)
            await client.flush()
            assert client.is_connected
            await client.close()

    async def test_the_last_words_of_a_server_are_heard(self) -> None:
        errors = Gathered()

        async def last_words(side: Side) -> None:
            await side.greet()
            await side.send(b"-ERR 'Server Shutdown'\r\n")

        async with Peer(last_words) as peer:
            client = await connect(peer.url, error_cb=errors, allow_reconnect=False)
            await eventually(lambda: client.is_closed)
            assert str(errors[0]) == "Server Shutdown"
            await client.close()


class TestFlush:
    async def test_one_that_timed_out_does_not_take_the_pong_of_the_next(self) -> None:
        go = asyncio.Event()

        async def late(side: Side) -> None:
            await side.greet()
            await side.expect(b"PING")
            await side.expect(b"PING")
            await side.send(b"PONG\r\n")
            await go.wait()
            await side.send(b"PONG\r\n")
            await side.answer_pings()

        async with Peer(late) as peer:
            client = await connect(peer.url)
            with pytest.raises(FlushTimeoutError, match=peer.url):
                await client.flush(0.01)
            link = client._link
            assert link is not None
            second = asyncio.create_task(client.flush(20))
            await eventually(lambda: len(link._pongs) == 1)  # the first PONG was for the first
            assert not second.done()
            go.set()
            await second
            await client.close()


class TestFaultsOfOurs:
    """What handles one message may be broken; the others are handled all the same."""

    async def test_a_route_that_cannot_be_woken(self, nats_url: str) -> None:
        class Broken(Route):
            def wake(self) -> None:
                while self.pop() is not None:
                    pass
                raise LookupError("not woken")

        told, lost = Gathered(), Gathered()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told(context["exception"]))
        async with await connect(nats_url, disconnected_cb=lost) as client:
            registry = client.registry
            registry.add_route(Broken(registry.next_sid()), "fault")
            sub = await client.subscribe("fault")
            for _ in range(3):
                await client.publish("fault")
                await client.flush(20)
                await sub.next_msg(20)
            assert {repr(error) for error in told} == {"LookupError('not woken')"}
            assert not lost

    async def test_an_error_of_the_server_that_is_mishandled(self) -> None:
        async def script(side: Side) -> None:
            await side.greet()
            await side.expect(b"SUB")
            await side.expect(b"PING")
            await side.send(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\nPONG\r\n")
            await side.answer_pings()

        def fails(error: PermissionsError) -> None:
            raise LookupError("mishandled")

        told = Gathered()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told(context["exception"]))
        async with leaves_nothing(), Peer(script) as peer:
            client = await connect(peer.url)
            await client.subscribe("a")
            client.registry.refuse = fails  # type: ignore[method-assign]
            await client.flush(20)
            assert [repr(error) for error in told] == ["LookupError('mishandled')"]
            assert client.is_connected
            await client.close()
