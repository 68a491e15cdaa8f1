"""What the README and the docs call by its full name is there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NAME = re.compile(r"`(tidings(?:\.[A-Za-z]\w*)+)[`(]")
SAME = re.compile(
    r"^\| `faststream[\w.]*`: (?P<names>.+) \| the same names in `(?P<module>[\w.]+)` \|$", re.M
)
FROM_FASTSTREAM = (ROOT / "docs" / "services" / "coming-from-faststream.md").read_text()


def named() -> list[str]:
    return sorted({name for page in PAGES for name in NAME.findall(page.read_text())})


def same() -> list[tuple[str, str]]:
    rows = SAME.finditer(FROM_FASTSTREAM)
    return [(row["module"], name) for row in rows for name in re.findall(r"`(\w+)`", row["names"])]


def found(dotted: str) -> Any:
    """The module, or what is within one."""
    try:
        return import_module(dotted)
    except ModuleNotFoundError as error:
        if not dotted.startswith(error.name or dotted):  # it is there, and imports what is not
            raise
        parent, _, name = dotted.rpartition(".")
        return getattr(found(parent), name)


@pytest.mark.parametrize("name", named())
def test_it_is_there(name: str) -> None:
    assert found(name) is not None


@pytest.mark.parametrize(("module", "name"), same())
def test_what_is_called_as_in_faststream_is_there(module: str, name: str) -> None:
    assert name in import_module(module).__all__


def test_the_table_of_names_is_read() -> None:
    assert len(same()) > 20
