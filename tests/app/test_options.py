"""The options of a start: who gets them, and what is said of those that are wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

from tidings.app import App
from tidings.app.run import Run
from tidings.messaging.errors import OptionError, SetupError
from tidings.messaging.params import Depends, Logger
from tidings.testing import TestApp


async def test_every_hook_and_the_lifespan_get_the_options_they_name() -> None:
    got: dict[str, object] = {}

    @asynccontextmanager
    async def lifespan(model: str, size: int = 3) -> AsyncIterator[None]:
        got["lifespan"] = (model, size)
        yield

    app = App(lifespan=lifespan, logger=None)

    @app.on_startup
    def on_startup(size: int, logger: Logger) -> None:
        got["on_startup"] = size

    @app.after_startup
    async def after_startup(*, tags: list[str], fast: bool = False) -> None:
        got["after_startup"] = (tags, fast)

    @app.after_shutdown
    def after_shutdown(model: str) -> None:
        got["after_shutdown"] = model

    await app.start(model="small", size="4", tags="one", fast=True)
    await app.stop()
    assert got == {
        "lifespan": ("small", 4),
        "on_startup": 4,
        "after_startup": (["one"], True),
        "after_shutdown": "small",
    }


async def test_a_dependency_of_a_hook_gets_options_too() -> None:
    got: list[object] = []

    def address(host: str, port: int = 1) -> Iterator[str]:
        yield f"{host}:{port}"
        got.append("closed")

    def hook(where: Annotated[str, Depends(address)]) -> None:
        got.append(where)

    app = App(on_startup=[hook], logger=None)
    async with TestApp(app, host="here", port=2):
        pass
    assert got == ["here:2", "closed"]


async def test_a_hook_that_takes_all_gets_what_it_does_not_name() -> None:
    got: list[object] = []

    def hook(name: str, **options: Any) -> None:
        got.append((name, options))

    await App(on_startup=[hook], logger=None).start(name="me", other="1", third=["a", "b"])
    assert got == [("me", {"other": "1", "third": ["a", "b"]})]


async def test_the_options_of_run_are_those_of_start() -> None:
    got: list[int] = []

    def hook(number: int) -> None:
        got.append(number)

    app = App(on_startup=[hook], logger=None)
    app.after_startup(app.exit)
    await app.run(number="1")
    await app.run(number=2)
    assert got == [1, 2]


def wants_model(model: str) -> None: ...
def wants_number(number: int) -> None: ...
def wants_secret(token: int) -> None: ...


@pytest.mark.parametrize(
    ("hook", "options", "name", "said"),
    [
        (wants_model, {}, "model", r"wants_model asks for 'model'.*tidings run … --model VALUE"),
        (wants_number, {"number": "few"}, "number", "--number is not what.*wants_number asks for: .*integer"),
        (wants_model, {"model": True}, "model", "--model is not what.*string"),
        (wants_model, {"model": "a", "modle": "b"}, "modle", "no hook asks for.*--modle.*ask for --model"),
        (print, {"some_name": "b"}, "some_name", None),
    ],
)
async def test_what_is_wrong_is_said_before_anything_is_opened(
    hook: Any, options: dict[str, Any], name: str, said: str | None
) -> None:
    opened: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        opened.append("lifespan")
        yield

    app = App(lifespan=lifespan, after_startup=[(lambda: None) if said is None else hook], logger=None)
    with pytest.raises(OptionError, match=said or "--some-name; they ask for none") as caught:
        await app.start(**options)
    assert caught.value.name == name
    assert isinstance(caught.value, SetupError)
    assert not opened
    app._after_startup.clear()
    async with app:  # it can be started still
        assert opened == ["lifespan"]


async def test_an_error_does_not_show_the_value() -> None:
    with pytest.raises(OptionError) as caught:
        await App(on_startup=[wants_secret], logger=None).start(token="s3cret")
    assert "s3cret" not in str(caught.value)


async def test_an_exit_lets_the_start_come_to_its_end_or_abandons_it() -> None:
    steps: list[str] = []
    app = App(logger=None, after_shutdown=[lambda: steps.append("closed")])

    @app.on_startup
    async def waits() -> None:
        steps.append("waiting")
        app.exit(abandon_start=len(steps) > 3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        steps.append("started")

    await app.run()
    assert steps == ["waiting", "started", "closed"]
    await app.run()
    assert steps[3:] == ["waiting", "closed"]


def test_an_exit_after_the_loop_was_closed_does_nothing() -> None:
    """As from a thread that asks in the moment in which everything ends."""
    runs: list[Run | None] = []
    app = App(logger=None)
    app.after_startup(app.exit)
    app.after_startup(lambda: runs.append(app._run))
    asyncio.run(app.run())
    (app._run,) = runs
    app.exit()
