"""Folders that are kept as an object store is end with the files that were sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 90.0  # seconds
ROOT = Path(__file__).parents[2]


def test_all_folders_have_the_files() -> None:
    command = [sys.executable, "-W", "error", "-m", "examples.file_exchange", "--files", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files 10, " in done.stdout, done.stdout
    assert "folders are the same: True" in done.stdout, done.stdout
