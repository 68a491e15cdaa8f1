"""Which server is next and when, and leaving one that still serves us."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Garbage, Peer, Side, Welcoming
from tests.proxy import Proxy

from tidings.nats import (
    AuthorizationError,
    ConnectionClosedError,
    ConnectionDrainingError,
    NoServersError,
    Options,
    ServerError,
    TLSOptions,
    connect,
)
from tidings.nats.core.reconnect import LASTING, WayBack
from tidings.nats.core.servers import Server, ServerPool
from tidings.nats.server import NatsServer

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.005,
    "reconnect_jitter": 0.001,
    "max_reconnect_attempts": -1,
}


def ldm(**info: Any) -> bytes:
    return b'INFO {"ldm": true}\r\n'


class Scripted:
    """A `WayBack` whose servers refuse, and whose pauses are written down instead of waited for."""

    def __init__(self, servers: str, **options: Any) -> None:
        self.log: list[str | float] = []
        self.errors: list[Exception] = []
        self.takes: set[str] = set()
        self.pool = ServerPool(servers, shuffle=False)
        self.way = WayBack(self.pool, Options(**options), self.open, self.errors.append)
        self.way._sleep = self.sleep  # type: ignore[method-assign]

    async def open(self, server: Server) -> Any:
        self.log.append(server.host)
        if server.host not in self.takes:
            raise ConnectionRefusedError("no")
        return server

    async def sleep(self, seconds: float) -> None:
        self.log.append(round(seconds, 3))

    async def find(self) -> Any:
        return await self.way.find({"server_id": "LAST"}, LookupError("why it was lost"))

    async def give_up(self) -> list[str | float]:
        with pytest.raises(NoServersError):
            await self.find()
        return self.log


class TestRounds:
    async def test_the_first_attempt_is_made_at_once_and_the_pause_grows(self) -> None:
        scripted = Scripted(
            "a,b",
            max_reconnect_attempts=5,
            reconnect_time_wait=1,
            max_reconnect_wait=3,
            reconnect_jitter=0,
        )
        log = await scripted.give_up()
        assert log == ["a", "b", 1, "a", "b", 2, "a", "b", 3, "a", "b", 3, "a", "b"]

    async def test_a_pause_longer_than_the_limit_stays_as_it_is(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=3, reconnect_time_wait=30, reconnect_jitter=0)
        assert await scripted.give_up() == ["a", 30, "a", 30, "a"]

    async def test_jitter_is_added(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=2, reconnect_time_wait=1, reconnect_jitter=0.5)
        _, pause, _ = await scripted.give_up()
        assert isinstance(pause, float)
        assert 1 <= pause <= 1.5

    @pytest.mark.parametrize("options", [{}, {"tls": TLSOptions()}])
    async def test_with_tls_more_of_it(
        self, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
    ) -> None:
        monkeypatch.setattr("random.uniform", lambda low, high: high)
        url = "a" if options else "tls://a"
        scripted = Scripted(
            url,
            max_reconnect_attempts=2,
            reconnect_time_wait=1,
            reconnect_jitter=0,
            reconnect_jitter_tls=3,
            **options,
        )
        assert (await scripted.give_up())[1] == 4

    async def test_even_without_a_wait_a_server_is_not_stormed(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=2, reconnect_time_wait=0, reconnect_jitter=0)
        _, pause, _ = await scripted.give_up()
        assert isinstance(pause, float)
        assert pause > 0

    async def test_the_delay_may_be_given(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=4, reconnect_delay_cb=lambda attempt: attempt * 10)
        assert await scripted.give_up() == ["a", 10, "a", 20, "a", 30, "a"]

    @pytest.mark.parametrize("nonsense", [-1, None, "1", float("inf"), float("nan")], ids=repr)
    async def test_a_delay_that_is_none_is_reported(self, nonsense: Any) -> None:
        scripted = Scripted(
            "a", max_reconnect_attempts=2, reconnect_jitter=0, reconnect_delay_cb=lambda _: nonsense
        )
        assert await scripted.give_up() == ["a", 2, "a"]
        assert "number of seconds" in str(scripted.errors[0])

    async def test_the_last_error_is_the_cause(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=1)
        with pytest.raises(NoServersError) as caught:
            await scripted.find()
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    async def test_a_server_that_drops_us_at_once_is_met_with_the_pause(self) -> None:
        scripted = Scripted("a,b", reconnect_time_wait=1, reconnect_jitter=0)
        scripted.takes = {"b"}
        for _ in range(3):
            server = await scripted.find()
            scripted.way.ended(server, lived=LASTING / 2)
        assert scripted.log == ["a", "b", 1, "a", "b", 2, "a", "b"]
        assert server.failures == 3

    async def test_it_uses_up_its_attempts(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=2)
        scripted.takes = {"a"}
        for _ in range(2):
            scripted.way.ended(await scripted.find(), lived=0)
        with pytest.raises(NoServersError, match="why it was lost"):
            await scripted.find()

    async def test_a_link_that_lasted_makes_a_new_start(self) -> None:
        scripted = Scripted("a", reconnect_time_wait=1, reconnect_jitter=0)
        scripted.takes = {"a"}
        for _ in range(3):
            scripted.way.ended(await scripted.find(), lived=LASTING)
        assert scripted.log == ["a", "a", "a"]

    async def test_the_pool_may_change_during_a_pause(self) -> None:
        scripted = Scripted("a", max_reconnect_attempts=2)
        scripted.takes = {"c"}

        async def sleep(seconds: float) -> None:
            scripted.pool.replace("c")

        scripted.way._sleep = sleep  # type: ignore[method-assign]
        assert (await scripted.find()).host == "c"


class TestTheHandler:
    async def test_it_chooses_the_server_and_the_delay(self) -> None:
        asked = []

        def choose(servers: list[Server], info: dict[str, Any]) -> tuple[Server | None, float]:
            asked.append(([server.host for server in servers], [server.failures for server in servers], info))
            return servers[-1], 7.0

        scripted = Scripted("nats://ada:secret@a,b,c", reconnect_to_server_handler=choose)
        scripted.takes = {"c"}
        assert (await scripted.find()).host == "c"
        assert scripted.log == [7, "c"]
        assert asked == [(["a", "b", "c"], [0, 0, 0], {"server_id": "LAST"})]

    async def test_it_sees_no_credentials(self) -> None:
        seen = []

        async def choose(servers: list[Server], info: dict[str, Any]) -> tuple[Server | None, float]:
            seen.extend(servers)
            return servers[0], 0

        scripted = Scripted("nats://ada:secret@a", reconnect_to_server_handler=choose)
        scripted.takes = {"a"}
        server = await scripted.find()
        assert (server.user, server.password) == ("ada", "secret")
        assert (seen[0].user, seen[0].password) == (None, None)

    @pytest.mark.parametrize("answer", [(None, 5), (Server("elsewhere", 1), 5)], ids=["none", "unknown"])
    async def test_it_may_leave_the_choice_to_us(self, answer: Any) -> None:
        scripted = Scripted("a,b", reconnect_to_server_handler=lambda servers, info: answer)
        scripted.takes = {"b"}
        assert (await scripted.find()).host == "b"
        assert scripted.log == ["a", "b"]

    async def test_without_a_delay_it_does_not_make_us_storm_a_server(self) -> None:
        scripted = Scripted(
            "a,b",
            max_reconnect_attempts=2,
            reconnect_jitter=0,
            reconnect_to_server_handler=lambda servers, info: (servers[0], 0),
        )
        assert await scripted.give_up() == ["a", 2, "a", "b", 4, "b"]

    @pytest.mark.parametrize(
        "handler",
        [lambda servers, info: servers[0], lambda servers, info: (servers[0], -1), lambda servers: None],
        ids=["no pair", "delay", "arguments"],
    )
    async def test_what_it_raises_is_reported(self, handler: Any) -> None:
        scripted = Scripted("a", reconnect_to_server_handler=handler)
        scripted.takes = {"a"}
        assert (await scripted.find()).host == "a"
        assert len(scripted.errors) == 1


class TestThePool:
    async def test_it_is_shown_without_credentials(self) -> None:
        async with Peer(Welcoming(connect_urls=["h:1"])) as peer:
            client = await connect(f"nats://ada:secret@127.0.0.1:{peer.port}")
            pool = client.server_pool
            assert [(server.address, server.is_discovered) for server in pool] == [
                (peer.url, False),
                ("nats://h:1", True),
            ]
            assert all((server.user, server.password) == (None, None) for server in pool)
            pool.clear()
            assert len(client.server_pool) == 2
            await client.close()

    async def test_another_one_is_used_from_the_next_reconnect_on(self) -> None:
        async with leaves_nothing(), Peer(Welcoming()) as one, Peer(Welcoming()) as other:
            client = await connect(one.url, **QUICK)
            client.set_server_pool([other.url])
            assert [server.address for server in client.server_pool] == [other.url]
            assert client.connected_url == one.url
            for wrong in ([], "http://h", [5]):
                with pytest.raises((ValueError, TypeError)):
                    client.set_server_pool(wrong)  # type: ignore[arg-type]
            one.sides[0].cut()
            await eventually(lambda: client.connected_url == other.url)
            await client.close()
            with pytest.raises(ConnectionClosedError):
                client.set_server_pool(one.url)

    async def test_discovered_servers_may_be_ignored(self) -> None:
        found = Gathered()
        async with Peer(Welcoming(connect_urls=["h:1"])) as peer:
            client = await connect(peer.url, ignore_discovered_servers=True, discovered_server_cb=found)
            await client.flush()
            assert len(client.server_pool) == 1
            assert not found
            await client.close()

    async def test_those_that_join_later_are_told(self) -> None:
        """The ones of the first INFO are no news."""
        found = Gathered()

        async def name(side: Side) -> None:
            await side.expect(b"PING")
            await side.send(b'PONG\r\nINFO {"connect_urls": ["h:1", "h:2"]}\r\n')
            await side.expect(b"PING")
            await side.send(b'INFO {"connect_urls": ["h:2"]}\r\nPONG\r\n')

        async with Peer(Welcoming(name, connect_urls=["h:1"])) as peer:
            client = await connect(peer.url, discovered_server_cb=found)
            assert not found
            await client.flush()
            await found.reach()
            await client.flush()
            assert [server.host + str(server.port) for server in client.server_pool][1:] == ["h2"]
            assert len(found) == 1
            await client.close()


class TestRetryOnFailedConnect:
    async def test_the_server_comes_up_later(self) -> None:
        back, got = Gathered(), Gathered()
        server = NatsServer(jetstream=False)
        with server:
            url = server.url
            server.kill()
            client = await connect(url, retry_on_failed_connect=True, reconnected_cb=back, **QUICK)
            assert client.is_reconnecting
            assert not client.is_connected
            await client.subscribe("early", cb=got)
            await client.publish("early", b"1")
            server.restart()
            await back.reach()
            await got.reach()
            assert client.is_connected
            await client.close()

    async def test_it_gives_up_in_the_end(self) -> None:
        closed = Gathered()
        async with leaves_nothing(), Peer(Garbage(b"no\r\n")) as peer:
            client = await connect(
                peer.url,
                retry_on_failed_connect=True,
                closed_cb=closed,
                **(QUICK | {"max_reconnect_attempts": 2}),
            )
            await closed.reach()
            assert client.is_closed
            assert isinstance(client.last_error, NoServersError)

    async def test_wrong_credentials_are_told_at_once(self, nats_server: NatsServer) -> None:
        with pytest.raises(AuthorizationError):
            await connect(f"nats://wrong@{nats_server.host}:{nats_server.port}", retry_on_failed_connect=True)

    async def test_not_without_reconnecting(self) -> None:
        with pytest.raises(NoServersError):
            await connect("nats://127.0.0.1:9", retry_on_failed_connect=True, allow_reconnect=False)


class TestForceReconnect:
    async def test_what_was_published_arrives_and_everything_is_back(self, nats_url: str) -> None:
        events, got = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(nats_url) as one, Proxy(nats_url) as other:
            client = await connect(
                [one.url, other.url],
                no_randomize=True,
                disconnected_cb=lambda: events("away"),
                reconnected_cb=lambda: events("back"),
                **QUICK,
            )
            watcher = await connect(nats_url)
            await watcher.subscribe("force", cb=got)
            await watcher.flush()
            sub = await client.subscribe("mine")
            for number in range(1000):
                await client.publish("force", str(number))
            await client.force_reconnect()
            assert one.connections <= 1  # the proxy may not have seen its end yet
            for number in range(1000, 2000):
                await client.publish("force", str(number))
            await events.reach(2)
            assert events == ["away", "back"]
            assert client.connected_url == f"nats://127.0.0.1:{other.port}"
            await client.flush()
            await got.reach(2000)
            assert [int(data) for data in got.data] == list(range(2000))
            assert client.possibly_lost_bytes == 0
            await client.publish("mine", b"1")
            assert (await sub.next_msg(10)).data == b"1"
            await client.close()
            await watcher.close()

    async def test_it_is_asked_for_even_where_losses_end_the_client(self, nats_url: str) -> None:
        back = Gathered()
        client = await connect(nats_url, allow_reconnect=False, reconnected_cb=back, **QUICK)
        await client.force_reconnect()
        await back.reach()
        await client.flush()
        await client.close()

    async def test_a_server_that_does_not_answer_is_left_all_the_same(self) -> None:
        async def deaf(side: Side) -> None:
            await side.greet()
            await side.ended()

        back = Gathered()
        async with leaves_nothing(), Peer(deaf, Welcoming()) as peer:
            client = await connect(peer.url, reconnected_cb=back, **QUICK)
            await client.publish("a", b"1")
            await client.force_reconnect()
            await back.reach()
            assert (client.stats.possibly_lost_msgs, client.possibly_lost_bytes) == (1, 1)
            await client.close()

    async def test_while_away_it_cuts_the_pause_short(self) -> None:
        async def drop(side: Side) -> None:
            await side.greet()

        async with leaves_nothing(), Peer(drop, drop, Welcoming()) as peer:
            client = await connect(peer.url, reconnect_time_wait=60)
            await eventually(lambda: len(peer.sides) == 2 and client.is_reconnecting)
            await eventually(lambda: client._way_back._hurry is not None)
            await client.force_reconnect()
            await eventually(lambda: client.is_connected)
            await client.close()

    async def test_closing_meanwhile(self) -> None:
        async def deaf(side: Side) -> None:
            await side.greet()
            await side.ended()

        async with leaves_nothing(), Peer(deaf) as peer:
            client = await connect(peer.url, **QUICK)
            forcing = asyncio.create_task(client.force_reconnect())
            await eventually(lambda: client.is_reconnecting)
            await client.close()
            await forcing
            with pytest.raises(ConnectionClosedError):
                await client.force_reconnect()

    async def test_not_while_draining(self, nats_url: str) -> None:
        gate, started = asyncio.Event(), Gathered()

        async def wait(message: object) -> None:
            started()
            await gate.wait()

        client = await connect(nats_url)
        await client.subscribe("hold", cb=wait)
        await client.publish("hold")
        await started.reach()
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: client.is_draining)
        with pytest.raises(ConnectionDrainingError):
            await client.force_reconnect()
        gate.set()
        await draining


class TestLameDuckMode:
    async def test_a_real_server_is_left_for_another(self) -> None:
        lame, events, got = Gathered(), Gathered(), Gathered()
        with NatsServer.cluster(2) as cluster:
            first, second = cluster.servers
            client = await connect(
                first.url,
                lame_duck_mode_cb=lame,
                disconnected_cb=lambda: events("away"),
                reconnected_cb=lambda: events("back"),
                **QUICK,
            )
            await client.subscribe("ldm", cb=got)
            await client.flush()
            assert first.pid is not None
            os.kill(first.pid, signal.SIGUSR2)
            await lame.reach()
            await events.reach(2)
            assert events == ["away", "back"]
            assert client.connected_url == f"nats://{second.host}:{second.port}"
            await client.publish("ldm", b"1")
            await got.reach()
            assert client.possibly_lost_bytes == 0
            await client.close()
            first.kill()  # it would take its time

    async def test_without_another_server_we_stay_to_the_end(self) -> None:
        lame = Gathered()

        async def last_days(side: Side) -> None:
            await side.send(ldm() * 2)

        async with leaves_nothing(), Peer(Welcoming(last_days)) as peer:
            client = await connect(peer.url, lame_duck_mode_cb=lame, **QUICK)
            await lame.reach()
            await client.flush()
            assert client.is_connected
            assert len(lame) == len(peer.sides) == 1
            await client.close()

    async def test_the_other_is_there_before_the_first_is_left(self) -> None:
        go = asyncio.Event()

        async def last_days(side: Side) -> None:
            await side.send(ldm())

        async def slow(side: Side) -> None:
            await go.wait()
            await Welcoming()(side)

        async with leaves_nothing(), Peer(Welcoming(last_days)) as old, Peer(slow) as new:
            client = await connect([old.url, new.url], no_randomize=True, **QUICK)
            sub = await client.subscribe("a")
            await eventually(lambda: new.sides)
            await client.flush()
            assert client.connected_url == old.url
            go.set()
            await eventually(lambda: client.connected_url == new.url)
            await client.flush()
            assert old.sides[0].lines[-3:-1] == [b"UNSUB %d" % sub.sid, b"PING"]
            assert new.sides[0].lines[2] == b"SUB a %d" % sub.sid
            await client.close()

    @pytest.mark.parametrize("end", ["close", "drain", "lost"])
    async def test_the_end_comes_meanwhile(self, end: str) -> None:
        async def last_days(side: Side) -> None:
            await side.send(ldm())

        async def never(side: Side) -> None:
            await side.ended()

        async with leaves_nothing(), Peer(Welcoming(last_days)) as old, Peer(never, Welcoming()) as new:
            client = await connect([old.url, new.url], no_randomize=True, **QUICK)
            await eventually(lambda: new.sides)
            if end == "lost":
                old.sides[0].cut()
                await eventually(lambda: client.connected_url == new.url)
                await client.close()
            else:
                await getattr(client, end)()
            assert client.is_closed


class TestErrorsThatEndALink:
    @pytest.mark.parametrize(
        "text",
        ["Stale Connection", "Maximum Connections Exceeded", "maximum account active connections exceeded"],
    )
    async def test_some_are_passing(self, text: str) -> None:
        back, errors = Gathered(), Gathered()

        async def let_go(side: Side) -> None:
            await side.send(b"-ERR '%b'\r\n" % text.encode())

        async with leaves_nothing(), Peer(Welcoming(let_go), Welcoming()) as peer:
            client = await connect(peer.url, reconnected_cb=back, error_cb=errors, **QUICK)
            await back.reach()
            await client.flush()
            assert str(client.last_error) == text
            assert [str(error) for error in errors] == [text]
            await client.close()

    @pytest.mark.parametrize("text", ["Unknown Protocol Operation", "Maximum Payload Violation", "no idea"])
    async def test_others_would_come_again(self, text: str) -> None:
        closed = Gathered()

        async def refuse(side: Side) -> None:
            await side.send(b"-ERR '%b'\r\n" % text.encode())

        async with leaves_nothing(), Peer(Welcoming(refuse)) as peer:
            client = await connect(peer.url, closed_cb=closed, error_cb=Gathered(), **QUICK)
            await closed.reach()
            assert client.is_closed
            assert len(peer.sides) == 1
            with pytest.raises(ConnectionClosedError) as caught:
                await client.publish("a")
            assert isinstance(caught.value.__cause__, ServerError)
            assert str(caught.value.__cause__) == text

    @pytest.mark.parametrize("text", ["Invalid Subject", "Permissions Violation for Publish to a"])
    async def test_and_the_rest_change_nothing(self, text: str) -> None:
        errors = Gathered()

        async def complain(side: Side) -> None:
            await side.send(b"-ERR '%b'\r\n" % text.encode())

        async with Peer(Welcoming(complain)) as peer:
            client = await connect(peer.url, error_cb=errors)
            await errors.reach()
            await client.flush()
            assert client.is_connected
            await client.close()
