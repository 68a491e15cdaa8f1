"""Both type checkers find the errors that the cases mark, in those lines and in no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
SOURCES = Path(__file__).parents[2] / "src"


def expected(case: Path) -> set[int]:
    lines = case.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, timeout=300, capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mypy_errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    if not find_spec("mypy"):
        pytest.skip("mypy is not installed")
    found: dict[str, set[int]] = {case.name: set() for case in CASES}
    output = run("mypy", "--strict", *map(str, CASES), folder=tmp_path_factory.mktemp("mypy"))
    for name, line in re.findall(r"([\w.]+):(\d+): error:", output):
        found[name].add(int(line))
    return found


@pytest.fixture(scope="module")
def pyright_errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    if not find_spec("pyright"):
        pytest.skip("pyright is not installed")
    folder = tmp_path_factory.mktemp("pyright")
    for case in CASES:
        shutil.copy(case, folder)
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(SOURCES)]}))
    output = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, folder=folder))
    assert output["summary"]["filesAnalyzed"] == len(CASES)
    found: dict[str, set[int]] = {case.name: set() for case in CASES}
    for problem in output["generalDiagnostics"]:
        if problem["severity"] == "error":
            found[Path(problem["file"]).name].add(problem["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_mypy_finds_what_is_marked(case: Path, mypy_errors: dict[str, set[int]]) -> None:
    assert mypy_errors[case.name] == expected(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_pyright_finds_what_is_marked(case: Path, pyright_errors: dict[str, set[int]]) -> None:
    assert pyright_errors[case.name] == expected(case)
