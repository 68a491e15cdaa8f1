"""The chaos around a replicated stream, so short that it fits into the suite, and its complaints."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable
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
    tally = await chaos.run(4000, 3.0, 1)
    assert tally.violations == {}, tally.overdue
    assert len(tally.acknowledged) == tally.stored_by_info == 4000
    assert sum(tally.faults.values()) > 0
    assert chaos.table(tally).count("\n") > 8


async def test_what_a_reader_drops_is_found(chaos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = chaos.Fetching.take

    def forgetful(reader: Any, message: Any) -> None:
        if int(message.data) % 100 != 7:
            take(reader, message)

    monkeypatch.setattr(chaos.Fetching, "take", forgetful)
    monkeypatch.setattr(chaos, "PATIENCE", 2.0)
    monkeypatch.setattr(chaos.Faults, "inject", lambda faults, ending: ending.wait())
    tally = await chaos.run(1000, 1.0, 1)
    assert tally.violations == {"missed by Fetching": 10}


async def test_an_ordered_reader_counts_gaps_and_repeats(chaos: Any) -> None:
    class Message:
        data = b"0"

        def __init__(self, seq: int) -> None:
            self.metadata = self.sequence = self
            self.stream = seq

    reader = chaos.Ordered(None, None, chaos.Overdue(), 9)
    for seq in (1, 2, 5, 4, 6, 6):
        reader.take(Message(seq))
    assert (reader.gaps, reader.repeats) == (2, 2)


async def test_a_call_past_its_timeout_is_found(chaos: Any) -> None:
    overdue = chaos.Overdue()
    await overdue.watch("fetch", 0.5, asyncio.sleep(0))
    assert overdue.calls == []
    overdue.note("fetch", 9.0, 0.5)
    assert overdue.calls == ["fetch took 9.0 s and was given 0.5"]
    assert overdue.latest == 8.5


def clean(chaos: Any) -> Any:
    """A tally of ten messages that nothing is wrong with."""
    tally = chaos.Tally(1, 10, stored_by_info=10)
    tally.acknowledged = {number: number + 1 for number in range(10)}
    tally.stored = {number: [number + 1] for number in range(10)}
    tally.expected = {"Fetching": set(range(10)), "Nexting": {0, 5}}
    tally.handled = {"Fetching": dict.fromkeys(range(10), 1), "Nexting": {0: 1, 5: 2}}
    return tally


def vanish(tally: Any) -> None:
    del tally.stored[3]
    tally.stored_by_info = 9


def store_twice(tally: Any) -> None:
    tally.stored[3].append(11)
    tally.stored_by_info = 11


def move(tally: Any) -> None:
    tally.stored[3] = [11]


PLANTED: dict[str, Callable[[Any], object]] = {
    "not acknowledged in the end": lambda tally: tally.acknowledged.pop(3),
    "acknowledged and not stored": vanish,
    "stored more than once": store_twice,
    "stored elsewhere than acknowledged": move,
    "stored and not read at the end": lambda tally: setattr(tally, "stored_by_info", 11),
    "left out in order": lambda tally: setattr(tally, "gaps", 1),
    "repeated in order": lambda tally: setattr(tally, "repeats", 1),
    "ordered reading ended": lambda tally: setattr(tally, "ordered_ended", "StreamNotFoundError()"),
    "calls past their timeout": lambda tally: tally.overdue.append("fetch took 9.0 s"),
    "missed by Fetching": lambda tally: tally.handled["Fetching"].pop(3),
    "missed by Nexting": lambda tally: tally.handled["Nexting"].pop(5),
}


@pytest.mark.parametrize("what", list(PLANTED))
def test_what_is_wrong_is_found(chaos: Any, what: str) -> None:
    tally = clean(chaos)
    assert tally.violations == {}
    PLANTED[what](tally)
    assert tally.violations == {what: 1}
    assert f"| violations | 1 {what} |" in chaos.table(tally)
