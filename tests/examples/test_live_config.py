"""Services that take their configuration from a bucket agree about it, whoever changed it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 90.0  # seconds
ROOT = Path(__file__).parents[2]


def test_all_services_agree() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.live_config", "--changes", "30"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changes 120, " in done.stdout, done.stdout
    assert "services agree: True" in done.stdout, done.stdout
