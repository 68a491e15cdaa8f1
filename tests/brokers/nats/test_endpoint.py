"""Handlers as endpoints of services: found, counted, and answering errors as ADR-32 says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from tests.nats.core.witness import QUICK
from tests.nats.services.calling import unique
from tests.proxy import Proxy
from tidings import AckPolicy, Context, Depends, Path
from tidings.brokers.nats import NatsBroker, NatsEndpoint, NatsMessage, NatsRequestMessage
from tidings.messaging.errors import BrokerConnectionError, PublishError, RemoteError, SetupError
from tidings.nats import NoRespondersError, connect
from tidings.nats.server import NatsServer
from tidings.nats.services import Request, ServiceConfig, ServiceError


class Pair(BaseModel):
    a: int
    b: int


class Sum(BaseModel):
    total: int


class Point(msgspec.Struct):
    x: int


async def test_a_handler_is_found_and_called(nats_url: str) -> None:
    name = unique("calc")
    broker = NatsBroker(nats_url)

    @broker.endpoint("sum", service=name, version="1.0.0", group=name, metadata={"team": "maths"})
    async def add(pair: Pair) -> Sum:
        return Sum(total=pair.a + pair.b)

    async with await connect(nats_url) as client:
        await broker.start()
        try:
            services = client.services(stall=0.1)
            reply = await services.request(f"{name}.sum", b'{"a": 1, "b": 2}', 20)
            assert reply.data == b'{"total":3}'
            assert reply.headers["content-type"] == "application/json"
            (info,) = await services.info(name)
            (endpoint,) = info.endpoints
            assert (endpoint.name, endpoint.subject, endpoint.queue_group) == ("sum", f"{name}.sum", "q")
            assert endpoint.metadata["team"] == "maths"
            request, response = (
                json.loads(endpoint.metadata[key]) for key in ("request_schema", "response_schema")
            )
            assert request["properties"].keys() == {"a", "b"}
            assert request["required"] == ["a", "b"]
            assert response["properties"] == {"total": {"title": "Total", "type": "integer"}}
            answer = await broker.request(Pair(a=2, b=3), f"{name}.sum", timeout=20)
            assert await answer.decode(Sum) == Sum(total=5)
            (stats,) = (await services.stats(name))[0].endpoints
            assert (stats.num_requests, stats.num_errors) == (2, 0)
            assert stats.processing_time > 0
        finally:
            await broker.stop()
        assert await client.services(stall=0.05).ping(name) == []
        with pytest.raises(NoRespondersError):
            await client.request(f"{name}.sum", b"", 20)


async def test_errors_are_answered_and_counted(nats_url: str) -> None:
    name = unique("calc")
    broker = NatsBroker(nats_url)

    @broker.endpoint("div", service=name, version="1.0.0", subject=name)
    async def divide(pair: Pair) -> int:
        if pair.b == 1:
            raise RemoteError("409", "by one\r\nis no division")
        return pair.a // pair.b

    async with await connect(nats_url) as client:
        await broker.start()
        services = client.services(stall=0.1)
        expected = [
            (b'{"a": "x", "b": 2}', 400, "field 'a'"),
            (b'{"a": 1, "b": 0}', 500, "the handler failed with ZeroDivisionError"),
            (b'{"a": 1, "b": 1}', 409, "by one is no division"),
        ]
        for number, (body, code, text) in enumerate(expected, 1):
            with pytest.raises(ServiceError, match=text) as caught:
                await services.request(name, body, 20)
            assert caught.value.code == code
            (stats,) = (await services.stats(name))[0].endpoints
            assert (stats.num_requests, stats.num_errors) == (number, number)
            assert stats.last_error.startswith(f"{code}:")
        assert (await services.request(name, b'{"a": 4, "b": 2}', 20)).data == b"2"
        await client.publish(name, b'{"a": 1, "b": 0}')  # nobody to tell, but counted
        await client.flush()
        async with asyncio.timeout(20):
            while (await services.stats(name))[0].endpoints[0].num_errors < 4:
                pass
        await broker.stop()


async def test_a_handler_gets_all_that_others_get(nats_url: str) -> None:
    name = unique("calc")
    broker = NatsBroker(nats_url)
    opened: list[str] = []

    async def session() -> AsyncIterator[str]:
        opened.append("open")
        yield "session"
        opened.append("closed")

    @broker.endpoint("any", service=name, version="1.0.0", subject=name + ".{kind}.*")
    async def handler(
        body: bytes,
        message: NatsMessage,
        request: Request,
        kind: str = Path(),
        using: str = Depends(session),
        correlation_id: str = Context("message.correlation_id"),
    ) -> str:
        assert isinstance(message, NatsRequestMessage)
        assert message.raw is request
        assert message.body == body
        return f"{kind} {using} {correlation_id} {request.subject}"

    async with await connect(nats_url) as client:
        await broker.start()
        reply = await client.request(f"{name}.add.x", b"b", 20, headers={"correlation_id": "c"})
        assert reply.data.decode() == f"add session c {name}.add.x"
        assert opened == ["open", "closed"]
        await broker.stop()


async def test_several_endpoints_make_one_service(nats_url: str) -> None:
    name = unique("calc")
    config = ServiceConfig(name, "1.0.0", description="calculates", metadata={"a": "b"}, queue_group="other")
    broker = NatsBroker(nats_url)

    @broker.endpoint("one", service=config, group=name)
    async def one(text: str) -> str:
        return text

    @broker.endpoint("two", service=name, group=name, queue_group="")
    def two(number: int, other: int = 3) -> int:
        return number + other

    third = broker.endpoint("three", service=config, group=name)
    third(one)
    async with await connect(nats_url) as client:
        await broker.start()
        services = client.services(stall=0.1)
        (info,) = await services.info(name)
        assert (info.description, info.metadata) == ("calculates", {"a": "b"})
        assert {each.name: each.queue_group for each in info.endpoints} == {
            "one": "other",
            "two": "",
            "three": "other",
        }
        two_of = next(each for each in info.endpoints if each.name == "two")
        assert json.loads(two_of.metadata["request_schema"])["properties"].keys() == {"number", "other"}
        assert json.loads(two_of.metadata["response_schema"]) == {"type": "integer"}
        assert (await services.request(f"{name}.two", b'{"number": 4}', 20)).data == b"7"
        await third.stop()
        (info,) = await services.info(name)
        assert [each.name for each in info.endpoints] == ["one", "two"]
        await broker.stop()
        await broker.start()
        (again,) = await services.info(name)
        assert again.id != info.id
        await broker.stop()


async def test_workers_and_what_a_stop_leaves(nats_url: str) -> None:
    """A stop answers all that came, four at a time."""
    name, entered, go = unique("calc"), asyncio.Semaphore(0), asyncio.Event()
    broker = NatsBroker(nats_url)

    @broker.endpoint("slow", service=name, version="1.0.0", subject=name, workers=4)
    async def slow(number: int) -> int:
        entered.release()
        await go.wait()
        return number

    async with await connect(nats_url) as client:
        await broker.start()
        asked = [asyncio.create_task(client.request(name, str(n), 20)) for n in range(10)]
        async with asyncio.timeout(20):
            for _ in range(4):
                await entered.acquire()
        await client.flush()
        stopping = asyncio.create_task(broker.stop())
        await asyncio.sleep(0)
        go.set()
        await stopping
        assert sorted(int(reply.data) for reply in await asyncio.gather(*asked)) == list(range(10))


async def test_a_handler_that_stops_its_broker(nats_url: str) -> None:
    name = unique("calc")
    broker = NatsBroker(nats_url)

    @broker.endpoint("stop", service=name, version="1.0.0", subject=name)
    async def stop() -> str:
        await broker.stop()
        return "the last one"

    async with await connect(nats_url) as client:
        await broker.start()
        assert (await client.request(name, b"", 20)).data == b"the last one"


def schema(broker: NatsBroker, handler: Any) -> dict[str, Any]:
    subscriber: Any = broker.endpoint("e", service="calc", version="1.0.0")
    metadata = subscriber.described(handler).metadata
    return {name: json.loads(text) for name, text in metadata.items()}


async def test_what_has_no_schema(nats_url: str) -> None:
    def raw(body: bytes) -> bytes:
        return body

    def untyped(body):  # type: ignore[no-untyped-def]
        return body

    def nothing() -> None: ...

    def text(body: str) -> dict[str, int]:
        return {body: 1}

    def struct(body: Point) -> Callable[[], int]:
        return lambda: body.x

    async with NatsBroker(nats_url) as broker:
        assert schema(broker, struct)["request_schema"]["$defs"]["Point"]["required"] == ["x"]
        assert "response_schema" not in schema(broker, struct)
        for handler in (raw, untyped, nothing):
            assert schema(broker, handler) == {}
        assert schema(broker, text) == {
            "request_schema": {"type": "string"},
            "response_schema": {"type": "object", "additionalProperties": {"type": "integer"}},
        }
    async with NatsBroker(
        nats_url, decoder=lambda message: message.body, encoder=lambda value: (b"", "")
    ) as broker:
        assert schema(broker, text) == {}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "a.b"}, "name of an endpoint"),
        ({"version": "1"}, "semver"),
        ({"service": "a b"}, "name of a service"),
        ({"version": ""}, "semver"),
        ({"no_reply": True}, "an endpoint answers"),
        ({"workers": 0}, "workers"),
        ({"service": ServiceConfig("calc", "1.0.0")}, "put it into that"),
        ({"subject": "{a}{b}"}, "not a token"),
        ({"subject": "a b"}, "white space"),
        ({"ack_policy": AckPolicy.ACK}, "not settled"),
        ({"metadata": {"a": 1}}, "text by text"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_cannot_be(nats_url: str, options: Any, text: str) -> None:
    broker = NatsBroker(nats_url)

    @broker.endpoint(**{"name": "e", "service": "calc", "version": "1.0.0", **options})
    async def handler(body: bytes) -> bytes:
        return body

    with pytest.raises(SetupError, match=text):
        await broker.start()
    await broker.stop()


async def test_a_service_that_is_declared_in_two_ways(nats_url: str) -> None:
    broker = NatsBroker(nats_url)
    broker.endpoint("one", service="calc", version="1.0.0")(lambda body: body)
    broker.endpoint("two", service="calc", version="2.0.0")(lambda body: body)
    with pytest.raises(SetupError, match="something else of service 'calc'"):
        await broker.start()
    await broker.stop()


async def test_a_server_that_refuses_it() -> None:
    config = """authorization { users = [
        { user: u, password: p, permissions: { subscribe: ["$SRV.>", "_INBOX.>"] } }
    ] }"""
    with NatsServer(token=False, config=config, jetstream=False) as server:
        broker = NatsBroker(f"nats://u:p@{server.host}:{server.port}")
        broker.endpoint("e", service="calc", version="1.0.0")(lambda body: body)
        with pytest.raises((PublishError, BrokerConnectionError), match="Permissions Violation"):
            await broker.start()
        await broker.stop()


def test_a_source_of_its_own() -> None:
    source = NatsEndpoint("e", service="calc", version="1.0.0", group="v1", subject="{kind}.x")
    assert source.channel == "v1.{kind}.x"
    assert source.pattern.subject == "v1.*.x"
    assert list(source.path_names) == ["kind"]
    assert source.answers


async def test_it_comes_back_with_the_connection(nats_url: str) -> None:
    name = unique("calc")
    async with Proxy(nats_url) as proxy, await connect(nats_url) as client:
        broker = NatsBroker(proxy.url, **QUICK)

        @broker.endpoint("echo", service=name, version="1.0.0", subject=name)
        async def echo(body: bytes) -> bytes:
            return body

        await broker.start()
        (before,) = await client.services(stall=0.1).ping(name)
        proxy.cut()
        async with asyncio.timeout(20):
            while True:
                with suppress(NoRespondersError, TimeoutError):
                    assert (await client.request(name, b"x", 0.2)).data == b"x"
                    break
        (after,) = await client.services(stall=0.1).ping(name)
        assert after.id == before.id
        await broker.stop()
