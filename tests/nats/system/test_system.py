"""Requests to a cluster of three over its system account."""

from __future__ import annotations

import asyncio
import typing
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, leaves_nothing
from tests.nats.system.conftest import url
from tests.proxy import Proxy

from tidings.nats import (
    AuthorizationError,
    BadSubjectError,
    BadSubscriptionError,
    Client,
    ConnectionClosedError,
    ProtocolError,
    connect,
)
from tidings.nats.server import NatsServer
from tidings.nats.system import (
    Answer,
    NoSuchServerError,
    NotSystemAccountError,
    System,
    SystemRequestError,
    jetstream_types,
    types,
)

NAMES = {"n0", "n1", "n2"}


async def everybody(system: System) -> None:
    """Return when all three know each other."""
    async with asyncio.timeout(30):
        while {server.name for server in await system.servers()} != NAMES:
            pass


async def all_well(system: System) -> None:
    """Return when all three say they are in health, JetStream and its leader included."""
    async with asyncio.timeout(30):
        while {answer.data["status"] for answer in await system.healthz()} != {"ok"}:
            pass


@asynccontextmanager
async def asking(three: list[NatsServer]) -> AsyncIterator[System]:
    async with await connect(url(three[0])) as client:
        system = client.system(expected=3)
        await everybody(system)
        yield system


def stated(data: Any, declared: Any, where: str) -> list[str]:
    """What of `data` its type does not know."""
    unknown = []
    if typing.is_typeddict(declared):
        hints = typing.get_type_hints(declared)
        for name, value in data.items():
            if name not in hints:
                unknown.append(f"{where}.{name}")
            else:
                unknown += stated(value, hints[name], f"{where}.{name}")
    elif typing.get_origin(declared) is list:
        assert isinstance(data, list), where
        for each in data:
            unknown += stated(each, typing.get_args(declared)[0], where)
    elif declared in (int, str, bool, float):
        assert isinstance(data, (int, float) if declared is float else declared), (where, data)
    return unknown


async def test_who_there_is(three: list[NatsServer]) -> None:
    async with asking(three) as system:
        servers = await system.servers()
        (first,) = [each for each in servers if each.name == "n0"]
        assert (first.cluster, first.host, first.jetstream) == ("three", "127.0.0.1", True)
        assert first.tags == ("zone:0",)
        assert first.version.count(".") == 2
        assert first.time is not None
        assert first.wire["id"] == first.id


@pytest.mark.parametrize(
    ("name", "options", "declared"),
    [
        ("varz", {}, types.Varz),
        ("connz", {"subscriptions": True, "auth": True, "sort": "cid"}, types.Connz),
        ("connz", {"subscriptions_detail": True, "state": "all"}, types.Connz),
        ("routez", {"subscriptions": True}, types.Routez),
        ("gatewayz", {"accounts": True}, types.Gatewayz),
        ("leafz", {"subscriptions": True}, types.Leafz),
        ("subsz", {"subscriptions": True}, types.Subsz),
        (
            "jsz",
            {"accounts": True, "streams": True, "consumer": True, "config": True, "raft": True},
            jetstream_types.Jsz,
        ),
        ("accountz", {}, types.Accountz),
        ("accountz", {"account": "A"}, types.Accountz),
        ("healthz", {"details": True, "js_enabled_only": True}, types.Healthz),
        ("statsz", {}, types.Statsz),
    ],
)
async def test_each_question_to_all_and_to_one(
    three: list[NatsServer], name: str, options: Any, declared: Any
) -> None:
    """Every field that the server sends has a type, and the value is of it."""
    async with asking(three) as system:
        ask: Callable[..., Any] = getattr(system, name)
        answers: list[Answer[Any]] = await ask(**options)
        assert {answer.server.name for answer in answers} == NAMES
        for answer in answers:
            assert stated(answer.data, declared, name) == []
        one = answers[0].server
        (answer,) = await ask(one.id, **options)
        assert answer.server == one
        filtered = await ask(server_name="n1", **options)
        assert [answer.server.name for answer in filtered] == ["n1"]


async def test_what_they_say(three: list[NatsServer]) -> None:
    async with await connect(url(three[1], "a"), name="somebody") as client, asking(three) as system:
        await client.subscribe("here.i.am")
        await client.flush()
        connections = [
            connection
            for answer in await system.connz(acc="A", subscriptions=True)
            for connection in answer.data["connections"]
        ]
        (connection,) = connections
        assert (connection["name"], connection["subscriptions_list"]) == ("somebody", ["here.i.am"])
        (answer,) = await system.varz(server_name="n1")
        assert answer.data["system_account"] == "SYS"
        assert all(each.data["status"] == "ok" for each in await system.healthz(js_enabled_only=True))
        await all_well(system)  # a server that waits for a leader of JetStream says 503 first
        (ill, *_) = await system.healthz(account="A", stream="NOPE")
        assert ill.data["status_code"] == 404
        assert "not found" in ill.data["error"]
        assert {each.server.name for each in await system.ask("RAFTZ")} == NAMES


async def test_one_account(three: list[NatsServer]) -> None:
    async with await connect(url(three[0], "a")) as client, asking(three) as system:
        await client.subscribe("here.i.am")
        await client.flush()
        account = system.account("A")
        assert account.name == "A"
        infos = await account.info()
        assert {info.server.name for info in infos} == NAMES
        assert all(stated(info.data, types.AccountDetail, "info") == [] for info in infos)
        for answers, declared in (
            (await account.connz(), types.Connz),
            (await account.subsz(subscriptions=True), types.Subsz),
            (await account.leafz(), types.Leafz),
            (await account.jsz(), jetstream_types.JetStreamAccount),
            (await account.statz(), types.AccountStatz),
        ):
            assert answers
            for answer in answers:
                assert stated(answer.data, declared, "account") == []
        subjects = {
            each["subject"]
            for answer in await account.subsz(subscriptions=True, server_name="n0")
            for each in answer.data["subscriptions_list"]
        }
        assert "here.i.am" in subjects


async def test_who_we_are(three: list[NatsServer]) -> None:
    async with await connect(url(three[0], "a")) as client:
        answer = await client.system().user()
        assert (answer.data["user"], answer.data["account"]) == ("a", "A")
        assert stated(answer.data, types.UserInfo, "user") == []


class TestRefused:
    async def test_another_account(self, three: list[NatsServer]) -> None:
        async with await connect(url(three[0], "a")) as client:
            for asking_ in (
                client.system().varz(),
                client.system().account("A").connz(),
                client.system().servers(),
            ):
                with pytest.raises(NotSystemAccountError, match="account 'A'"):
                    await asking_

    async def test_a_server_that_there_is_not(self, three: list[NatsServer]) -> None:
        async with asking(three) as system:
            with pytest.raises(NoSuchServerError, match="NOBODY"):
                await system.varz("NOBODY")
            assert await system.varz(server_name="nobody", exact_match=True) == []

    async def test_errors_of_servers_are_typed(self, three: list[NatsServer]) -> None:
        async with asking(three) as system:
            with pytest.raises(SystemRequestError, match="NOPE") as caught:
                await system.account("NOPE").info()
            assert (caught.value.code, caught.value.server in NAMES, caught.value.answers) == (500, True, [])
            with pytest.raises(SystemRequestError, match="sorting"):
                await system.connz(sort="wrong")  # type: ignore[arg-type]

    async def test_what_is_refused_before_anything_is_sent(self, three: list[NatsServer]) -> None:
        async with await connect(url(three[0])) as client:
            system = client.system()
            with pytest.raises(ValueError, match="state is one of"):
                await system.connz(state="wrong")  # type: ignore[arg-type]
            for bad in ("a.b", "*", "a b", ""):
                with pytest.raises(BadSubjectError):
                    system.account(bad)
                with pytest.raises(BadSubjectError):
                    await system.ask(bad)
                if bad:
                    with pytest.raises(BadSubjectError):
                        await system.varz(bad)
                    with pytest.raises(BadSubjectError):
                        system.events("connect", account=bad)
            with pytest.raises(ValueError, match="an event is one of"):
                system.events("wrong")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="no server"):
                system.events("connect", server="x")
            with pytest.raises(ValueError, match="no account"):
                system.events("statsz", account="x")
            for options in ({"timeout": 0}, {"stall": "1"}, {"expected": -1}):
                with pytest.raises(ValueError, match="not"):
                    client.system(**options)  # type: ignore[arg-type]
            assert client.stats.out_msgs == 0


async def answering(client: Client, *answers: bytes) -> System:
    """A system whose servers are ours."""

    async def answer(message: Any) -> None:
        for each in answers:
            await message.respond(each)

    await client.subscribe("$SYS.REQ.SERVER.PING.VARZ", cb=answer)
    return client.system(stall=0.05)


async def test_answers_of_the_others_are_not_lost(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        system = await answering(
            client,
            b'{"server": {"name": "bad"}, "error": {"code": 400, "description": "no"}}',
            b'{"server": {"name": "good"}, "data": {"mem": 7}}',
        )
        with pytest.raises(SystemRequestError, match="'bad' answered 400: no") as caught:
            await system.varz()
        assert [each.data for each in caught.value.answers] == [{"mem": 7}]


@pytest.mark.parametrize("answer", [b"", b"no JSON", b"[]", b"{}", b'{"server": {"name": "x"}}'], ids=str)
async def test_answers_that_are_none(nats_url: str, answer: bytes) -> None:
    async with await connect(nats_url) as client:
        with pytest.raises(ProtocolError):
            await (await answering(client, answer)).varz()


class TestEvents:
    async def test_clients_come_and_go(self, three: list[NatsServer]) -> None:
        async with (
            leaves_nothing(),
            asking(three) as system,
            system.events("connect", account="A") as came,
            system.events("disconnect") as gone,
        ):
            async with await connect(url(three[2], "a"), name="guest"):
                event = await anext(aiter(came))
                assert (event.kind, event.about, event.server.name) == ("connect", "A", "n2")
                assert event.data["client"]["name"] == "guest"
            async for event in gone:
                if event.about == "A":
                    break
            assert event.data["client"]["name"] == "guest"
            assert event.data["reason"]

    async def test_who_is_refused(self, three: list[NatsServer]) -> None:
        async with asking(three) as system, system.events("auth_error") as events:
            with pytest.raises(AuthorizationError):
                await connect(url(three[0], "nobody"))
            event = await anext(aiter(events))
            assert event.data["reason"] == "Authentication Failure"

    async def test_the_subscription_ends_with_the_block(self, three: list[NatsServer]) -> None:
        async with await connect(url(three[0])) as client:
            events = client.system().events("statsz")
            with pytest.raises(BadSubscriptionError, match="async with"):
                await anext(aiter(events))
            async with events:
                assert len(client.subscriptions) == 1
            assert client.subscriptions == []

    async def test_the_client_ends_it(self, three: list[NatsServer]) -> None:
        client = await connect(url(three[0]))
        async with client.system().events("shutdown") as events:
            reading = asyncio.create_task(_read(events))
            await client.close()
            assert await reading == []

    async def test_an_event_that_cannot_be_read(self, nats_url: str) -> None:
        errors = Gathered()
        async with await connect(nats_url, error_cb=errors) as client:
            async with client.system().events("connect") as events:
                await client.publish("$SYS.ACCOUNT.A.CONNECT", b"no JSON")
                await client.publish("$SYS.ACCOUNT.A.CONNECT", b'{"server": {"name": "x"}}')
                event = await anext(aiter(events))
                assert (event.about, event.server.name) == ("A", "x")
            (error,) = await errors.reach()
            assert isinstance(error, ProtocolError)


async def _read(events: Any) -> list[Any]:
    return [event async for event in events]


async def test_a_server_that_says_nothing(three: list[NatsServer]) -> None:
    async with Proxy(url(three[0])) as proxy, await connect(proxy.url) as client:
        with proxy.deaf("down"):
            asking_ = asyncio.create_task(client.system(timeout=0.1).varz())
            assert await asking_ == []
            late = asyncio.create_task(client.system(timeout=60).varz())
            await asyncio.sleep(0)
            await client.close()
            with pytest.raises((ConnectionClosedError, BadSubscriptionError)):
                await late


async def test_one_of_three_is_gone(three: list[NatsServer]) -> None:
    async with asking(three) as system:
        await asyncio.to_thread(three[2].kill)
        assert {server.name for server in await system.servers()} <= NAMES
        async with asyncio.timeout(30):
            while {server.name for server in await system.servers()} != {"n0", "n1"}:
                pass
        await asyncio.to_thread(three[2].restart)
        await everybody(system)
