from pathlib import Path

from bench.contenders import CONTENDERS
from bench.drivers import __path__ as driver_folders
from bench.rows import ROWS, Row
from bench.run import FULL, SHORT, Plan, schedule
from bench.workloads import Meter

ROW = Row("publish", "", "client.publish", ("tidings", "natsio", "c"))
PRESENT = [each for each in CONTENDERS if each.name in ROW.contenders]


def order(rounds: int) -> list[tuple[str, str]]:
    plan = Plan({"asyncio": rounds, "uvloop": 1}, 0.1, 0.0)
    steps = schedule(plan, [ROW], PRESENT)
    return [(loop, contender.name) for _row, loop, contender in steps]


def test_contenders_take_turns_at_being_the_first() -> None:
    asyncio_only = [name for loop, name in order(2) if loop == "asyncio"]
    assert asyncio_only == ["tidings", "natsio", "c", "natsio", "c", "tidings"]


def test_the_c_client_is_measured_once_a_round() -> None:
    assert [loop for loop, name in order(1) if name == "c"] == ["asyncio"]


def test_who_is_not_installed_is_left_out() -> None:
    assert list(schedule(FULL, [ROW], [])) == []


def test_each_loop_has_its_own_number_of_rounds() -> None:
    assert order(3).count(("asyncio", "tidings")) == 3
    assert order(3).count(("uvloop", "tidings")) == 1


def test_the_short_form_tries_uvloop_too_but_not_on_every_row() -> None:
    with_uvloop = {row.name for row in ROWS if "uvloop" in SHORT.loops(row)}
    assert with_uvloop == set(SHORT.uvloop_rows)


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
