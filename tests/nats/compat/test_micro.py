"""Programs with services, written for nats-py: each runs on nats-py and on its double."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from tests.nats.compat.conftest import Door

# nats-py itself asks for the time in a way that Python warns of.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

LIMIT = 20.0  # seconds


@pytest.fixture
def name() -> str:
    """The name of a service of the test's own."""
    return f"C{os.urandom(6).hex()}"


async def test_endpoints_groups_and_discovery(door: Door, nats_url: str, name: str) -> None:
    micro, service_module = door.module("micro"), door.module("micro.service")
    nc = await door.connect(nats_url)
    seen: list[Any] = []

    async def echo(request: Any) -> None:
        seen.append((request.subject, request.data, request.headers))
        await request.respond(request.data, headers={"Answered": "yes"})

    service = await micro.add_service(
        nc, name=name, version="1.2.3", description="echoes", metadata={"a": "b"}
    )
    await service.add_endpoint(name="echo", subject=f"{name}.echo", handler=echo, metadata={"c": "d"})
    group = service.add_group(name=name).add_group(name="v2", queue_group="two")
    config = service_module.EndpointConfig(name="again", handler=echo)
    await group.add_endpoint(config)

    answer = await nc.request(f"{name}.echo", b"1", timeout=LIMIT, headers={"X": "y"})
    assert (answer.data, answer.headers) == (b"1", {"Answered": "yes"})
    assert (await nc.request(f"{name}.v2.again", b"2", timeout=LIMIT)).data == b"2"
    assert seen == [(f"{name}.echo", b"1", {"X": "y"}), (f"{name}.v2.again", b"2", None)]

    info = service.info()
    assert (info.name, info.version, info.description, info.metadata) == (name, "1.2.3", "echoes", {"a": "b"})
    assert [(each.name, each.subject, each.queue_group) for each in info.endpoints] == [
        ("echo", f"{name}.echo", "q"),
        ("again", f"{name}.v2.again", "two"),
    ]
    stats = service.stats()
    assert (stats.id, [each.num_requests for each in stats.endpoints]) == (service.id, [1, 1])
    assert stats.started.tzinfo is None

    for verb, kind in (("PING", "ServicePing"), ("INFO", "ServiceInfo"), ("STATS", "ServiceStats")):
        subject = service_module.control_subject(service_module.ServiceVerb(verb), name, service.id)
        said = json.loads((await nc.request(subject, b"", timeout=LIMIT)).data)
        told = getattr(service_module, kind).from_dict(_with_data(said))
        assert (told.id, told.name, told.type) == (
            service.id,
            name,
            f"io.nats.micro.v1.{verb.lower()}_response",
        )
        assert told.to_dict()["id"] == service.id
    await service.stop()
    assert service.stopped.is_set()
    with pytest.raises(door.errors.NoRespondersError):
        await nc.request(f"{name}.echo", b"", timeout=LIMIT)
    await nc.close()


def _with_data(said: dict[str, Any]) -> dict[str, Any]:
    """Statistics always with ``data``, without which nats-py cannot read them; ours are sent without."""
    for each in said.get("endpoints", []):
        each.setdefault("data", None)
    return said


async def test_errors_are_told_and_counted(door: Door, nats_url: str, name: str) -> None:
    micro, request_module = door.module("micro"), door.module("micro.request")
    nc = await door.connect(nats_url)

    async def handle(request: Any) -> None:
        match request.data:
            case b"raise":
                raise request_module.ServiceError("404", "no such thing")
            case b"fail":
                raise ValueError("broken")
            case _:
                await request.respond_error("400", "bad", data=b"more", headers={"A": "b"})

    async with micro.service.Service(nc, micro.ServiceConfig(name=name, version="0.1.0")) as service:
        await service.add_endpoint(name="e", subject=name, handler=handle)
        found = {}
        for data in (b"raise", b"fail", b"answer"):
            answer = await nc.request(name, data, timeout=LIMIT)
            found[data] = (answer.data, answer.headers)
        assert found == {
            b"raise": (b"", {"Nats-Service-Error": "no such thing", "Nats-Service-Error-Code": "404"}),
            b"fail": (b"", {"Nats-Service-Error": "ValueError('broken')", "Nats-Service-Error-Code": "500"}),
            b"answer": (
                b"more",
                {"A": "b", "Nats-Service-Error": "bad", "Nats-Service-Error-Code": "400"},
            ),
        }
        [stats] = service.stats().endpoints
        assert stats.num_requests == 3
        assert stats.num_errors >= 2  # nats-py does not count those that were answered by hand
        assert stats.average_processing_time > 0
        await service.reset()
    await nc.close()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"name": "", "version": "1.0.0"}, "Name cannot be empty"),
        ({"name": "a b", "version": "1.0.0"}, "Invalid name"),
        ({"name": "a", "version": ""}, "Version cannot be empty"),
        ({"name": "a", "version": "1.0"}, "Invalid version"),
        ({"name": "a", "version": "1.0.0", "queue_group": "a b"}, "Invalid queue group"),
    ],
)
def test_a_config_that_cannot_be(door: Door, wrong: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        door.module("micro").ServiceConfig(**wrong)


async def test_a_stats_handler_adds_data(door: Door, nats_url: str, name: str) -> None:
    micro = door.module("micro")
    nc = await door.connect(nats_url)

    async def handle(request: Any) -> None:
        await request.respond()

    service = await micro.add_service(
        nc, name=name, version="1.0.0", stats_handler=lambda stats: {"of": stats.name}
    )
    await service.add_endpoint(name="e", subject=name, handler=handle)
    assert service.stats().endpoints[0].data == {"of": "e"}
    await service.stop()
    await nc.close()


async def test_a_failure_that_nobody_waits_for_is_counted_once_and_reported(
    door: Door, nats_url: str, name: str
) -> None:
    heard: asyncio.Queue[Exception] = asyncio.Queue()
    micro = door.module("micro")
    nc = await door.connect(nats_url, error_cb=heard.put)

    async def handle(request: Any) -> None:
        await request.respond(b"to nobody")

    async with micro.service.Service(nc, micro.ServiceConfig(name=name, version="0.1.0")) as service:
        await service.add_endpoint(name="e", subject=name, handler=handle)
        await nc.publish(name)
        async with asyncio.timeout(LIMIT):
            await heard.get()
        [stats] = service.stats().endpoints
        assert (stats.num_requests, stats.num_errors) == (1, 1)
    await nc.close()
