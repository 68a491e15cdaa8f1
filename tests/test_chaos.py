"""The chaos run, so short that it fits into the suite."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "chaos.py"


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_in_silence(seed: int) -> None:
    spec = importlib.util.spec_from_file_location("chaos", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    chaos = sys.modules["chaos"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chaos)
    tally = await chaos.run(1.5, seed)
    assert tally.delivered > 0
    assert (tally.unreported, tally.twice, tally.late_calls) == (0, 0, 0)
