"""Programs of core NATS, written for nats-py: each runs on nats-py and on its double."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from tests.nats.compat.conftest import Door
from tests.peers import Peer, Side, Silent

from tidings.nats import NoServersError
from tidings.nats.server import NatsServer

LIMIT = 20.0  # seconds


async def test_publish_and_subscribe_with_headers(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def keep(msg: Any) -> None:
        await seen.put((msg.subject, msg.reply, msg.data, msg.headers, msg.header))

    sub = await nc.subscribe("compat.core.*", cb=keep)
    await nc.publish("compat.core.a", b"1")
    await nc.publish("compat.core.b", b"2", reply="back", headers={"A": "x", "b": "y z"})
    async with asyncio.timeout(LIMIT):
        assert await seen.get() == ("compat.core.a", "", b"1", None, None)
        headers = {"A": "x", "b": "y z"}
        assert await seen.get() == ("compat.core.b", "back", b"2", headers, headers)
    assert (sub.subject, sub.queue, sub.delivered) == ("compat.core.*", "", 2)
    assert nc._subs[sub._id] is sub
    await sub.unsubscribe()
    await nc.close()
    assert nc.is_closed


async def test_next_msg_and_the_iterator(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url)
    sub = await nc.subscribe("compat.next", queue="workers", max_msgs=3)
    assert sub.queue == "workers"
    for number in range(3):
        await nc.publish("compat.next", str(number).encode())
    await nc.flush()
    assert (await sub.next_msg(timeout=LIMIT)).data == b"0"
    assert sub.pending_msgs == 2
    found = []
    async with asyncio.timeout(LIMIT):
        async for msg in sub.messages:
            found.append(msg.data)
            if len(found) == 2:
                break
    assert found == [b"1", b"2"]
    await nc.close()


@pytest.mark.parametrize("old_style", [False, True])
async def test_requests(door: Door, nats_url: str, old_style: bool) -> None:
    nc = await door.connect(nats_url)

    async def answer(msg: Any) -> None:
        await msg.respond(b"re: " + msg.data)

    await nc.subscribe("compat.ask", cb=answer)
    reply = await nc.request("compat.ask", b"who", timeout=LIMIT, old_style=old_style)
    assert (reply.data, reply.headers) == (b"re: who", None)
    with pytest.raises(door.errors.NoRespondersError) as refused:
        await nc.request("compat.nobody", b"", timeout=LIMIT, old_style=old_style)
    assert str(refused.value) == "nats: no responders available for request"
    await nc.close()


async def test_a_future_gets_the_first_message(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url)
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    await nc.subscribe("compat.future", future=future)
    await nc.publish("compat.future", b"here")
    assert (await asyncio.wait_for(future, LIMIT)).data == b"here"
    await nc.close()


MISTAKES = {
    "no space in a subject": ("BadSubjectError", lambda nc: nc.publish("a b", b"")),
    "no empty subject": ("BadSubjectError", lambda nc: nc.publish("", b"")),
    "no line end in a queue": ("BadSubjectError", lambda nc: nc.subscribe("a", queue="b\r\n")),
    "no payload beyond the limit": ("MaxPayloadError", lambda nc: nc.publish("a", bytes(nc.max_payload + 1))),
    "no flush without time": ("BadTimeoutError", lambda nc: nc.flush(timeout=0)),
    "no rtt without time": ("BadTimeoutError", lambda nc: nc.rtt(timeout=-1)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_the_same_error(door: Door, nats_url: str, mistake: str) -> None:
    name, make = MISTAKES[mistake]
    nc = await door.connect(nats_url)
    with pytest.raises(getattr(door.errors, name)):
        await make(nc)
    await nc.close()
    with pytest.raises(door.errors.ConnectionClosedError):
        await nc.publish("a", b"")
    with pytest.raises(door.errors.ConnectionClosedError):
        await nc.subscribe("a")


async def test_next_msg_and_a_callback_do_not_go_together(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url)

    async def ignore(_msg: Any) -> None: ...

    sub = await nc.subscribe("compat.both", cb=ignore)
    with pytest.raises(door.errors.Error, match="cannot be used in async subscriptions"):
        await sub.next_msg()
    await nc.close()


async def test_waiting_in_vain_is_a_timeout_of_both_kinds(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url)
    sub = await nc.subscribe("compat.silence")
    with pytest.raises(door.errors.TimeoutError) as failed:
        await sub.next_msg(timeout=0.01)
    assert str(failed.value) == "nats: timeout"
    assert isinstance(failed.value, asyncio.TimeoutError)
    await nc.close()


async def test_drain_handles_what_came_and_closes(door: Door, nats_url: str) -> None:
    closed = asyncio.Event()
    handled = []

    async def tell() -> None:
        closed.set()

    nc = await door.connect(nats_url, closed_cb=tell)

    async def handle(msg: Any) -> None:
        await asyncio.sleep(0)
        handled.append(msg.data)

    await nc.subscribe("compat.drained", cb=handle)
    for number in range(100):
        await nc.publish("compat.drained", b"%d" % number)
    await nc.drain()
    await asyncio.wait_for(closed.wait(), LIMIT)
    assert handled == [b"%d" % number for number in range(100)]
    with pytest.raises(door.errors.ConnectionClosedError):
        await nc.drain()


async def test_what_a_callback_raises_goes_to_error_cb(door: Door, nats_url: str) -> None:
    told: asyncio.Queue[Exception] = asyncio.Queue()

    async def tell(error: Exception) -> None:
        await told.put(error)

    async def fail(_msg: Any) -> None:
        raise ValueError("broken")

    nc = await door.connect(nats_url, error_cb=tell)
    await nc.subscribe("compat.broken", cb=fail)
    await nc.publish("compat.broken", b"")
    assert isinstance(await asyncio.wait_for(told.get(), LIMIT), ValueError)
    await nc.close()


async def test_what_programs_look_at(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url, name="looked at", max_reconnect_attempts=7)
    assert nc.is_connected
    states = (nc.is_closed, nc.is_reconnecting, nc.is_connecting, nc.is_draining)
    assert states == (False, False, False, False)
    assert (nc.options["name"], nc.options["max_reconnect_attempts"]) == ("looked at", 7)
    assert nc.connected_url.port == nc._server_info["port"]
    assert nc.connected_server_version.major == 2
    assert [server.reconnects for server in nc.server_pool] == [0]
    assert nc.servers == [server.uri for server in nc.server_pool]
    assert (nc.discovered_servers, nc.last_error, nc.max_payload) == ([], None, 1024 * 1024)
    assert isinstance(nc.client_id, int)
    await nc.publish("compat.counted", b"12345")
    await nc.flush()
    stats = {
        "in_msgs": 0,
        "out_msgs": 1,
        "in_bytes": 0,
        "out_bytes": 5,
        "reconnects": 0,
        "errors_received": 0,
    }
    assert nc.stats == stats
    assert nc.new_inbox().startswith("_INBOX.")
    await nc.close()


async def test_nobody_is_there(doors: tuple[Door, Door]) -> None:
    """nats-py goes on for two minutes; its double says at once why."""
    ours = doors[1]
    with pytest.raises(ours.errors.NoServersError, match="no servers available for connection") as failed:
        await ours.connect("nats://127.0.0.1:1", connect_timeout=0.5)
    assert isinstance(failed.value.__cause__, NoServersError)


async def test_a_client_is_made_first_and_connected_then(door: Door, nats_url: str) -> None:
    nc = door.module("aio.client").Client()
    assert (nc.is_connected, nc.is_closed, nc.stats["in_msgs"]) == (False, False, 0)
    await nc.connect(servers=[nats_url])
    async with nc:
        assert nc.is_connected
    assert nc.is_closed


async def test_a_restricted_account_with_its_own_inbox_prefix(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url, inbox_prefix=b"_MINE")
    assert nc.new_inbox().startswith("_MINE.")

    async def answer(msg: Any) -> None:
        assert msg.reply.startswith("_MINE.")
        await msg.respond(b"ok")

    await nc.subscribe("compat.mine", cb=answer)
    assert (await nc.request("compat.mine", b"", timeout=LIMIT)).data == b"ok"
    await nc.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [("aio.client", "Client"), ("aio.subscription", "Subscription"), ("aio.msg", "Msg"), ("nuid", "NUID")],
)
def test_public_names_and_their_arguments(doors: tuple[Door, Door], path: str, name: str) -> None:
    theirs, ours = (getattr(door.module(path), name) for door in doors)
    public = {each for each in dir(theirs) if not each.startswith("_")} - {
        "randomize_prefix",
        "reset_sequential",
    }
    assert public <= set(dir(ours))
    for each in sorted(public):
        if inspect.isfunction(getattr(theirs, each)):
            expected = inspect.signature(getattr(theirs, each)).parameters
            found = inspect.signature(getattr(ours, each)).parameters
            for argument, parameter in expected.items():
                assert argument in found, (each, argument)
                if parameter.default is not inspect.Parameter.empty:
                    assert found[argument].default == parameter.default, (each, argument)


@pytest.mark.parametrize("path", ["errors", "aio.errors"])
def test_the_tree_of_exceptions(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    roots = tuple(f"{door.root}." for door in doors)
    for name, kind in inspect.getmembers(theirs, inspect.isclass):
        if not issubclass(kind, Exception):
            continue
        double = getattr(ours, name)
        above = {each.__name__ for each in kind.__mro__ if each.__module__.startswith(roots[0])}
        assert above <= {each.__name__ for each in double.__mro__}, name
        assert [base for base in (TimeoutError, ValueError) if issubclass(kind, base)] == [
            base for base in (TimeoutError, ValueError) if issubclass(double, base) and issubclass(kind, base)
        ]
        try:
            text = str(kind())
        except TypeError:
            continue  # wants arguments
        assert str(double()) == text, name


async def test_callbacks_of_a_close(door: Door, nats_url: str) -> None:
    told: list[str] = []

    async def disconnected() -> None:
        told.append("disconnected")

    async def closed() -> None:
        told.append("closed")

    nc = await door.connect(nats_url, disconnected_cb=disconnected, closed_cb=closed)
    await nc.close()
    assert told == ["disconnected", "closed"]


async def test_a_callback_of_a_close_that_raises_stops_no_other(nats_url: str) -> None:
    told: list[object] = []

    async def disconnected() -> None:
        raise RuntimeError("disconnected")

    nc = await Door("tidings.nats.compat").connect(
        nats_url, disconnected_cb=disconnected, closed_cb=lambda: told.append("closed"), error_cb=told.append
    )
    await nc.close()
    assert told[0] == "closed"
    assert [str(error) for error in told[1:]] == ["disconnected"]


async def test_attempts_to_come_back_that_fail_are_told(door: Door, nats_server: NatsServer) -> None:
    told = asyncio.Event()

    async def hear(error: Exception) -> None:
        if isinstance(error, OSError):
            told.set()

    nc = await door.connect(nats_server.url, error_cb=hear, reconnect_time_wait=0.05)
    await asyncio.to_thread(nats_server.kill)
    async with asyncio.timeout(20):
        await told.wait()
    assert isinstance(nc.last_error, OSError)
    await nc.close()


async def test_a_server_that_is_not_there_is_told_before_the_next_one(door: Door, nats_url: str) -> None:
    told: asyncio.Queue[Exception] = asyncio.Queue()
    nc = await door.connect(["nats://127.0.0.1:1", nats_url], error_cb=told.put, dont_randomize=True)
    async with asyncio.timeout(20):
        assert isinstance(await told.get(), OSError)
    assert nc.is_connected
    await nc.close()


async def test_one_that_ended_with_its_last_message_can_be_unsubscribed(door: Door, nats_url: str) -> None:
    nc = await door.connect(nats_url)
    sub = await nc.subscribe("compat.two")
    await sub.unsubscribe(limit=2)
    for _ in range(3):
        await nc.publish("compat.two", b"")
    found = []
    async with asyncio.timeout(LIMIT):
        async for msg in sub.messages:
            found.append(msg)
            if len(found) == 2:
                await sub.unsubscribe()
    assert len(found) == 2
    other = await nc.subscribe("compat.other")
    await other.unsubscribe()
    with pytest.raises(door.errors.BadSubscriptionError):
        await other.unsubscribe()
    await nc.close()


async def hang_up(side: Side) -> None:
    """A server that closes a connection at once."""


async def test_without_reconnecting_the_first_failure_is_raised(doors: tuple[Door, Door]) -> None:
    _, door = doors  # nats-py leaves what cannot be closed behind

    async def refused(url: str, kind: type[Exception]) -> None:
        errors: list[Exception] = []

        async def error_cb(error: Exception) -> None:
            errors.append(error)

        nc = door.module().NATS()
        with pytest.raises(kind):
            await nc.connect(url, allow_reconnect=False, error_cb=error_cb)
        assert [type(error) for error in errors] == [type(nc.last_error)]
        assert isinstance(nc.last_error, kind)
        await nc.close()

    async with Peer(hang_up) as peer:
        await refused(peer.url, door.errors.Error)
    await refused(peer.url, ConnectionRefusedError)


async def test_a_connect_timeout_without_reconnecting(doors: tuple[Door, Door]) -> None:
    _, door = doors
    async with Peer(Silent()) as peer:
        with pytest.raises(asyncio.TimeoutError):
            await door.connect(peer.url, allow_reconnect=False, connect_timeout=0.1)


async def test_the_error_callback_hears_of_a_server_that_goes(door: Door) -> None:
    heard: asyncio.Queue[Exception] = asyncio.Queue()
    async with NatsServer() as server:
        nc = await door.connect(server.url, error_cb=heard.put, reconnect_time_wait=0.05)
    async with asyncio.timeout(LIMIT):
        assert isinstance(await heard.get(), door.errors.UnexpectedEOF)
    await nc.close()
