"""Services through faults: cuts, restarts, accounts that may little, two instances, a silent link."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.nats.core.witness import QUICK
from tests.nats.services.calling import Gate, double, unique
from tests.proxy import Proxy

from tidings.nats import (
    Client,
    DrainTimeoutError,
    Error,
    FlushTimeoutError,
    NoRespondersError,
    PermissionsError,
    TimeoutError,
    connect,
)
from tidings.nats.server import NatsServer
from tidings.nats.services import EndpointError, Request, ServiceError

CONFIG = """
accounts {
  A {
    users = [
      { user: boss, password: b }
      { user: clerk, password: c, permissions: {
          publish: ["$SRV.>", "calc.>", "in.>"]
          subscribe: ["$SRV.>", "calc.>", "calc.> q", "in.clerk.>"]
      } }
      { user: unknown, password: u, permissions: {
          publish: ["in.>"]
          subscribe: ["$SRV.PING", "calc.> q", "in.unknown.>"]
      } }
    ]
  }
}
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with NatsServer(token=False, config=CONFIG, jetstream=False) as server:
        yield f"{server.host}:{server.port}"


async def answered(client: Client, subject: str, data: bytes) -> bytes:
    """The answer, as soon as there is one."""
    async with asyncio.timeout(20):
        while True:
            try:
                return (await client.request(subject, data, 0.2)).data
            except Error:
                await asyncio.sleep(0.01)


class TestFewPermissions:
    async def test_everything_works_within_what_is_allowed(self, address: str) -> None:
        errors = Gathered()
        options = {"inbox_prefix": "in.clerk", "error_cb": errors}
        async with (
            await connect(f"nats://clerk:c@{address}", **options) as client,
            await client.add_service("calc", "1.0.0") as service,
        ):
            await service.add_group("calc").add_endpoint("double", double)
            found = client.services(stall=0.1)
            assert (await found.request("calc.double", b"x", 20)).data == b"xx"
            assert [each.id for each in await found.ping("calc")] == [service.id]
            assert [each.id for each in await found.stats("calc", service.id)] == [service.id]
        assert errors == []

    async def test_an_endpoint_that_is_refused(self, address: str) -> None:
        async with (
            await connect(
                f"nats://clerk:c@{address}", inbox_prefix="in.clerk", error_cb=Gathered()
            ) as client,
            await client.add_service("calc", "1.0.0") as service,
        ):
            with pytest.raises(PermissionsError, match="theirs"):
                await service.add_endpoint("e", double, subject="theirs")
            with pytest.raises(PermissionsError):
                await service.add_endpoint("e", double, subject="calc.x", queue_group="other")
            assert service.endpoints == ()
            await service.add_endpoint("e", double, subject="calc.x")
            assert (await client.request("calc.x", b"x", 20)).data == b"xx"

    async def test_discovery_that_is_refused(self, address: str) -> None:
        async with leaves_nothing():
            client = await connect(
                f"nats://unknown:u@{address}", inbox_prefix="in.unknown", error_cb=Gathered()
            )
            async with client:
                with pytest.raises(PermissionsError, match="SRV"):
                    await client.add_service("calc", "1.0.0")
                assert client.subscriptions == []
                with pytest.raises(PermissionsError, match="SRV"):
                    await client.services().ping()


class TestCuts:
    async def test_a_service_comes_back_with_the_connection(self, nats_url: str) -> None:
        subject, back = unique(), Gathered()
        async with (
            Proxy(nats_url) as proxy,
            await connect(nats_url) as caller,
            await connect(proxy.url, reconnected_cb=back, error_cb=Gathered(), **QUICK) as client,
        ):
            service = await client.add_service("calc", "1.0.0")
            endpoint = await service.add_endpoint("e", double, subject=subject)
            for round_ in range(1, 4):
                assert await answered(caller, subject, b"x") == b"xx"
                proxy.cut()
                await back.reach(round_)
            assert await answered(caller, subject, b"x") == b"xx"
            assert [each.id for each in await caller.services(stall=0.1).ping("calc", service.id)] == [
                service.id
            ]
            assert endpoint.num_requests >= 4

    async def test_made_while_the_connection_is_away(self, nats_url: str) -> None:
        subject = unique()
        async with (
            Proxy(nats_url) as proxy,
            await connect(nats_url) as caller,
            await connect(proxy.url, error_cb=Gathered(), **QUICK) as client,
        ):
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                service = await client.add_service("calc", "1.0.0")
                await service.add_endpoint("e", double, subject=subject)
            assert await answered(caller, subject, b"x") == b"xx"

    async def test_stopped_while_the_connection_is_away(self, nats_url: str) -> None:
        subject, gate, done = unique(), Gate(), Gathered()
        async with (
            Proxy(nats_url) as proxy,
            await connect(nats_url) as caller,
            await connect(proxy.url, error_cb=Gathered(), **QUICK) as client,
        ):
            service = await client.add_service("calc", "1.0.0", done_handler=done)
            await service.add_endpoint("e", gate, subject=subject)
            asked = asyncio.create_task(caller.request(subject, b"x", 20))
            await gate.reached()
            async with proxy.away():
                await eventually(lambda: client.is_reconnecting)
                stopping = asyncio.create_task(service.stop())
                gate.open.set()
                await stopping
                assert done == [service]
            assert (await asked).data == b"x"  # held, and sent when the connection was back
            with pytest.raises(NoRespondersError):
                await caller.request(subject, b"x", 20)

    async def test_a_cut_while_it_stops(self, nats_url: str) -> None:
        subject, gate = unique(), Gate()
        async with Proxy(nats_url) as proxy, await connect(proxy.url, error_cb=Gathered(), **QUICK) as client:
            service = await client.add_service("calc", "1.0.0")
            await service.add_endpoint("e", gate, subject=subject)
            await client.publish(subject)
            await gate.reached()
            with proxy.deaf():
                stopping = asyncio.create_task(service.stop())
                await asyncio.sleep(0)
                proxy.cut()
                gate.open.set()
            await stopping
            assert service.is_stopped
            assert [each.id for each in await client.services(stall=0.05).ping("calc", service.id)] == []

    async def test_a_server_that_says_nothing(self, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What waits for it ends: to add an endpoint, and to stop."""
        async with Proxy(nats_url) as proxy, await connect(proxy.url, **QUICK) as client:
            service = await client.add_service("calc", "1.0.0")
            endpoint = await service.add_endpoint("e", double, subject=unique())
            flush = client.flush
            with proxy.deaf("down"):
                with monkeypatch.context() as patch:
                    patch.setattr(client, "flush", lambda: flush(0.02))
                    with pytest.raises(FlushTimeoutError):
                        await service.add_endpoint("late", double)
                assert service.endpoints == (endpoint,)
                with pytest.raises(DrainTimeoutError):
                    await service.stop(timeout=0.02)
                assert service.is_stopped
                assert client.subscriptions == []

    async def test_the_server_restarts(self, nats_server: NatsServer) -> None:
        subject, back = unique(), Gathered()
        async with (
            await connect(nats_server.url, reconnected_cb=back, error_cb=Gathered(), **QUICK) as client,
            await connect(nats_server.url, error_cb=Gathered(), **QUICK) as caller,
        ):
            service = await client.add_service("calc", "1.0.0")
            await service.add_endpoint("e", double, subject=subject)
            await asyncio.to_thread(nats_server.restart)
            await back.reach()
            assert await answered(caller, subject, b"x") == b"xx"
            (found,) = await caller.services(stall=0.1).ping("calc")
            assert found.id == service.id


class TestTwoInstances:
    async def test_one_stops_and_no_request_is_lost(self, nats_url: str) -> None:
        """Requests go on while one of two stops: each is answered, or told at once that nobody is there."""
        subject, answers = unique(), []
        async with (
            await connect(nats_url) as first,
            await connect(nats_url) as second,
            await connect(nats_url) as caller,
        ):
            services = [await each.add_service("calc", "1.0.0") for each in (first, second)]
            endpoints = [
                await each.add_endpoint("e", double, subject=subject, workers=4) for each in services
            ]
            going = True

            async def ask() -> None:
                while going:
                    answers.append((await caller.request(subject, b"x", 20)).data)

            callers = [asyncio.create_task(ask()) for _ in range(8)]
            await eventually(lambda: all(each.num_requests > 50 for each in endpoints))
            await services[0].stop()
            count = endpoints[1].num_requests
            await eventually(lambda: endpoints[1].num_requests > count + 100)
            going = False
            await asyncio.gather(*callers)
            assert set(answers) == {b"xx"}
            assert sum(each.num_requests for each in endpoints) == len(answers)

    async def test_one_is_cut_off_and_the_other_answers(self, nats_url: str) -> None:
        subject = unique()
        async with (
            Proxy(nats_url) as proxy,
            await connect(nats_url) as near,
            await connect(nats_url) as caller,
            await connect(proxy.url, error_cb=Gathered(), **QUICK) as far,
        ):
            for each in (near, far):
                await (await each.add_service("calc", "1.0.0")).add_endpoint("e", double, subject=subject)
            async with proxy.away():
                await eventually(lambda: far.is_reconnecting)
                for _ in range(20):
                    assert await answered(caller, subject, b"x") == b"xx"


async def test_a_refusal_that_comes_later(nats_server: NatsServer) -> None:
    """As after a reload of the server: the endpoint ends, the service goes on."""
    told = Gathered()
    async with await connect(nats_server.url, error_cb=Gathered()) as client:
        service = await client.add_service("calc", "1.0.0", error_handler=lambda _, error: told(error))
        kept = await service.add_endpoint("kept", double, subject="kept")
        gone = await service.add_endpoint("gone", double, subject="gone")
        client.registry.refuse(
            PermissionsError('Permissions Violation for Subscription to "gone" using queue "q"')
        )
        (error,) = await told.reach()
        assert isinstance(error, EndpointError)
        assert isinstance(error.__cause__, PermissionsError)
        assert error.endpoint == gone.name
        assert service.endpoints == (kept,)
        client.registry.refuse(PermissionsError('Permissions Violation for Subscription to "$SRV.PING"'))
        (_, error) = await told.reach(2)
        assert isinstance(error, PermissionsError)
        assert (await client.request("kept", b"x", 20)).data == b"xx"


async def test_a_client_that_closes_amid_requests(nats_url: str) -> None:
    subject, gate = unique(), Gate()
    async with leaves_nothing(), await connect(nats_url) as caller:
        client = await connect(nats_url, error_cb=Gathered())
        service = await client.add_service("calc", "1.0.0")
        await service.add_endpoint("e", gate, subject=subject, workers=3)
        asked = [asyncio.create_task(caller.request(subject, b"x", 0.3)) for _ in range(5)]
        await gate.reached(3)
        await client.close()
        await service.stopped()
        assert gate.running == 0
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(each, (TimeoutError, NoRespondersError)) for each in results)


async def test_an_error_that_cannot_be_told(nats_url: str) -> None:
    """The connection closes while the handler is at work: its failure is reported, and nothing hangs."""
    errors = Gathered()
    client = await connect(nats_url, error_cb=errors)
    entered = asyncio.Event()

    async def handler(request: Request) -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ServiceError(503, "interrupted")

    service = await client.add_service("calc", "1.0.0")
    endpoint = await service.add_endpoint("e", handler, subject=unique())
    await client.publish(endpoint.subject, b"", client.new_inbox())
    await entered.wait()
    await client.close()
    await service.stopped()
    (error,) = await errors.reach()
    assert "could not be told" in str(error)
