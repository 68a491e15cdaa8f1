"""The pipeline, through crashes and a killed server: exit code 0 only if each invoice is there once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 60.0  # seconds
ROOT = Path(__file__).parents[2]


def test_each_order_has_one_invoice() -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "examples.exactly_once",
        "--orders",
        "300",
        "--kills",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"invoices +300, missing 0, twice 0", done.stdout)
    crashes = re.search(r"(\d+) crashes of the biller, 1 kills", done.stdout)
    assert crashes is not None
    assert int(crashes[1]) > 0
