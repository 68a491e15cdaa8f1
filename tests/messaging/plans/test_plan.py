"""A handler compiled: its shapes, what they cost, and that nothing gets out of them."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from tests.messaging.fakes import FakeBroker, FakeMessage, FakeSource, Native
from tidings.messaging.handler import Handler
from tidings.messaging.params import Context, Depends, Header, Logger
from tidings.messaging.plans.pauses import Pauses
from tidings.messaging.plans.plan import plan_for


class Reading(BaseModel):
    id: int
    v: float


JSON = b'{"id":7,"v":1.5}'


def limit() -> float:
    return 100.0


async def raw(body: bytes) -> None: ...
async def whole(reading: Reading) -> None: ...
async def fields(id: int, v: float) -> None: ...
async def returning(reading: Reading) -> Reading:
    return reading


async def injected(
    reading: Reading,
    message: FakeMessage,
    logger: Logger,
    correlation_id: str = Context("message.correlation_id"),
    most: float = Depends(limit),
) -> None: ...


async def plan(
    handler: Callable[..., Any], publish_to: str = "", **options: Any
) -> Callable[[Any], Awaitable[object]]:
    broker = FakeBroker(**options)
    if publish_to:
        broker.publisher(publish_to)(handler)
    await broker.connect()
    return plan_for([Handler(handler, broker.outputs_of(handler))], broker, FakeSource("in"), Pauses())


async def calls_of_ours(run: Callable[[Any], Awaitable[object]], native: Native) -> list[str]:
    """The Python functions of the framework that one message calls."""
    await run(native)  # the first one fills caches
    found: list[str] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("tidings."):
            found.append(frame.f_code.co_qualname)

    sys.setprofile(profile)
    try:
        await run(native)
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(("handler", "at_most"), [(raw, 1), (whole, 1), (fields, 2), (injected, 8)])
async def test_a_message_costs_few_calls(handler: Callable[..., Any], at_most: int) -> None:
    calls = await calls_of_ours(await plan(handler, logger=None), Native(JSON))
    assert len(calls) <= at_most, calls


async def test_a_published_result_costs_few_calls() -> None:
    calls = await calls_of_ours(await plan(returning, "out", logger=None), Native(JSON))
    assert len(calls) <= 10, calls


@pytest.mark.parametrize("handler", [raw, whole, fields])
async def test_a_plain_handler_makes_no_message(
    handler: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a message was made")

    run = await plan(handler, logger=None)
    monkeypatch.setattr(FakeMessage, "__init__", refuse)
    assert await run(Native(JSON))


@pytest.mark.parametrize("handler", [raw, whole, fields, injected])
async def test_every_shape_reports_success_and_failure(handler: Callable[..., Any]) -> None:
    async def failing(*_: Any) -> None:
        raise ValueError("no")

    failing.__signature__ = inspect.signature(handler)  # type: ignore[attr-defined]
    assert await (await plan(handler))(Native(JSON)) is True
    assert await (await plan(failing))(Native(JSON)) is False


@pytest.mark.parametrize("handler", [whole, fields, injected])
async def test_every_shape_refuses_an_invalid_payload(handler: Callable[..., Any]) -> None:
    assert await (await plan(handler))(Native(b'{"id":"x"}')) is False


async def test_cancellation_is_never_swallowed() -> None:
    started = asyncio.Event()

    async def handler(body: bytes) -> None:
        started.set()
        await asyncio.Event().wait()

    async def with_message(body: bytes, message: FakeMessage) -> None:
        await handler(body)

    for each in (handler, with_message):
        started.clear()
        task = asyncio.ensure_future((await plan(each))(Native()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_something_else_that_was_cancelled_is_a_failure_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(body: bytes) -> None:
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    assert await (await plan(handler))(Native()) is False
    assert "CancelledError" in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
async def test_what_ends_the_program_gets_out(kind: type[BaseException]) -> None:
    async def handler(body: bytes) -> None:
        raise kind

    run = await plan(handler)
    with pytest.raises(kind):
        await run(Native())


async def test_a_line_is_logged_for_each_message_handled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tidings")
    run = await plan(raw)
    await run(Native(headers={"correlation_id": "c-1"}))
    (record,) = caplog.records
    assert record.getMessage().startswith("in | c-1 | handled in ")
    assert vars(record)["channel"] == "in"
    assert vars(record)["correlation_id"] == "c-1"
    assert vars(record)["duration_ms"] >= 0


@pytest.mark.parametrize("options", [{"logger": None}, {"log_level": 10}, {"log_level": 0}])
async def test_the_line_can_be_turned_off(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tidings")
    await (await plan(raw, **options))(Native())
    assert not caplog.records


async def test_a_header_that_is_missing_or_wrong_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(attempts: Annotated[int, Field(gt=0), Header()]) -> None: ...

    run = await plan(handler)
    for headers in ({}, {"attempts": "0"}):
        assert await run(Native(headers=headers)) is False
    assert "message of 'in': parameter 'attempts': the header 'attempts' is missing" in caplog.text
    assert "parameter 'attempts': Input should be greater than 0" in caplog.text
