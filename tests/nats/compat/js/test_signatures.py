"""Each class and function of nats-py's `nats.js` is there, with the same parameters and defaults."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from enum import Enum
from typing import Any

import pytest
from tests.nats.compat.conftest import Door

MODULES = ("js.api", "js.errors", "js.manager", "js.client", "js.kv", "js.object_store")


def _own(module: Any) -> dict[str, Any]:
    """What a module defines under a public name."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def _parameters(function: Any) -> list[tuple[str, Any]]:
    """Names and defaults; an Enum is the word that it stands for."""
    return [
        (each.name, each.default.value if isinstance(each.default, Enum) else each.default)
        for each in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize("path", MODULES)
def test_a_module_has_the_same_names(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    assert [name for name in _own(theirs) if not hasattr(ours, name)] == []


@pytest.mark.parametrize("path", MODULES)
def test_a_class_has_the_same_methods(doors: tuple[Door, Door], path: str) -> None:
    theirs, ours = (door.module(path) for door in doors)
    for name, their_class in _own(theirs).items():
        if not inspect.isclass(their_class):
            continue
        our_class = getattr(ours, name)
        if issubclass(their_class, Enum):
            assert {each.name: each.value for each in our_class} == {
                each.name: each.value for each in their_class
            }
            continue
        if dataclasses.is_dataclass(their_class) and not issubclass(their_class, Exception):
            assert _parameters(our_class) == _parameters(their_class), name
        for method, value in vars(their_class).items():
            if method.startswith("_") and method != "__init__":
                continue
            assert hasattr(our_class, method), f"{name}.{method}"
            if inspect.isfunction(value):
                assert _parameters(getattr(our_class, method)) == _parameters(value), f"{name}.{method}"


def test_the_exceptions_have_the_same_tree(doors: tuple[Door, Door]) -> None:
    theirs, ours = (door.module("js.errors") for door in doors)
    for name, their_class in _own(theirs).items():
        their_tree = {each.__name__ for each in their_class.__mro__ if each.__module__.startswith("nats.")}
        our_tree = {
            each.__name__
            for each in getattr(ours, name).__mro__
            if each.__module__.startswith("tidings.nats.compat.")
        }
        assert our_tree == their_tree, name


@pytest.mark.parametrize("root", ["nats", "tidings.nats.compat"])
def test_modules_are_attributes_of_the_root(root: str) -> None:
    code = (
        f"import {root} as nats\n"
        "assert nats.js.api.ConsumerConfig and nats.js.errors.NotFoundError\n"
        "assert nats.js.client.JetStreamContext\n"
        "assert nats.js.kv.KeyValue and nats.js.JetStreamContext and nats.aio.client.Client and nats.nuid\n"
        "assert nats.errors.Error and nats.NATS\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
