"""The import rows: fresh interpreters with and without the import, in turn."""

import os
import resource
import statistics
import subprocess
import sys
from typing import Any

from bench.workloads import Run

TIMEOUT = 30.0  # seconds
PAIRS_A_SECOND = 20
# Installed packages come with bytecode, so a checkout must be let write its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def first_import(driver: Any, run: Run) -> float:
    """Milliseconds of CPU time that the import adds to an interpreter's start: the median of many pairs."""
    pairs = max(3, int(run.seconds * PAIRS_A_SECOND))
    _start(f"import {driver.MODULE}")  # writes the .pyc files
    differences = [_start(f"import {driver.MODULE}") - _start("pass") for _ in range(pairs)]
    return 1000 * statistics.median(differences)


def _start(code: str) -> float:
    # Not the time that passes, in which whatever else runs would show.
    before = _children()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT, env=ENVIRONMENT)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
