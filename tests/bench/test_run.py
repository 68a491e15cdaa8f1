from pathlib import Path

from bench.contenders import CONTENDERS
from bench.drivers import __path__ as driver_folders
from bench.rows import ROWS, Row
from bench.run import Plan, schedule
from bench.workloads import Meter

ROW = Row("publish", "", "client.publish", ("tidings", "natsio", "c"))
PRESENT = [each for each in CONTENDERS if each.name in ROW.contenders]


def order(rounds: int) -> list[tuple[str, str]]:
    steps = schedule(Plan(rounds, 0.1, 0.0), [ROW], PRESENT)
    return [(loop, contender.name) for _row, loop, contender in steps]


def test_contenders_take_turns_at_being_the_first() -> None:
    asyncio_only = [name for loop, name in order(2) if loop == "asyncio"]
    assert asyncio_only == ["tidings", "natsio", "c", "natsio", "c", "tidings"]


def test_the_c_client_is_measured_once_a_round() -> None:
    assert [loop for loop, name in order(1) if name == "c"] == ["asyncio"]


def test_who_is_not_installed_is_left_out() -> None:
    steps = schedule(Plan(3, 0.1, 0.0), [ROW], [])
    assert list(steps) == []


def test_every_row_names_contenders_and_every_contender_a_driver() -> None:
    names = {each.name for each in CONTENDERS}
    assert all(set(row.contenders) <= names for row in ROWS)
    modules = {path.stem for folder in driver_folders for path in Path(folder).glob("*.py")}
    assert {each.driver for each in CONTENDERS} - {""} <= modules


def test_the_meter_leaves_the_warm_up_out(monkeypatch) -> None:
    times = iter([0.0, 0.5, 1.0, 2.0, 3.0])
    monkeypatch.setattr("bench.workloads.clock", lambda: next(times))
    meter = Meter(warmup=1.0, seconds=2.0)
    assert [meter.tick(count) for count in (100, 200, 300, 900, 2300)] == [False] * 4 + [True]
    assert meter.rate == 1000.0
