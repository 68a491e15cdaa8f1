"""`import tidings`: every name has one home, and nothing is loaded before it is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tidings


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, timeout=30, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", tidings.__all__)
def test_every_name_can_be_had(name: str) -> None:
    assert getattr(tidings, name) is not None
    assert name in dir(tidings)


def test_type_checkers_see_the_names_where_they_are() -> None:
    tree = ast.parse(Path(tidings.__file__).read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tidings.")
        for alias in node.names
    }
    assert sorted(seen) == sorted(tidings.__all__)
    for name, home in seen.items():
        assert getattr(import_module(home), name) is getattr(tidings, name)


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tidings' has no attribute 'Apps'"):
        tidings.Apps  # noqa: B018


def test_the_client_loads_neither_framework_nor_pydantic() -> None:
    loaded = run("import sys, tidings.nats; print(*sys.modules)").split()
    assert not [name for name in loaded if name.split(".")[0] in ("pydantic", "pydantic_core", "msgspec")]
    framework = ("tidings.messaging", "tidings.brokers", "tidings.app", "tidings.cli")
    assert not [name for name in loaded if name.startswith(framework)]


def test_the_framework_loads_no_guest_that_is_not_asked_for() -> None:
    loaded = run("import sys, tidings.brokers.nats; print(*sys.modules)").split()
    assert "msgspec" not in loaded
    assert "pydantic" not in loaded
    assert "tidings.nats.services" not in loaded
