"""The chaos run, so short that it fits into the suite."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "chaos.py"


@pytest.fixture(scope="module")
def chaos() -> Any:
    spec = importlib.util.spec_from_file_location("chaos", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["chaos"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_in_silence(chaos: Any, seed: int) -> None:
    tally = await chaos.run(1.5, seed)
    assert tally.delivered > 0
    assert (tally.unreported, tally.twice, tally.late_calls) == (0, 0, 0)


async def test_what_is_would_be_found(chaos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = chaos.Consumer.take

    def forgetful(consumer: Any, message: Any) -> None:
        if int(message.data) % 100 != 7:
            take(consumer, message)

    monkeypatch.setattr(chaos.Consumer, "take", forgetful)
    tally = await chaos.run(1.5, 1)
    assert tally.unreported > 0
