"""Each class and function of nats-py is there, with the same parameters and defaults."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from enum import Enum
from typing import Any

import pytest
from tests.nats.compat.conftest import Door

MODULES = (
    "aio.client",
    "aio.errors",
    "aio.msg",
    "aio.subscription",
    "errors",
    "js.api",
    "js.client",
    "js.errors",
    "js.kv",
    "js.manager",
    "js.object_store",
    "micro",
    "micro.request",
    "micro.service",
    "nuid",
)
# What is nats-py's own business: the making of what programs are given, and how its numbers are found.
INTERNAL = {
    "Endpoint.__init__",
    "Msg.__init__",  # see test_msg.py
    "NUID.__init__",
    "ServerVersion.parse_version",
    "Srv.__init__",
    "Subscription.__init__",
}
INTERNAL_CLASSES = {"EndpointManager", "GroupManager"}  # protocols that say what a service has


def _own(module: Any) -> dict[str, Any]:
    """What a module defines under a public name."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
        and name not in INTERNAL_CLASSES
    }


def _parameters(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults; an Enum is the word that it stands for."""
    return [
        (each.name, each.default.value if isinstance(each.default, Enum) else each.default)
        for each in inspect.signature(function).parameters.values()
        if each.kind is not each.VAR_POSITIONAL
    ]


def _assert_callable_alike(ours: Any, theirs: Any, name: str) -> None:
    """Every call of `theirs` is one of `ours`, which may take more."""
    our_parameters, their_parameters = list(inspect.signature(ours).parameters.values()), _parameters(theirs)
    taken = len(their_parameters)
    for (their_name, their_default), (our_name, our_default) in zip(
        their_parameters, _parameters(ours)[:taken], strict=True
    ):
        assert our_name == their_name, name
        if their_default is not inspect.Parameter.empty:
            assert our_default == their_default, f"{name}({our_name})"
    for more in our_parameters[taken:]:
        assert more.default is not more.empty or more.kind in (more.VAR_KEYWORD, more.VAR_POSITIONAL), name


@pytest.mark.parametrize("path", MODULES)
def test_a_module_has_the_same_names(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    assert [name for name in _own(theirs) if not hasattr(ours, name)] == []


@pytest.mark.parametrize("path", MODULES)
def test_a_module_has_the_same_functions(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    for name, function in _own(theirs).items():
        if inspect.isfunction(function):
            _assert_callable_alike(getattr(ours, name), function, name)


@pytest.mark.parametrize("path", MODULES)
def test_a_class_has_the_same_methods(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    for name, their_class in _own(theirs).items():
        if not inspect.isclass(their_class) or issubclass(their_class, Exception):
            continue
        our_class = getattr(ours, name)
        if issubclass(their_class, Enum):
            assert {each.name: each.value for each in our_class} == {
                each.name: each.value for each in their_class
            }
            continue
        if dataclasses.is_dataclass(their_class) and f"{name}.__init__" not in INTERNAL:
            assert _parameters(our_class) == _parameters(their_class), name
        for method, value in vars(their_class).items():
            called = f"{name}.{method}"
            if called in INTERNAL or (method.startswith("_") and method != "__init__"):
                continue
            assert hasattr(our_class, method), called
            if inspect.isfunction(value):
                _assert_callable_alike(getattr(our_class, method), value, called)


@pytest.mark.parametrize("root", ["nats", "tidings.nats.compat"])
def test_modules_are_attributes_of_the_root(root: str) -> None:
    code = (
        f"import {root} as nats\n"
        "assert nats.js.api.ConsumerConfig and nats.js.errors.NotFoundError\n"
        "assert nats.js.client.JetStreamContext\n"
        "assert nats.js.kv.KeyValue and nats.js.JetStreamContext and nats.aio.client.Client and nats.nuid\n"
        "assert nats.aio.errors.ErrTimeout and nats.aio.msg.Msg and nats.aio.subscription.Subscription\n"
        "assert nats.errors.Error and nats.NATS\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_that_is_none_is_an_attribute_error(door: Door) -> None:
    for path in ("", "aio", "js"):
        with pytest.raises(AttributeError, match="nothing"):
            door.module(path).nothing  # noqa: B018


@pytest.mark.parametrize("path", ["aio.client", "nuid"])
def test_the_constants_that_programs_import_are_the_same(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    names = [
        name for name in vars(ours) if name.isupper() and not name.startswith("_") and name != "TYPE_CHECKING"
    ]
    constants = [name for name in names if not callable(getattr(ours, name))]
    assert len(constants) > 8
    for name in constants:
        assert getattr(ours, name) == getattr(theirs, name), name
