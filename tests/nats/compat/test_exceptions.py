"""The exceptions of nats-py: its tree, its texts, and ours of the same meaning above them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from tests.nats.compat.conftest import Door

import tidings.nats
from tidings.nats import errors as native
from tidings.nats.compat import border, errors
from tidings.nats.compat.js import errors as js_errors  # which adds its rows to the table
from tidings.nats.jetstream import errors as jetstream

MODULES = ("errors", "aio.errors", "js.errors")
# What rows of the table read of an error of ours.
FIELDS = {
    "subject": "a",
    "sid": 1,
    "code": 404,
    "status": 404,
    "err_code": 1,
    "description": "d",
    "text": "t",
}


def _exceptions(module: Any) -> dict[str, type[Exception]]:
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == module.__name__
    }


def _tree(kind: type[Exception], root: str) -> set[str]:
    return {each.__name__ for each in kind.__mro__ if each.__module__.startswith(root)}


@pytest.mark.parametrize("path", MODULES)
def test_the_tree_is_the_same(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    for name, kind in _exceptions(theirs).items():
        assert _tree(getattr(ours, name), "tidings.nats.compat.") == _tree(kind, "nats."), name


@pytest.mark.parametrize("path", MODULES)
def test_each_is_an_error_of_ours(path: str, doors: tuple[Door, Door]) -> None:
    for kind in _exceptions(doors[1].module(path)).values():
        assert issubclass(kind, native.Error), kind


@pytest.mark.parametrize("path", ["errors", "aio.errors"])
def test_the_texts_are_the_same(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    for name, kind in _exceptions(theirs).items():
        if "SlowConsumer" in name:  # see test_a_slow_consumer_is_the_same
            continue
        arguments = ["what"] if "MsgAlreadyAckd" in name else []
        assert str(getattr(ours, name)(*arguments)) == str(kind(*arguments)), name


def test_a_slow_consumer_is_the_same(door: Door) -> None:
    error = door.errors.SlowConsumerError("orders", "reply", 7, None)
    assert (error.subject, error.reply, error.sid, error.sub) == ("orders", "reply", 7, None)
    assert str(error) == "nats: slow consumer, messages dropped subject: orders, sid: 7, sub: None"


def test_timeouts_are_those_of_asyncio(door: Door) -> None:
    for name in ("TimeoutError", "FlushTimeoutError", "DrainTimeoutError"):
        assert issubclass(getattr(door.errors, name), TimeoutError)
    assert issubclass(door.module("js.errors").FetchTimeoutError, door.errors.TimeoutError)


@pytest.mark.parametrize(
    "kind", [each for each in border.TABLE if each is not native.Error], ids=lambda each: each.__name__
)
def test_what_crosses_the_border_is_of_both_kinds(kind: type[native.Error]) -> None:
    error = kind.__new__(kind)
    for name, value in FIELDS.items():
        if not hasattr(error, name):
            setattr(error, name, value)
    theirs = border.translated(error)
    assert isinstance(theirs, errors.Error)
    assert theirs.__cause__ is error


def test_what_is_none_of_ours_crosses_as_it_is() -> None:
    error = ValueError("not ours")
    assert border.translated(error) is error
    once = border.translated(tidings.nats.TimeoutError("late"))
    assert border.translated(once) is once


def test_a_code_of_the_server_decides_the_class() -> None:
    refused = jetstream.PullError(503, "no leader")
    assert type(border.translated(refused)) is js_errors.ServiceUnavailableError


def test_the_most_special_class_decides() -> None:
    class Special(jetstream.NotJSMessageError):
        pass

    assert type(border.translated(Special("x"))) is errors.NotJSMessageError
