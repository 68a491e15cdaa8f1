"""Imports run one way; wire/ knows no socket; no file grows beyond what one reads at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import tidings
from tests.architecture import LAYERS, MAX_LINES, imports_of, read_tree, violations

TREE = read_tree(Path(tidings.__file__).parent.parent)


def test_the_tree_keeps_the_rules() -> None:
    assert not violations(TREE), "\n" + "\n".join(violations(TREE))


def test_the_tree_was_read() -> None:
    assert len(TREE) > 40
    for path in ("tidings/nats/core/link.py", "tidings/nats/wire/_speedups.pyx", "tidings/cli/__init__.py"):
        assert path in TREE


def planted(path: str, text: str, **others: str) -> list[str]:
    """What the checker says of a small tree that keeps the rules but for `text` in `path`."""
    tree = {
        "tidings/__init__.py": "",
        "tidings/nats/__init__.py": "from tidings.nats.client import connect",
        "tidings/nats/errors.py": "",
        "tidings/nats/client.py": "from tidings.nats.core.link import Link",
        "tidings/nats/core/link.py": "import asyncio, ssl\nfrom tidings.nats.wire import Msg",
        "tidings/nats/core/options.py": "from tidings.nats import errors",
        "tidings/nats/wire/__init__.py": "import os",
        "tidings/messaging/broker.py": "import asyncio",
        "tidings/brokers/nats/adapter.py": "from tidings.messaging.broker import Broker\nimport tidings.nats",
        "tidings/brokers/kafka/adapter.py": "from tidings.messaging import broker",
        "tidings/app.py": "from tidings.brokers.nats import adapter",
        "tidings/cli/main.py": "from tidings.app import App",
    }
    assert violations(tree) == []
    return violations(tree | {path: text})


WAYS_TO_IMPORT = [
    "import {0}",
    "import os, {0} as other",
    "from {0} import x",
    "from {1} import {2}",
    "def f():\n    import {0}",
    "async def f():\n    from {0} import x",
    "class A:\n    import {0}",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {0} import x",
    "try:\n    import {0}\nexcept ImportError:\n    pass",
    "from importlib import import_module\nimport_module('{0}')",
    "import importlib\ndef f():\n    return importlib.import_module('{0}', None)",
    "__import__('{0}')",
]


@pytest.mark.parametrize("way", WAYS_TO_IMPORT)
@pytest.mark.parametrize(
    ("path", "target", "complaint"),
    [
        ("tidings/nats/core/options.py", "tidings.nats.client", "tidings.nats (4) is not below"),
        ("tidings/nats/wire/parser.py", "tidings.nats.core.options", "tidings.nats.core (2) is not below"),
        ("tidings/nats/errors.py", "tidings.nats.wire", "tidings.nats.wire (1) is not below"),
        ("tidings/nats/core/options.py", "tidings.messaging.broker", "imports nothing outside itself"),
        ("tidings/nats/client.py", "tidings.app", "imports nothing outside itself"),
        ("tidings/messaging/broker.py", "tidings.nats.errors", "messaging knows no broker"),
        ("tidings/messaging/broker.py", "tidings.brokers.nats.adapter", "(5) is not below"),
        ("tidings/brokers/kafka/adapter.py", "tidings.brokers.nats.adapter", "no broker imports another"),
        ("tidings/brokers/nats/adapter.py", "tidings.cli.main", "(8) is not below"),
        ("tidings/app.py", "tidings.cli.main", "(8) is not below"),
    ],
)
def test_an_import_that_points_up(way: str, path: str, target: str, complaint: str) -> None:
    package, _, name = target.rpartition(".")
    said = planted(path, way.format(target, package, name))
    assert any(complaint in each and target in each for each in said), said


@pytest.mark.parametrize("name", ["asyncio", "socket", "ssl", "time", "threading", "asyncio.events"])
@pytest.mark.parametrize("way", WAYS_TO_IMPORT[:3] + WAYS_TO_IMPORT[4:])
def test_what_wire_may_not_know(way: str, name: str) -> None:
    (said,) = planted("tidings/nats/wire/__init__.py", way.format(name))
    assert f"imports {name}: wire/ knows no socket" in said


@pytest.mark.parametrize(
    "text", ["import time", "    from threading import Lock", "cimport asyncio", "import os, ssl as x"]
)
def test_nor_may_its_compiled_twin(text: str) -> None:
    (said,) = planted("tidings/nats/wire/_speedups.pyx", "# cython\n" + text)
    assert "_speedups:2 imports" in said


def test_nor_may_the_compiled_twin_point_up() -> None:
    (said,) = planted("tidings/nats/wire/_speedups.pyx", "from tidings.nats.core import link")
    assert "is not below" in said


@pytest.mark.parametrize(
    "text",
    [
        "from tidings.nats.core.link import Link",
        "from tidings.nats.core import link",
        "from . import link",
        "from .link import Link",
        "def f():\n    from tidings.nats.core.link import Link",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .link import Link",
    ],
)
def test_a_circle(text: str) -> None:
    path = "tidings/nats/core/requests.py"
    link = "from tidings.nats.core.requests import x"
    said = violations({path: text, "tidings/nats/core/link.py": link, "tidings/nats/core/writer.py": text})
    assert said == ["a circle: tidings.nats.core.link → tidings.nats.core.requests"]


def test_a_circle_of_three() -> None:
    names = ["a", "b", "c"]
    tree = {
        f"tidings/messaging/{name}.py": f"from tidings.messaging import {names[(i + 1) % 3]}"
        for i, name in enumerate(names)
    }
    assert violations(tree) == ["a circle: tidings.messaging.a → tidings.messaging.b → tidings.messaging.c"]


def test_a_circle_through_the_face_of_a_folder() -> None:
    tree = {
        "tidings/messaging/__init__.py": "from tidings.messaging.broker import Broker",
        "tidings/messaging/broker.py": "from tidings.messaging import Message",
    }
    assert violations(tree) == ["a circle: tidings.messaging → tidings.messaging.broker"]


def test_relative_imports_are_resolved() -> None:
    modules = {"tidings.nats.errors", "tidings.nats.core.link"}
    found = imports_of(
        "tidings/nats/core/x.py", "from ..errors import E\nfrom .. import errors\nfrom . import link", modules
    )
    assert [item.target for item in found] == [
        "tidings.nats.errors",
        "tidings.nats.errors",
        "tidings.nats.core.link",
    ]
    found = imports_of("tidings/nats/core/__init__.py", "from . import link\nfrom .. import errors", modules)
    assert [item.target for item in found] == ["tidings.nats.core.link", "tidings.nats.errors"]


def test_a_part_without_a_number() -> None:
    (said,) = planted("tidings/gadgets.py", "")
    assert "tidings.gadgets has no number" in said


def test_a_module_that_is_in_no_part() -> None:
    (said,) = planted("tidings/app.py", "import tidings.gadgets")
    assert "which there is not" in said


def test_a_file_too_long() -> None:
    (said,) = planted("tidings/app.py", "\n" * (MAX_LINES + 1))
    assert said == f"tidings/app.py has {MAX_LINES + 1} lines, the most is {MAX_LINES}"
    assert planted("tidings/app.py", "\n" * MAX_LINES) == []


def test_the_wings_stand_in_their_order() -> None:
    way = ["nats.wire", "nats.core", "nats.jetstream", "nats", "brokers", "testing", "app", "cli"]
    numbers = [LAYERS[f"tidings.{part}"] for part in way]
    assert numbers == sorted(set(numbers))
