"""`scripts/pythons.py`, which picks the interpreters of `make bench` and `make test`."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "pythons.py"
HERE = "{}.{}".format(*sys.version_info)


def pythons(path: Path, *options: str) -> list[str]:
    """What the script prints where only that folder is on PATH."""
    env = {"PATH": str(path), "HOME": str(path), "PYENV_ROOT": str(path / "pyenv")}
    done = subprocess.run(
        [sys.executable, SCRIPT, *options],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """This interpreter, and a newer one that does not start, as a pyenv shim does not."""
    (tmp_path / f"python{HERE}").symlink_to(sys.executable)
    shim = tmp_path / "python3.98"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    return tmp_path


def test_only_what_runs_is_printed(folder: Path) -> None:
    assert pythons(folder) == [str(folder / f"python{HERE}")]


def test_pyenv_versions_are_found(tmp_path: Path) -> None:
    version = tmp_path / "pyenv" / "versions" / f"{HERE}.0" / "bin"
    version.mkdir(parents=True)
    (version / f"python{HERE}").symlink_to(sys.executable)
    assert pythons(tmp_path, "--newest") == [str(version / f"python{HERE}")]


@pytest.mark.parametrize("options", [("--min", "3.97"), ("--max", "3.10"), ("--min", "3.98")])
def test_nothing_fits(folder: Path, options: tuple[str, str]) -> None:
    assert pythons(folder, *options, "--newest") == []
