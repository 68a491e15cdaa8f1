"""Who is there, and how others find out; answers of others that are no answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered
from tests.nats.services.calling import double, unique

from tidings.nats import Msg, ProtocolError, connect
from tidings.nats.services import EndpointInfo, ServiceConfigError

PING = "io.nats.micro.v1.ping_response"


async def test_what_is_said_on_the_wire(nats_url: str) -> None:
    """By ADR-32, with every field that it lists."""
    name, subject = unique(), unique()
    async with await connect(nats_url) as client:
        service = await client.add_service(name, "1.2.3", description="d", metadata={"zone": "b"})
        await service.add_group(subject).add_endpoint("e", double, metadata={"m": "n"})
        said: dict[str, dict[str, Any]] = {}
        for verb in ("PING", "INFO", "STATS"):
            answers = []
            for asked in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{service.id}"):
                replies = [json.loads(each.data) async for each in client.request_many(asked, stall=0.05)]
                (answer,) = [each for each in replies if each["id"] == service.id]
                answers.append(answer)
            assert answers[0] == answers[1] == answers[2]
            said[verb] = answers[0]
        identity = {"name": name, "id": service.id, "version": "1.2.3", "metadata": {"zone": "b"}}
        assert said["PING"] == {"type": PING, **identity}
        endpoint = {"name": "e", "subject": f"{subject}.e", "queue_group": "q"}
        assert said["INFO"] == {
            "type": "io.nats.micro.v1.info_response",
            **identity,
            "description": "d",
            "endpoints": [{**endpoint, "metadata": {"m": "n"}}],
        }
        started = said["STATS"].pop("started")
        assert started.endswith("Z")
        assert datetime.fromisoformat(started) == service.started
        assert said["STATS"] == {
            "type": "io.nats.micro.v1.stats_response",
            **identity,
            "endpoints": [
                {
                    **endpoint,
                    "num_requests": 0,
                    "num_errors": 0,
                    "last_error": "",
                    "processing_time": 0,
                    "average_processing_time": 0,
                }
            ],
        }


async def test_instances_are_found(nats_url: str) -> None:
    name = unique()
    async with await connect(nats_url) as client, await connect(nats_url) as other:
        services = [
            await each.add_service(name, "1.0.0", metadata={"a": "b"}) for each in (client, other, other)
        ]
        await services[0].add_endpoint("e", double, subject=name)
        ids = {service.id for service in services}
        found = client.services(stall=0.2)
        pings = await found.ping(name)
        assert {each.id for each in pings} == ids
        assert all(each.metadata == {"a": "b"} and 0 < each.rtt < 20 for each in pings)
        assert ids <= {each.id for each in await found.ping()}
        assert await found.ping(name, "nobody") == []
        assert await found.ping(unique()) == []
        (info,) = await found.info(name, services[0].id)
        assert info == services[0].info()
        assert info.endpoints == (EndpointInfo(name="e", subject=name, queue_group="q"),)
        assert {each.id for each in await found.info(name)} == ids
        stats = await found.stats(name)
        assert {each.id: each for each in stats} == {each.id: each.stats() for each in services}


async def test_calls_through_the_helper(nats_url: str) -> None:
    subject = unique()
    async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
        await service.add_endpoint("e", lambda request: request.headers["A"], subject=subject)
        reply = await client.services().request(subject, b"", 20, headers={"A": "b"})
        assert reply.data == b"b"


async def test_another_prefix(nats_url: str) -> None:
    prefix = unique()
    async with await connect(nats_url) as client:

        async def elsewhere(msg: Msg) -> None:
            await msg.respond(json.dumps({"type": PING, "name": "n", "id": "i", "version": "1.0.0"}))

        await client.subscribe(f"{prefix}.PING", cb=elsewhere)
        (ping,) = await client.services(prefix=prefix, stall=0.05).ping()
        assert (ping.name, ping.id, ping.metadata) == ("n", "i", {})


@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'{"type": "other"}',
        b'{"type": "io.nats.micro.v1.ping_response", "name": 7}',
        b'{"type": "io.nats.micro.v1.ping_response", "metadata": [1]}',
    ],
    ids=lambda answer: repr(answer[:30]),
)
async def test_one_that_cannot_be_read_hides_no_other(nats_url: str, answer: bytes) -> None:
    prefix, errors = unique(), Gathered()
    good = json.dumps({"type": PING, "name": "n", "id": "i", "version": "1.0.0", "metadata": None}).encode()
    async with await connect(nats_url, error_cb=errors) as client:

        async def answers(msg: Msg) -> None:
            for each in (answer, good):
                await msg.respond(each)

        await client.subscribe(f"{prefix}.PING", cb=answers)
        found = await client.services(prefix=prefix, stall=0.05).ping()
        assert [each.id for each in found] == ["i"]
        (error,) = await errors.reach()
        assert isinstance(error, ProtocolError)


@pytest.mark.parametrize(
    ("verb", "field", "value"),
    [
        ("stats", "started", "yesterday"),
        ("stats", "endpoints", {"a": 1}),
        ("stats", "endpoints", [7]),
        ("stats", "endpoints", [{"num_requests": "7"}]),
        ("stats", "endpoints", [{"num_requests": float("nan")}]),
        ("info", "description", 7),
    ],
    ids=str,
)
async def test_fields_that_are_wrong(nats_url: str, verb: str, field: str, value: Any) -> None:
    prefix, errors = unique(), Gathered()
    said = {
        "type": f"io.nats.micro.v1.{verb}_response",
        "name": "n",
        "id": "i",
        "version": "1.0.0",
        "started": datetime.now(UTC).isoformat(),
        field: value,
    }
    async with await connect(nats_url, error_cb=errors) as client:
        await client.subscribe(f"{prefix}.>", cb=lambda msg: msg.respond(json.dumps(said)))
        assert await getattr(client.services(prefix=prefix, stall=0.05), verb)() == []
        (error,) = await errors.reach()
        assert field in str(error) or "object" in str(error) or "number" in str(error)


@pytest.mark.parametrize(
    ("name", "id"), [("", "i"), ("a.b", ""), ("a b", ""), ("a", "*"), ("a", "x y"), ("*", "")], ids=str
)
async def test_what_cannot_be_asked(nats_url: str, name: str, id: str) -> None:
    async with await connect(nats_url) as client:
        with pytest.raises(ServiceConfigError):
            await client.services().ping(name, id)
        assert client.stats.out_msgs == 0


@pytest.mark.parametrize(
    "options", [{"prefix": ""}, {"prefix": "a b"}, {"timeout": 0}, {"stall": -1}], ids=str
)
async def test_options_that_cannot_work(nats_url: str, options: Any) -> None:
    async with await connect(nats_url) as client:
        with pytest.raises(ServiceConfigError):
            client.services(**options)
