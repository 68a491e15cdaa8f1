"""Views built from a log agree, whatever happened to those who read it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 90.0  # seconds
ROOT = Path(__file__).parents[2]


def test_all_views_agree() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.event_log", "--events", "1500"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"events 3000, gaps 0, views agree: True", done.stdout), done.stdout
