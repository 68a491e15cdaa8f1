"""A service is found and called, and no request is lost when one of its instances stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 60.0  # seconds
ROOT = Path(__file__).parents[2]


def test_no_request_is_lost() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.discoverable", "--requests", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 instances of greeter 1.0.0: greeter.greet" in done.stdout
    assert "takes name, visits" in done.stdout
    assert "refused: 400" in done.stdout
    assert "greeted 300 of 300, errors of the instance that is left 1" in done.stdout
