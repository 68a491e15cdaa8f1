"""Every status of a pull, as the table has it, in a fetch and in a reading that goes on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.nats.core.gathering import leaves_nothing
from tests.nats.jetstream.pulling import eventually, pulled

from tidings.nats.errors import Error
from tidings.nats.jetstream.errors import (
    ConsumerDeletedError,
    ConsumerIsPushError,
    ConsumerNotFoundError,
    JetStreamUnavailableError,
    NoHeartbeatError,
    PullError,
    PullInterruptedError,
    PullRefusedError,
    TooManyPullsError,
)
from tidings.nats.jetstream.statuses import STATUSES, Verdict, limit_in, read_status
from tidings.nats.wire import Msg

LEFT = {"Nats-Pending-Messages": "5", "Nats-Pending-Bytes": "0"}

# What a fetch makes of it when no message came: the exception, or None for an empty list.
ENDING: list[tuple[str, type[Error] | None]] = [
    ("404 No Messages", None),
    ("408 Request Timeout", None),
    ("408 Requests Pending", None),
    ("409 Batch Completed", None),
    ("409 Message Size Exceeds MaxBytes", PullRefusedError),
    ("409 Exceeded MaxRequestBatch of 3", PullRefusedError),
    ("409 Exceeded MaxRequestExpires of 1s", PullRefusedError),
    ("409 Exceeded MaxRequestMaxBytes of 10", PullRefusedError),
    ("409 Consumer Deleted", ConsumerDeletedError),
    ("409 Consumer is push based", ConsumerIsPushError),
    ("400 Bad Request - Priority Group missing", PullRefusedError),
    ("400 Bad Request - Invalid Priority Group", PullRefusedError),
    ("400 Bad Request - heartbeat value too large", PullRefusedError),
]
AGAIN = ["409 Leadership Change", "409 Server Shutdown", "423 Nats-Pin-Id mismatch"]
LATER = [("409 Exceeded MaxWaiting", TooManyPullsError), ("499 What Comes In Years", PullError)]


def read(text: str) -> Verdict:
    found = read_status(Msg(header_block=f"NATS/1.0 {text}\r\n\r\n".encode()))
    assert found is not None
    return found[0].verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("100 Idle Heartbeat", Verdict.ALIVE),
        ("404 No Messages", Verdict.EMPTY),
        ("408 Requests Pending", Verdict.EMPTY),
        ("408 Request Timeout", Verdict.OVER),
        ("409 Leadership Change", Verdict.VOID),
        ("409 leadership change", Verdict.VOID),
        ("423 Nats-Pin-Id mismatch", Verdict.VOID),
        ("409 Exceeded MaxWaiting", Verdict.BUSY),
        ("409 Exceeded MaxRequestBatch of 7", Verdict.REFUSED),
        ("409 Consumer Deleted", Verdict.GONE),
        ("503", Verdict.ABSENT),
        ("599 New", Verdict.BUSY),
    ],
)
def test_reads_a_status(text: str, verdict: Verdict) -> None:
    assert read(text) is verdict


def test_every_row_of_the_table_can_be_reached() -> None:
    for row in STATUSES:
        assert read(f"{row.code or 599} {row.text}") is row.verdict


@pytest.mark.parametrize("block", [None, b"NATS/1.0\r\n\r\n", b"garbage"])
def test_what_is_no_status(block: bytes | None) -> None:
    assert read_status(Msg(header_block=block)) is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("Exceeded MaxRequestBatch of 10", 10),
        ("Exceeded MaxRequestExpires of 1m30s", 90),
        ("Exceeded MaxRequestExpires of 1.5s", 1.5),
        ("Exceeded MaxRequestExpires of 500ms", 0.5),
        ("Exceeded MaxRequestBatch", None),
        ("Exceeded MaxRequestBatch of many", None),
        ("Exceeded MaxRequestBatch of \N{SUPERSCRIPT TWO}", None),
        ("Exceeded MaxRequestExpires of 1.2.3s", None),
        pytest.param("Exceeded MaxRequestBatch of " + "9" * 400, None, id="no number of the server's"),
    ],
)
def test_reads_a_limit(text: str, limit: float | None) -> None:
    assert limit_in(text) == limit


@pytest.mark.parametrize(("text", "error"), ENDING)
async def test_a_status_ends_a_fetch(text: str, error: type[Error] | None) -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(5, 30))
        await server.asked(1)
        await server.status(text)
        if error is None:
            assert await fetch == []
        else:
            with pytest.raises(error):
                await fetch


@pytest.mark.parametrize(("text", "error"), ENDING)
async def test_what_came_before_a_status_is_returned(text: str, error: type[Error] | None) -> None:
    async with pulled() as server, leaves_nothing():
        fetch = asyncio.create_task(server.consumer.fetch(5, 30))
        await server.asked(1)
        await server.messages(2)
        await server.status(text, {"Nats-Pending-Messages": "3"})
        assert [message.data for message in await fetch] == [b"1", b"2"]


@pytest.mark.parametrize("text", AGAIN)
async def test_a_fetch_asks_again_for_the_rest_of_a_void_pull(text: str) -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(5, 30))
        await server.asked(1)
        await server.messages(2)
        await server.status(text)
        again = await server.asked(2)
        assert again["batch"] == 3
        await server.messages(3)
        assert len(await fetch) == 5


@pytest.mark.parametrize(("text", "error"), LATER)
async def test_a_fetch_asks_again_in_a_while_and_raises_when_its_time_is_up(
    text: str, error: type[Error]
) -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(5, 0.4))
        await server.asked(1)
        await server.status(text)
        await server.asked(2)
        await server.status(text)
        with pytest.raises(error):
            await fetch


async def test_a_fetch_that_does_not_wait_raises_at_once() -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(5, 30, no_wait=True))
        assert await server.asked(1) == {"batch": 5, "no_wait": True}
        await server.status("409 Exceeded MaxWaiting")
        with pytest.raises(TooManyPullsError):
            await fetch


async def test_nobody_takes_a_pull_of_a_consumer_that_is_gone() -> None:
    async with pulled() as server:
        error = {"code": 404, "err_code": 10014, "description": "consumer not found"}
        server.answers["CONSUMER.INFO"] = json.dumps({"error": error}).encode()
        fetch = asyncio.create_task(server.consumer.fetch(5, 30))
        await server.asked(1)
        await server.status("503")
        with pytest.raises(ConsumerNotFoundError):
            await fetch


async def test_nobody_takes_a_pull_while_there_is_no_leader() -> None:
    async with pulled() as server:
        server.answers["CONSUMER.INFO"] = b"{}"
        fetch = asyncio.create_task(server.consumer.fetch(1, 30))
        await server.asked(1)
        await server.status("503")
        await server.asked(2)
        await server.messages(1)
        assert len(await fetch) == 1


async def test_a_fetch_that_hears_no_heartbeat_asks_again_and_says_so_at_its_end() -> None:
    async with pulled() as server:
        fetch = asyncio.create_task(server.consumer.fetch(5, 0.5, heartbeat=0.1))
        assert (await server.asked(1))["idle_heartbeat"] == 100_000_000
        await server.asked(2)
        with pytest.raises(NoHeartbeatError):
            await fetch


async def test_a_fetch_is_no_longer_than_its_time_whatever_the_server_does() -> None:
    async with pulled() as server, leaves_nothing():
        assert await server.consumer.fetch(5, 0.1) == []
        with pytest.raises(TimeoutError, match=r"no message of consumer 'c' within 0\.1 s"):
            await server.consumer.next(0.1)


async def reading(server: Any, **options: Any) -> tuple[asyncio.Task[list[bytes]], list[Exception]]:
    errors: list[Exception] = []

    async def read() -> list[bytes]:
        async with server.consumer.messages(on_error=errors.append, **options) as messages:
            return [message.data async for message in messages]

    return asyncio.create_task(read()), errors


@pytest.mark.parametrize("text", ["404 No Messages", "408 Request Timeout", "409 Batch Completed"])
async def test_a_reading_asks_again_when_a_pull_is_over(text: str) -> None:
    async with pulled() as server:
        reader, errors = await reading(server, batch=5, stop_after=5)
        await server.asked(1)
        await server.status(text, LEFT)
        await server.asked(2)
        await server.messages(5)
        assert await reader == [b"1", b"2", b"3", b"4", b"5"]
        assert not errors


async def test_a_reading_asks_only_for_what_is_missing() -> None:
    async with pulled() as server:
        reader, _ = await reading(server, batch=10, stop_after=20)
        assert (await server.asked(1))["batch"] == 10
        await server.messages(4)
        await server.status("408 Request Timeout", {"Nats-Pending-Messages": "6", "Nats-Pending-Bytes": "0"})
        assert (await server.asked(2))["batch"] == 6
        await server.messages(6)
        assert (await server.asked(3))["batch"] == 6
        await server.messages(10)
        assert len(await reader) == 20


@pytest.mark.parametrize("text", AGAIN)
async def test_a_void_pull_of_a_reading_is_made_again_once(text: str) -> None:
    async with pulled() as server:
        reader, errors = await reading(server, batch=4, threshold=4, stop_after=8)
        await server.asked(1)
        await server.messages(1)
        await server.asked(2)
        await server.status(text, ask=0)
        await server.status(text, ask=1)  # of the same time: it says nothing new
        await server.asked(3)
        await server.messages(7)
        assert len(await reader) == 8
        assert [each["batch"] for each in server.asks[:3]] == [4, 1, 4]
        assert all(isinstance(each, PullInterruptedError) for each in errors)
        assert len(errors) == (0 if text.startswith("423") else 1)


@pytest.mark.parametrize(("text", "error"), LATER)
async def test_a_reading_that_is_refused_for_now_asks_again_in_a_while(text: str, error: type[Error]) -> None:
    async with pulled() as server:
        reader, errors = await reading(server, stop_after=1)
        await server.asked(1)
        await server.status(text)
        await server.asked(2)
        await server.messages(1)
        assert await reader == [b"1"]
        assert [type(each) for each in errors] == [error]


@pytest.mark.parametrize(
    ("text", "error"),
    [(text, error) for text, error in ENDING if error is not None and not text.startswith("409 Ex")],
)
async def test_what_cannot_be_mended_ends_a_reading_when_all_that_came_is_taken(
    text: str, error: type[Error]
) -> None:
    if "MaxBytes" in text:
        return  # the next message may fit
    async with pulled() as server:
        reader, _ = await reading(server)
        await server.asked(1)
        await server.messages(3)
        await server.status(text)
        with pytest.raises(error):
            await reader


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("409 Exceeded MaxRequestBatch of 3", {"batch": 10}, ("batch", 3)),
        ("409 Exceeded MaxRequestExpires of 2s", {"expires": 10}, ("expires", 2_000_000_000)),
        ("409 Exceeded MaxRequestMaxBytes of 100", {"max_bytes": 1000}, ("max_bytes", 100)),
    ],
)
async def test_a_reading_keeps_a_limit_that_it_is_told(
    text: str, options: dict[str, Any], expected: tuple[str, int]
) -> None:
    async with pulled() as server:
        reader, errors = await reading(server, stop_after=1000, **options)
        await server.asked(1)
        await server.status(text)
        field, value = expected
        assert (await server.asked(2))[field] == value
        reader.cancel()
        assert not errors


async def test_a_limit_that_cannot_be_kept_ends_a_reading() -> None:
    async with pulled() as server:
        reader, _ = await reading(server)
        await server.asked(1)
        await server.status("409 Exceeded MaxRequestExpires of 100ms")
        with pytest.raises(PullRefusedError):
            await reader


async def test_a_message_larger_than_max_bytes_is_told_and_asked_for_in_a_while() -> None:
    async with pulled() as server:
        reader, errors = await reading(server, max_bytes=10, stop_after=1)
        await server.asked(1)
        left = {"Nats-Pending-Messages": "1000000", "Nats-Pending-Bytes": "10"}
        await server.status("409 Message Size Exceeds MaxBytes", left)
        await server.asked(2)
        await server.messages(1)
        assert await reader == [b"1"]
        assert [type(each) for each in errors] == [PullRefusedError]


async def test_a_reading_looks_for_a_consumer_that_nobody_answers_for() -> None:
    async with pulled() as server:
        reader, errors = await reading(server, stop_after=1)
        await server.asked(1)
        server.answers["CONSUMER.INFO"] = b"{}"
        await server.status("503")
        await server.asked(2)
        error = {"code": 404, "err_code": 10014, "description": "consumer not found"}
        server.answers["CONSUMER.INFO"] = json.dumps({"error": error}).encode()
        await server.status("503")
        with pytest.raises(ConsumerNotFoundError):
            await reader
        assert not errors


async def test_a_reading_that_hears_no_heartbeat_says_so_and_asks_again() -> None:
    async with pulled() as server:
        reader, errors = await reading(server, expires=1, heartbeat=0.05, stop_after=1)
        assert (await server.asked(1))["idle_heartbeat"] == 50_000_000
        await server.asked(2)
        await server.messages(1)
        await reader
        assert [type(each) for each in errors] == [NoHeartbeatError]


async def test_heartbeats_keep_a_reading_quiet() -> None:
    async with pulled() as server:
        reader, errors = await reading(server, expires=1, heartbeat=0.1, stop_after=1)
        await server.asked(1)
        for _ in range(12):
            await server.status("100 Idle Heartbeat")
            await asyncio.sleep(0.03)  # the heartbeats are what the test is about
        assert len(server.asks) == 1
        await server.messages(1)
        await reader
        assert not errors


async def test_errors_go_to_the_client_when_nobody_else_listens() -> None:
    async with pulled() as server:
        async with server.consumer.messages() as messages:
            waiting = asyncio.create_task(anext(messages))
            await server.asked(1)
            await server.status("409 Leadership Change")
            await server.asked(2)
            await server.messages(1)
            await waiting
        await eventually(lambda: server.errors)
        assert isinstance(server.errors[0], PullInterruptedError)


def test_unavailable_is_no_pull_error() -> None:
    assert not issubclass(JetStreamUnavailableError, PullError)
