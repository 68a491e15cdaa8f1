"""Every frame is seen or counted as dropped, whether the detector is slow or quick."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIMIT = 90.0  # seconds
ROOT = Path(__file__).parents[2]


def cameras(*options: str) -> dict[str, int]:
    command = [sys.executable, "-W", "error", "-m", "examples.cameras", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr  # that frames are dropped is logged
    assert len(re.findall(r"(?m)^(?:north|east|south) +sent ", done.stdout)) == 3
    found = re.search(r"in all sent (\d+), seen (\d+), dropped (\d+)", done.stdout)
    assert found, done.stdout
    return dict(zip(("sent", "seen", "dropped"), map(int, found.groups()), strict=True))


def test_a_slow_detector_drops() -> None:
    frames = cameras("--frames", "30", "--rate", "200", "--inference", "0.1")
    assert frames["sent"] == 90
    assert frames["dropped"] > 0
    assert 0 < frames["seen"] < 90


def test_a_quick_one_sees_them_all_or_says_which_it_missed() -> None:
    frames = cameras("--frames", "5", "--rate", "5", "--inference", "0")
    assert frames["seen"] + frames["dropped"] == frames["sent"] == 15
