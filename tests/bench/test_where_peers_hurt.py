"""The speeds of the table "where the peer hurts" are rows, held to what it says."""

import pytest
from bench.rows import ROWS, TARGETS, Unit


@pytest.mark.parametrize(
    ("row", "least"),
    [("injected", 50), ("model", 15), ("chain", 20), ("import-services", 0.5)],
    ids=["injected-handler", "pydantic-body", "chain", "import"],
)
def test_each_speed_is_a_row_of_the_benchmark_against_the_peer(row: str, least: float) -> None:
    (measured,) = [each for each in ROWS if each.name == row]
    (target,) = [each for each in TARGETS if (each.row, each.theirs) == (row, "faststream")]
    assert target.ours == "tidings-services"
    assert {target.ours, "faststream"} <= set(measured.contenders)
    if measured.unit is Unit.RATE:
        assert target.factor >= least
    else:
        assert target.factor <= least
