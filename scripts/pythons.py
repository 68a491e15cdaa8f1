#!/usr/bin/env python3
"""Prints the Python interpreters of this machine that really run, newest first, one a version.

usage: scripts/pythons.py [--min 3.13] [--max 3.14] [--newest | --oldest]

Looks at `python3.X` on PATH, in pyenv's versions and in uv's folder. A path that does not start,
such as a pyenv shim of a version that is not selected, does not count; nor do pre-releases and
free-threaded builds, for which the wheels that the project needs are missing. Prints nothing when
none fits.
"""

import argparse
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROBE = (
    "import importlib.util, sys, sysconfig; "
    "print(sys.implementation.name, *sys.version_info, "
    "sysconfig.get_config_var('Py_GIL_DISABLED') or 0, "
    "int(bool(importlib.util.find_spec('ensurepip'))))"
)
TIMEOUT = 10.0  # seconds
NAME = re.compile(r"python3\.\d+")


@dataclass(frozen=True, order=True)
class Interpreter:
    """Ordered by what makes it the better choice: version, then whether it can make a venv."""

    minor: tuple[int, int]
    has_ensurepip: bool
    micro: int
    path: Path


def candidates() -> Iterable[Path]:
    """Every path that may be an interpreter."""
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += [*pyenv.glob("versions/*/bin"), *uv.glob("*/bin")]
    for folder in folders:
        yield from (path for path in folder.glob("python3.*") if NAME.fullmatch(path.name))


def named(path: Path) -> tuple[int, int]:
    """The version that the file name promises."""
    return version(path.name.removeprefix("python"))


def probe(path: Path) -> Interpreter | None:
    """What the path is, or None when it does not run or is not a released CPython with the GIL."""
    command = [path, "-I", "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    kind, major, minor, micro, level, _serial, no_gil, ensurepip = done.stdout.split()
    if (kind, level, no_gil) != ("cpython", "final", "0"):
        return None
    return Interpreter((int(major), int(minor)), ensurepip == "1", int(micro), path)


def best_of_each_minor(found: Iterable[Interpreter]) -> list[Interpreter]:
    """The best interpreter of each minor version, newest first."""
    best: dict[tuple[int, int], Interpreter] = {}
    for interpreter in sorted(found):
        best[interpreter.minor] = interpreter
    return [best[minor] for minor in sorted(best, reverse=True)]


def version(text: str) -> tuple[int, int]:
    """`3.13` as a pair of numbers."""
    major, minor = text.split(".")
    return int(major), int(minor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--min", type=version, default=(3, 0), help="such as 3.11")
    parser.add_argument("--max", type=version, default=(3, 99), help="such as 3.14")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--newest", action="store_true", help="print only the newest")
    only.add_argument("--oldest", action="store_true", help="print only the oldest")
    options = parser.parse_args()

    paths = [each for each in set(candidates()) if options.min <= named(each) <= options.max]
    found = (interpreter for path in paths if (interpreter := probe(path)))
    fitting = best_of_each_minor(found)
    if options.newest:
        fitting = fitting[:1]
    if options.oldest:
        fitting = fitting[-1:]
    for interpreter in fitting:
        print(interpreter.path)


if __name__ == "__main__":
    main()
