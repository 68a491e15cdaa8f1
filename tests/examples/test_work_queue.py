"""Each job is done or set aside, though workers fail and die."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 90.0  # seconds
ROOT = Path(__file__).parents[2]


def test_no_job_is_left() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.work_queue", "--jobs", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"jobs 200, done \d+, set aside \d+, left 0", done.stdout), done.stdout
