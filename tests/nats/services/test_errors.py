"""Errors: what a requester is told, what is reported, what is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually
from tests.nats.services.calling import Gate, double, unique

from tidings.nats import Client, Msg, SlowConsumerError, connect
from tidings.nats.services import (
    ERROR_CODE_HEADER,
    ERROR_HEADER,
    Endpoint,
    EndpointError,
    Request,
    Service,
    ServiceError,
    error_headers,
)


async def serve(client: Client, handler: Any, **options: Any) -> Endpoint:
    service = await client.add_service("calc", "1.0.0", **options)
    return await service.add_endpoint("e", handler, subject=unique())


async def fail(request: Request) -> bytes:
    raise KeyError("a secret of ours")


def fail_at_once(request: Request) -> bytes:
    raise KeyError("a secret of ours")


@pytest.mark.parametrize("handler", [fail, fail_at_once])
async def test_an_exception_is_answered_and_reported(nats_url: str, handler: Any) -> None:
    """The requester learns what kind of failure it was, and nothing of what was in it."""
    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        endpoint = await serve(client, handler)
        reply = await client.request(endpoint.subject, b"", 20)
        assert reply.data == b""
        assert reply.headers == {ERROR_CODE_HEADER: "500", ERROR_HEADER: "the handler failed with KeyError"}
        (error,) = await errors.reach()
        assert isinstance(error, EndpointError)
        assert (error.service, error.endpoint, error.subject) == ("calc", "e", endpoint.subject)
        assert isinstance(error.__cause__, KeyError)
        assert "a secret of ours" in str(error)
        assert (endpoint.num_requests, endpoint.num_errors) == (1, 1)
        assert endpoint.last_error == "500:the handler failed with KeyError"


async def test_an_error_raised_as_an_answer(nats_url: str) -> None:
    def refuse(request: Request) -> None:
        raise ServiceError(404, "no such\r\norder \udcff", data=b"more", headers={"A": ["1", "2"]})

    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        endpoint = await serve(client, refuse)
        reply = await client.request(endpoint.subject, b"", 20)
        assert reply.data == b"more"
        assert reply.headers[ERROR_CODE_HEADER] == "404"
        assert reply.headers[ERROR_HEADER] == "no such order ?"
        assert reply.headers.get_all("A") == ["1", "2"]
        assert endpoint.stats.last_error == "404:no such order ?"
    assert errors == []


@pytest.mark.parametrize(
    "more", [{"headers": {"bad name:": "x"}}, {"data": bytes(2**21)}, {"data": 7}], ids=["h", "d", "t"]
)
async def test_an_error_with_what_cannot_be_sent_is_told_without_it(nats_url: str, more: Any) -> None:
    def refuse(request: Request) -> None:
        raise ServiceError(404, "gone", **more)

    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        endpoint = await serve(client, refuse)
        with pytest.raises(ServiceError, match="404: gone"):
            await client.services().request(endpoint.subject, b"", 20)
        (error,) = await errors.reach()
        assert "could not be told" in str(error)
        assert endpoint.num_errors == 1


async def test_respond_error(nats_url: str) -> None:
    async def refuse(request: Request) -> None:
        await request.respond_error(409, "busy", b"data", headers={"A": "b"})

    async with await connect(nats_url) as client:
        endpoint = await serve(client, refuse)
        with pytest.raises(ServiceError, match="409: busy") as caught:
            await client.services().request(endpoint.subject, b"", 20)
        assert (caught.value.code, caught.value.description, caught.value.data) == (409, "busy", b"data")
        assert caught.value.reply is not None
        assert caught.value.reply.headers["A"] == "b"
        assert (endpoint.num_requests, endpoint.num_errors, endpoint.last_error) == (1, 1, "409:busy")


async def test_who_has_answered_is_not_contradicted(nats_url: str) -> None:
    async def answer_and_fail(request: Request) -> None:
        await request.respond("1")
        raise ValueError("then")

    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        endpoint = await serve(client, answer_and_fail)
        replies = client.request_many(endpoint.subject, timeout=20, stall=0.05)
        assert [reply.data async for reply in replies] == [b"1"]
        await errors.reach()
        assert endpoint.num_errors == 1


async def test_an_error_of_another_service_is_a_failure_of_ours(nats_url: str) -> None:
    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        inner = await serve(client, fail)

        async def ask(request: Request) -> bytes:
            return (await client.services().request(inner.subject, b"", 20)).data

        outer = await serve(client, ask)
        with pytest.raises(ServiceError, match="the handler failed with ServiceError"):
            await client.services().request(outer.subject, b"", 20)
        assert len(await errors.reach(2)) == 2


async def test_what_cannot_be_sent(nats_url: str) -> None:
    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        large = await serve(client, lambda request: bytes(client.max_payload + 1))
        wrong = await serve(client, lambda request: {"a": 1})
        for endpoint, name in ((large, "MaxPayloadError"), (wrong, "TypeError")):
            with pytest.raises(ServiceError, match=name):
                await client.services().request(endpoint.subject, b"", 20)
        await errors.reach(2)


async def test_a_handler_that_awaits_what_is_cancelled(nats_url: str) -> None:
    async def handler(request: Request) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    async with await connect(nats_url, error_cb=Gathered()) as client:
        endpoint = await serve(client, handler)
        for _ in range(2):
            with pytest.raises(ServiceError, match="CancelledError"):
                await client.services().request(endpoint.subject, b"", 20)


async def test_an_error_handler_of_its_own(nats_url: str) -> None:
    told: list[tuple[Service, Exception]] = []
    more = asyncio.Event()

    async def handler(service: Service, error: Exception) -> None:
        told.append((service, error))
        more.set()
        raise RuntimeError("and the handler fails too")

    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        endpoint = await serve(client, fail, error_handler=handler)
        await client.request(endpoint.subject, b"", 20)
        async with asyncio.timeout(20):
            await more.wait()
        ((service, error),) = told
        assert service.endpoints == (endpoint,)
        assert isinstance(error, EndpointError)
        await service.stop()
    assert errors == []


async def test_a_queue_that_is_full_is_reported(nats_url: str) -> None:
    gate, told = Gate(), Gathered()
    async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
        service = await client.add_service("calc", "1.0.0", error_handler=lambda _, error: told(error))
        endpoint = await service.add_endpoint("e", gate, subject=unique(), pending_msgs_limit=2)
        await client.publish(endpoint.subject)
        await gate.reached()
        for _ in range(10):
            await client.publish(endpoint.subject)
        (error,) = await told.reach()
        assert isinstance(error, SlowConsumerError)
        assert error.subject == endpoint.subject
        gate.open.set()
        await service.stop()
    assert errors == []


class TestStats:
    async def test_counters(self, nats_url: str) -> None:
        async with await connect(nats_url, error_cb=Gathered()) as client:
            good, bad = await serve(client, double), await serve(client, fail)
            for _ in range(3):
                await client.request(good.subject, b"", 20)
                await client.request(bad.subject, b"", 20)
            stats = good.stats
            assert (stats.num_requests, stats.num_errors, stats.last_error) == (3, 0, "")
            assert stats.processing_time > 0
            assert stats.average_processing_time == stats.processing_time // 3
            assert (bad.stats.num_requests, bad.stats.num_errors) == (3, 3)

    async def test_reset_resets_the_endpoints_too(self, nats_url: str) -> None:
        async with await connect(nats_url, error_cb=Gathered()) as client:
            service = await client.add_service("calc", "1.0.0")
            endpoint = await service.add_endpoint("e", fail, subject=unique())
            await client.request(endpoint.subject, b"", 20)
            await eventually(lambda: endpoint.processing_time)
            service.reset()
            (stats,) = service.stats().endpoints
            assert stats == endpoint.stats
            assert (stats.num_requests, stats.num_errors, stats.last_error) == (0, 0, "")
            assert (stats.processing_time, stats.average_processing_time) == (0, 0)

    async def test_data_of_ones_own(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            service = await client.add_service("calc", "1.0.0", stats_handler=lambda each: {"of": each.name})
            await service.add_endpoint("e", double, subject=unique())
            (found,) = await client.services(stall=0.05).stats("calc", service.id)
            assert [each.data for each in found.endpoints] == [{"of": "e"}]

    @pytest.mark.parametrize("give", [lambda _: {1}, lambda _: 1 / 0], ids=["no JSON", "raises"])
    async def test_data_that_cannot_be_sent_hides_no_counters(self, nats_url: str, give: Any) -> None:
        async with await connect(nats_url, error_cb=(errors := Gathered())) as client:
            service = await client.add_service("calc", "1.0.0", stats_handler=give)
            await service.add_endpoint("e", double, subject=unique())
            (found,) = await client.services().stats("calc", service.id)
            assert [(each.name, each.data) for each in found.endpoints] == [("e", None)]
            (error,) = await errors.reach()
            assert isinstance(error, EndpointError)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (None, None),
        (b"NATS/1.0\r\nA: b\r\n\r\n", None),
        (b"NATS/1.0\r\nNats-Service-Error-Code: 404\r\nNats-Service-Error: gone\r\n\r\n", (404, "gone")),
        (b"NATS/1.0\r\nNats-Service-Error: gone\r\n\r\n", (0, "gone")),
        (b"NATS/1.0\r\nNats-Service-Error-Code: E_GONE\r\n\r\n", (0, "")),
        (b"NATS/1.0\r\nNats-Service-Error-Code: " + b"9" * 5000 + b"\r\n\r\n", (0, "")),
        ("NATS/1.0\r\nNats-Service-Error-Code: ²\r\n\r\n".encode(), (0, "")),
        (b"no header block", None),
    ],
    ids=["none", "others", "both", "no code", "no number", "long", "no ASCII", "broken"],
)
def test_what_a_reply_says(block: bytes | None, expected: tuple[int, str] | None) -> None:
    error = ServiceError.of(Msg("s", data=b"x", header_block=block))
    assert (error and (error.code, error.description)) == expected


def test_error_headers() -> None:
    assert error_headers(500, "a\r\nb") == {ERROR_CODE_HEADER: "500", ERROR_HEADER: "a b"}
