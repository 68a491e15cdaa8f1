"""What the comparison with other clients names is there: each section of the docs and each test file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "nats" / "comparison.md", ROOT / "docs" / "nats" / "jetstream" / "comparison.md"]
LINK = re.compile(r"\]\((?!https?://)([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def rows() -> list[list[str]]:
    """The cells of each row of a feature that we say we have."""
    lines = [line for page in PAGES for line in page.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == 8 and row[1] != "nats.go" and row[5] != "N"]


@pytest.mark.parametrize(
    ("page", "target"),
    [(page, target) for page in PAGES for target in sorted(set(LINK.findall(page.read_text())))],
)
def test_what_it_names_is_there(page: Path, target: str) -> None:
    path, _, section = target.partition("#")
    page = page.parent / path
    assert page.is_file()
    if section:
        headings = HEADING.findall(FENCE.sub("", page.read_text()))
        assert section in map(anchor, headings), f"{path} has no section {section!r}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_what_we_say_is_described_and_shown(row: list[str]) -> None:
    assert ".md#" in row[6], "say where in the docs it stands"
    assert "/tests/" in row[7], "say which test shows it"


def test_there_are_rows() -> None:
    assert len(rows()) > 40
