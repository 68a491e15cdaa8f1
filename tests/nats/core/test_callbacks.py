from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable

import pytest
from tests.nats.core.gathering import Gathered

from tidings.nats.core.callbacks import Callbacks, is_coroutine_function


async def coroutine() -> None: ...


def function() -> None: ...


class Plain:
    def __call__(self) -> None: ...

    async def method(self) -> None: ...


class Async:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("callback", "is_async"),
    [
        (coroutine, True),
        (functools.partial(coroutine), True),
        (Async(), True),
        (Plain().method, True),
        (function, False),
        (functools.partial(function), False),
        (Plain(), False),
        (lambda: coroutine(), False),  # it gives a coroutine, but only a call can tell
        (print, False),
    ],
)
async def test_what_gives_a_coroutine(callback: object, is_async: bool) -> None:
    assert is_coroutine_function(callback) is is_async  # type: ignore[arg-type]


@pytest.mark.parametrize("callback", [Gathered, lambda: AsyncGathered()])
async def test_both_kinds_are_run(callback: type[Gathered]) -> None:
    gathered = callback()
    callbacks = Callbacks(None)
    callbacks.notify(gathered)
    callbacks.notify(gathered, 5)
    callbacks.notify(None)
    await callbacks.finish(10)
    assert gathered == [None, 5]


class AsyncGathered(Gathered):
    def __call__(self, *args: object) -> Awaitable[None]:  # type: ignore[override]
        return self.later(*args)

    async def later(self, *args: object) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        super().__call__(*args)


async def test_an_error_goes_to_the_error_callback() -> None:
    errors = AsyncGathered()
    callbacks = Callbacks(errors)
    error = LookupError()

    def fail() -> None:
        raise error

    callbacks.notify(fail)
    await callbacks.finish(10)
    assert errors == [error], "finish waits for the report of what it waits for, too"


async def test_errors_are_reported_in_order() -> None:
    errors = Gathered()
    callbacks = Callbacks(errors)
    made = [LookupError(str(i)) for i in range(100)]
    for error in made:
        callbacks.report(error)
    await callbacks.finish(10)
    assert errors == made


async def test_a_flood_of_errors_takes_one_task_and_bounded_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, errors = asyncio.Event(), Gathered()

    async def slow(error: Exception) -> None:
        await gate.wait()
        errors(error)

    callbacks = Callbacks(slow)
    before = len(asyncio.all_tasks())
    made = [LookupError(str(i)) for i in range(1500)]
    for error in made:
        callbacks.report(error)
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before + 1
    gate.set()
    await callbacks.finish(10)
    assert errors == made[:1001]
    assert len(caplog.records) == 499


async def test_errors_that_an_endless_error_callback_never_hears_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hang(error: Exception) -> None:
        await asyncio.get_running_loop().create_future()

    callbacks = Callbacks(hang)
    for name in ("one", "two", "three"):
        callbacks.report(LookupError(name))
    await callbacks.finish(0.01)
    assert [record.getMessage() for record in caplog.records] == [
        "LookupError: two",
        "LookupError: three",
    ]


async def test_without_an_error_callback_they_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    Callbacks(None).report(LookupError("lost"))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("tidings.nats", "ERROR")
    assert record.getMessage() == "LookupError: lost"


async def test_an_error_callback_that_fails_is_logged_with_both(caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: Exception) -> None:
        raise KeyError("worse")

    callbacks = Callbacks(fail)
    callbacks.report(LookupError("bad"))
    await callbacks.finish(10)
    (record,) = caplog.records
    assert "LookupError: bad" in record.getMessage()
    assert record.exc_info
    assert isinstance(record.exc_info[1], KeyError)


async def test_finish_cancels_what_takes_too_long() -> None:
    started, cancelled = Gathered(), Gathered()

    async def hang() -> None:
        started()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled()

    callbacks = Callbacks(None)
    callbacks.notify(hang)
    await started.reach()
    await callbacks.finish(0.01)
    assert len(cancelled) == 1


async def test_finish_does_not_wait_for_itself() -> None:
    done = Gathered()
    callbacks = Callbacks(None)

    async def finish() -> None:
        await callbacks.finish(10)
        done()

    callbacks.notify(finish)
    await done.reach()


async def test_a_callback_that_is_cancelled_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    callbacks = Callbacks(None)
    callbacks.notify(cancel)
    await callbacks.finish(10)
    assert not caplog.records
