"""The chaos around a replicated stream, so short that it fits into the suite."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "chaos_jetstream.py"


@pytest.fixture(scope="module")
def chaos() -> Any:
    spec = importlib.util.spec_from_file_location("chaos_jetstream", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["chaos_jetstream"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_exactly_once_in_and_at_least_once_and_in_order_out(chaos: Any) -> None:
    counts = await chaos.run(2000, 1, 50.0)
    assert len(counts.acknowledged) == 2000
    assert not any(counts.wrong.values()), counts.wrong


def test_what_is_wrong_would_be_found(chaos: Any) -> None:
    counts = chaos.Counts(acknowledged={1, 2, 3}, stored=4, ordered=[1, 3])
    counts.handled["fetch"].update([1, 2, 2, 3])
    assert counts.wrong == {
        "missed by messages": 3,
        "missed by fetch": 0,
        "missed by consume": 3,
        "acknowledged and not stored once": 1,
        "gaps and repeats in order": 1,
        "missed in order": 1,
    }
