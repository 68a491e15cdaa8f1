"""A service: its endpoints and groups, how it ends, and whom it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.nats.services.calling import Gate, double, unique
from tests.peers import Peer, Welcoming

from tidings.nats import (
    Client,
    ConnectionClosedError,
    ConnectionDrainingError,
    DrainTimeoutError,
    NoRespondersError,
    connect,
)
from tidings.nats.services import Request, Service, ServiceConfigError, ServiceStoppedError


async def test_an_endpoint_answers(nats_url: str) -> None:
    name = unique()
    async with (
        leaves_nothing(),
        await connect(nats_url) as client,
        await client.add_service(name, "1.0.0", description="doubles") as service,
    ):
        endpoint = await service.add_endpoint(name, double, metadata={"a": "b"})
        assert (await client.request(name, b"ab", 20)).data == b"abab"
        assert (endpoint.name, endpoint.subject, endpoint.queue_group) == (name, name, "q")
        assert endpoint.metadata == {"a": "b"}
        assert service.endpoints == (endpoint,)
        assert service.name == name
        assert repr(service) == f"<Service {name!r} 1.0.0 {service.id}>"
        assert name in repr(endpoint)


async def test_groups_within_groups(nats_url: str) -> None:
    root = unique()
    async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
        group = service.add_group(root).add_group("v1.math")
        await group.add_endpoint("double", double)
        await group.add_endpoint("any", lambda request: request.subject, subject="rest.*")
        assert (await client.request(f"{root}.v1.math.double", b"x", 20)).data == b"xx"
        assert (
            await client.request(f"{root}.v1.math.rest.y", b"", 20)
        ).data == f"{root}.v1.math.rest.y".encode()


Options = dict[str, Any]


@pytest.mark.parametrize(
    ("service", "group", "endpoint", "expected"),
    [
        ({}, {}, {}, "q"),
        ({"queue_group": "s"}, {}, {}, "s"),
        ({"queue_group": "s"}, {"queue_group": "g"}, {}, "g"),
        ({"queue_group": "s"}, {"queue_group": "g"}, {"queue_group": "e"}, "e"),
        ({"queue_group": ""}, {}, {}, ""),
        ({}, {"queue_group": ""}, {}, ""),
        ({}, {}, {"queue_group": ""}, ""),
        ({"queue_group": ""}, {"queue_group": "g"}, {}, "g"),
        ({"queue_group": ""}, {}, {"queue_group": "e"}, "e"),
        ({"queue_group": "s"}, {"queue_group": ""}, {"queue_group": "e"}, "e"),
    ],
    ids=str,
)
async def test_the_queue_group_at_three_levels(
    nats_url: str, service: Options, group: Options, endpoint: Options, expected: str
) -> None:
    async with (
        await connect(nats_url) as client,
        await client.add_service("calc", "1.0.0", **service) as made,
    ):
        inner = made.add_group(unique(), **group)
        found = await inner.add_endpoint("e", double, **endpoint)
        assert found.queue_group == found.info.queue_group == expected
        assert found.subscription.queue_group == expected


@pytest.mark.parametrize(("queue_group", "copies"), [(None, 1), ("", 2)])
async def test_one_instance_answers_or_all(nats_url: str, queue_group: str | None, copies: int) -> None:
    subject, got = unique(), Gathered()
    async with await connect(nats_url) as client, await connect(nats_url) as other:
        for each in (client, other):
            service = await each.add_service("calc", "1.0.0", queue_group=queue_group)

            def count(request: Request) -> None:
                got(request)

            await service.add_endpoint("e", count, subject=subject)
        for _ in range(10):
            await client.publish(subject)
        for each in (client, other):
            await each.flush()
        await got.reach(10 * copies)
    assert len(got) == 10 * copies


async def test_a_plain_handler_and_an_async_one(nats_url: str) -> None:
    async def later(request: Request) -> str:
        await asyncio.sleep(0)
        return "later"

    async def by_itself(request: Request) -> None:
        await request.respond("1", headers={"A": "b"})

    class Callable_:
        async def __call__(self, request: Request) -> bytes:
            return b"object"

    handlers: dict[str, Callable[[Request], Any]] = {
        "later": later,
        "1": by_itself,
        "object": Callable_(),
        "hi": lambda request: request.respond("hi"),
    }
    async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
        for expected, handler in handlers.items():
            subject = unique()
            await service.add_endpoint("e", handler, subject=subject)
            assert (await client.request(subject, b"", 20)).data == expected.encode()


async def test_a_message_that_wants_no_answer(nats_url: str) -> None:
    subject, got = unique(), Gathered()

    def handler(request: Request) -> str:
        got(request)
        return "nobody waits for this"

    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        service = await client.add_service("calc", "1.0.0")
        endpoint = await service.add_endpoint("e", handler, subject=subject)
        await client.publish(subject, b"x")
        (request,) = await got.reach()
        assert (request.subject, request.reply, request.data, request.has_headers) == (
            subject,
            "",
            b"x",
            False,
        )
        assert not request.headers
        assert subject in repr(request)
        await service.stop()
        assert (endpoint.num_requests, endpoint.num_errors) == (1, 0)
    assert errors == []


async def test_workers_handle_requests_at_once(nats_url: str) -> None:
    subject, gate = unique(), Gate()
    async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
        await service.add_endpoint("e", gate, subject=subject, workers=3)
        asked = [asyncio.create_task(client.request(subject, str(n), 20)) for n in range(5)]
        await gate.reached(3)
        gate.open.set()
        assert [reply.data for reply in await asyncio.gather(*asked)] == [b"0", b"1", b"2", b"3", b"4"]
        assert gate.most == 3


class TestTheEnd:
    async def test_stop_loses_no_request_that_came(self, nats_url: str) -> None:
        """The server is told first, so what it sent before is all there is, and it is all answered."""
        subject, gate, done = unique(), Gate(), Gathered()
        async with leaves_nothing(), await connect(nats_url) as client, await connect(nats_url) as caller:
            service = await client.add_service("calc", "1.0.0", done_handler=done)
            await service.add_endpoint("e", gate, subject=subject)
            asked = [asyncio.create_task(caller.request(subject, str(n), 20)) for n in range(100)]
            await gate.reached()
            await caller.flush()
            stopping = asyncio.create_task(service.stop())
            while True:  # until the endpoint listens no more
                try:
                    await caller.request(subject, b"late", 0.05)
                except NoRespondersError:
                    break
                except TimeoutError:
                    continue
            assert not service.is_stopped
            assert not done
            gate.open.set()
            await stopping
            assert [reply.data for reply in await asyncio.gather(*asked)] == [
                str(n).encode() for n in range(100)
            ]
            assert done == [service]
            assert service.is_stopped
            await service.stopped()
            assert not await caller.services(stall=0.02).ping(service.name)

    async def test_it_ends_once(self, nats_url: str) -> None:
        done = Gathered()
        async with await connect(nats_url) as client:
            service = await client.add_service("calc", "1.0.0", done_handler=done)
            await asyncio.gather(service.stop(), service.stop())
            await service.stop()
            with pytest.raises(ServiceStoppedError, match="calc"):
                await service.add_endpoint("e", double)
            assert client.subscriptions == []
        assert done == [service]

    async def test_the_client_goes_on(self, nats_url: str) -> None:
        subject = unique()
        async with await connect(nats_url) as client:
            for _ in range(2):
                async with await client.add_service("calc", "1.0.0") as service:
                    await service.add_endpoint("e", double, subject=subject)
                    assert (await client.request(subject, b"x", 20)).data == b"xx"
            assert client.subscriptions == []

    @pytest.mark.parametrize("how", ["drain", "close"])
    async def test_it_ends_with_its_client(self, nats_url: str, how: str) -> None:
        done, subject = Gathered(), unique()
        async with leaves_nothing():
            client = await connect(nats_url)
            service = await client.add_service("calc", "1.0.0", done_handler=done)
            await service.add_endpoint("e", double, subject=subject)
            await getattr(client, how)()
            async with asyncio.timeout(20):
                await service.stopped()
            assert done == [service]
            await service.stop()

    async def test_drain_of_the_client_loses_no_request(self, nats_url: str) -> None:
        subject, gate, done = unique(), Gate(), Gathered()
        async with await connect(nats_url) as caller:
            client = await connect(nats_url)
            service = await client.add_service("calc", "1.0.0", done_handler=done)
            await service.add_endpoint("e", gate, subject=subject)
            asked = [asyncio.create_task(caller.request(subject, str(n), 20)) for n in range(20)]
            await gate.reached()
            await caller.flush()
            draining = asyncio.create_task(client.drain())
            await eventually(lambda: service.endpoints and service.endpoints[0].subscription.is_closed)
            assert not done
            gate.open.set()
            await draining
            assert len(await asyncio.gather(*asked)) == 20
            assert done == [service]

    async def test_a_handler_that_stops_its_service(self, nats_url: str) -> None:
        subject, done = unique(), Gathered()
        async with await connect(nats_url) as client:
            service = await client.add_service("calc", "1.0.0", done_handler=done)

            async def last(request: Request) -> bytes:
                await service.stop()
                assert not service.is_stopped
                return b"the last one"

            await service.add_endpoint("e", last, subject=subject)
            assert (await client.request(subject, b"", 20)).data == b"the last one"
            await service.stopped()
            assert done == [service]

    async def test_a_done_handler_that_stops_it_and_fails(self, nats_url: str) -> None:
        errors = Gathered()

        async def done(service: Service) -> None:
            await service.stop()
            raise RuntimeError("done, but")

        async with await connect(nats_url, error_cb=errors) as client:
            async with await client.add_service("calc", "1.0.0", done_handler=done):
                pass
            (error,) = await errors.reach()
            assert "done, but" in str(error)

    @pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with Python 3.12")
    async def test_in_a_loop_whose_tasks_begin_at_once(self, nats_url: str) -> None:
        """The end must be known before it begins, or whoever is told of it begins another."""
        done, lost = Gathered(), Gathered()

        async def stop(service: Service) -> None:
            done(len(service.endpoints))
            await service.stop()

        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        try:
            async with Peer(Welcoming()) as peer:
                client = await connect(
                    peer.url, disconnected_cb=lost, reconnect_to_server_handler=lambda *_: (None, 3600)
                )
                service = await client.add_service("eager", "1.0.0", done_handler=stop)
                await service.add_endpoint("echo", lambda request: request.data)
                peer.sides[0].cut()
                await lost.reach()
                await service.stop()
                await client.close()
        finally:
            loop.set_task_factory(None)
        assert done == [1]

    async def test_a_stop_that_takes_too_long(self, nats_url: str) -> None:
        subject, gate, done = unique(), Gate(), Gathered()
        async with leaves_nothing(), await connect(nats_url) as client:
            service = await client.add_service("calc", "1.0.0", done_handler=done)
            await service.add_endpoint("e", gate, subject=subject)
            await client.publish(subject)
            await gate.reached()
            with pytest.raises(DrainTimeoutError, match=subject):
                await service.stop(timeout=0.02)
            assert gate.running == 0
            assert done == [service]
            assert client.subscriptions == []

    async def test_a_stop_whose_caller_is_cancelled_goes_on(self, nats_url: str) -> None:
        subject, gate = unique(), Gate()
        async with await connect(nats_url) as client:
            service = await client.add_service("calc", "1.0.0")
            await service.add_endpoint("e", gate, subject=subject)
            await client.publish(subject)
            await gate.reached()
            stopping = asyncio.create_task(service.stop())
            await asyncio.sleep(0)
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            assert not service.is_stopped
            gate.open.set()
            await service.stopped()

    async def test_one_endpoint_alone(self, nats_url: str) -> None:
        subject = unique()
        async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
            kept = await service.add_endpoint("kept", double, subject=f"{subject}.kept")
            ended = await service.add_endpoint("ended", double, subject=f"{subject}.ended")
            await ended.stop()
            assert service.endpoints == (kept,)
            assert [each.name for each in service.info().endpoints] == ["kept"]
            with pytest.raises(NoRespondersError):
                await client.request(f"{subject}.ended", b"", 20)
            await ended.stop()


class TestRefused:
    @pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "a>", "x\n", None, 7])
    async def test_a_name(self, silent: Client, name: Any) -> None:
        with pytest.raises(ServiceConfigError, match="name of a service"):
            await silent.add_service(name, "1.0.0")

    @pytest.mark.parametrize(
        "version", ["", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0 ", "1.0.0-", "1.0.0\n", None]
    )
    async def test_a_version(self, silent: Client, version: Any) -> None:
        with pytest.raises(ServiceConfigError, match="semver"):
            await silent.add_service("calc", version)

    @pytest.mark.parametrize("version", ["1.0.0-rc.1+build.5", "0.0.0", "10.20.30-alpha"])
    async def test_versions_that_are_taken(self, nats_url: str, version: str) -> None:
        async with await connect(nats_url) as client, await client.add_service("calc", version) as service:
            assert service.info().version == version

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"metadata": {"a": 1}}, "metadata is text by text"),
            ({"metadata": "a"}, "metadata is a mapping"),
            ({"queue_group": "a b"}, "queue group"),
            ({"queue_group": 7}, "queue group"),
            ({"description": None}, "description"),
            ({"done_handler": "x"}, "done_handler is a function"),
            ({"stats_handler": asyncio.sleep}, "stats_handler is a plain function"),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    async def test_an_option(self, silent: Client, options: Any, text: str) -> None:
        with pytest.raises(ServiceConfigError, match=text):
            await silent.add_service("calc", "1.0.0", **options)

    async def test_an_option_that_there_is_not(self, silent: Client) -> None:
        with pytest.raises(TypeError, match="wrong"):
            await silent.add_service("calc", "1.0.0", wrong=1)  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"name": "a.b"}, "name of an endpoint"),
            ({"name": ""}, "name of"),
            ({"subject": ""}, "empty"),
            ({"subject": "a..b"}, "empty token"),
            ({"subject": "a b"}, "white space"),
            ({"subject": "a.>.b"}, "last token"),
            ({"handler": "x"}, "function of one request"),
            ({"queue_group": "a b"}, "queue group"),
            ({"metadata": {1: "a"}}, "metadata"),
            ({"workers": 0}, "workers"),
            ({"workers": True}, "workers"),
            ({"pending_msgs_limit": -1}, "pending_msgs_limit"),
            ({"pending_bytes_limit": "1"}, "pending_bytes_limit"),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    async def test_an_endpoint(self, nats_url: str, options: Any, text: str) -> None:
        async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
            sent = client.stats.out_msgs
            with pytest.raises(ServiceConfigError, match=text):
                await service.add_endpoint(**{"name": "e", "handler": double, **options})
            assert service.endpoints == ()
            assert client.stats.out_msgs == sent

    @pytest.mark.parametrize("name", ["", "a.", "a.>", ">", "a b", None])
    async def test_a_group(self, nats_url: str, name: Any) -> None:
        async with await connect(nats_url) as client, await client.add_service("calc", "1.0.0") as service:
            with pytest.raises(ServiceConfigError, match="group"):
                service.add_group(name)

    async def test_on_a_client_that_is_closed(self, nats_url: str) -> None:
        client = await connect(nats_url)
        service = await client.add_service("calc", "1.0.0")
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await client.add_service("calc", "1.0.0")
        with pytest.raises((ConnectionClosedError, ServiceStoppedError)):
            await service.add_endpoint("e", double)

    async def test_on_a_client_that_drains(self, nats_url: str) -> None:
        client, gate = await connect(nats_url), Gate()
        service = await client.add_service("calc", "1.0.0")
        await service.add_endpoint("e", gate, subject=unique())
        await client.publish(service.endpoints[0].subject)
        await gate.reached()
        draining = asyncio.create_task(client.drain())
        await eventually(lambda: client.is_draining)
        with pytest.raises(ConnectionDrainingError):
            await client.add_service("calc", "1.0.0")
        gate.open.set()
        await draining


async def test_metadata_does_not_change(nats_url: str) -> None:
    metadata = {"a": "1"}
    async with await connect(nats_url) as client:
        service = await client.add_service("calc", "1.0.0", metadata=metadata)
        endpoint = await service.add_endpoint("e", double, subject=unique(), metadata=metadata)
        metadata["a"] = "2"
        assert service.info().metadata == endpoint.info.metadata == {"a": "1"}
        with pytest.raises(TypeError):
            endpoint.metadata["a"] = "3"  # type: ignore[index]
