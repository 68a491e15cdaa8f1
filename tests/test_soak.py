"""The soak, so short that it fits into the suite, and what it would complain of."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "soak.py"


@pytest.fixture(scope="module")
def soak() -> Any:
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["soak"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complaints(report: Any) -> list[str]:
    """Without that of the rate, which is the machine's."""
    return [text for text in report.complaints() if "messages a second" not in text]


async def test_nothing_is_missing_and_nothing_grows(soak: Any) -> None:
    report = await soak.run(2.5, 5000, 64, lambda line: None)
    assert report.received > 0
    # The interpreter itself still settles in so short a time; what is steady from the start has to be.
    assert [text for text in complaints(report) if not text.startswith(("rss", "objects"))] == []
    assert soak.table(report).count("\n") > 8


async def test_what_is_lost_is_found(soak: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = soak.Receiver.take

    def forgetful(receiver: Any, message: Any) -> None:
        if soak.HEAD.unpack_from(message.data)[0] % 100 != 7:
            take(receiver, message)

    monkeypatch.setattr(soak.Receiver, "take", forgetful)
    report = await soak.run(1.0, 2000, 64, lambda line: None)
    assert any("are missing" in text for text in complaints(report))
    assert any("out of order" in text for text in complaints(report))


@pytest.mark.parametrize("name", ["rss", "tasks", "files", "objects"])
def test_what_grows_is_found_and_what_jumps_is_not(soak: Any, name: str) -> None:
    rng = random.Random(name)
    limit = soak.LIMITS[name]

    def report(grown: float) -> Any:
        """So much added evenly, under noise, and a jump now and then that is taken back."""
        made = soak.Report(600.0, 100.0, 64, took=1.0, sent=100, received=100)
        for number in range(60):
            value = 1000 * limit + grown * number / 48 + rng.uniform(-0.2, 0.2) * limit
            value += 50 * limit * (number % 10 == 3)
            counted = dict.fromkeys(soak.LIMITS, 1.0) | {name: value}
            made.samples.append(soak.Sample(at=10.0 * number, latencies=(0.0, 0.0, 0.0), **counted))
        return made

    assert complaints(report(0.0)) == []
    (complaint,) = complaints(report(2 * limit))
    assert complaint.startswith(f"{name} grew by")


def test_what_grows_only_at_first_is_warming_up(soak: Any) -> None:
    made = soak.Report(600.0, 100.0, 64, took=1.0, sent=100, received=100)
    for number in range(60):
        rss = float(min(number, 11)) * 10 * soak.MIB
        made.samples.append(soak.Sample(10.0 * number, rss, 3.0, 12.0, 100.0, (0.0, 0.0, 0.0)))
    assert made.complaints() == []
