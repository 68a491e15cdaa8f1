"""Every Python snippet of the README and the docs runs; every link between them leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")

# A snippet that defines an app is a module for `tidings run`: it is started and stopped.
START = """
import asyncio

async def start_and_stop():
    async with app:
        pass

asyncio.run(start_and_stop())
"""


def snippets() -> list[object]:
    found: list[object] = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found.append(pytest.param(match[1], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize("source", snippets())
def test_snippet_runs(source: str, nats_url: str, tmp_path: Path) -> None:
    if "\napp = App(" in source:
        source += START
    program = tmp_path / "snippet.py"
    program.write_text(source.replace("nats://localhost:4222", nats_url))
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        env={**os.environ, "TIDINGS_NATS_SERVERS": nats_url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_make_verbs_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for verb in re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()):
        assert re.search(rf"^{verb}:", makefile, re.M), f"the README names make {verb}"
