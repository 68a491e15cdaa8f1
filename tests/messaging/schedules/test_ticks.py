from __future__ import annotations

import math
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tidings.messaging.errors import SetupError
from tidings.messaging.schedules.ticks import Cron, Every, Ticks


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def following(ticks: Ticks, moment: str, count: int) -> list[str]:
    found, last = [], at(moment)
    for _ in range(count):
        last = ticks.after(last)
        found.append(datetime.fromtimestamp(last, UTC).strftime("%m-%d %H:%M:%S"))
    return found


def test_every_is_counted_from_1970() -> None:
    ticks = Every("30s")
    assert following(ticks, "2030-01-01 00:00:07", 3) == [
        "01-01 00:00:30",
        "01-01 00:01:00",
        "01-01 00:01:30",
    ]
    assert ticks.last(at("2030-01-01 00:00:07")) == at("2030-01-01 00:00:00")
    assert ticks.last(at("2030-01-01 00:00:30")) == at("2030-01-01 00:00:30")
    assert str(ticks) == "every 30s"
    assert str(Every(timedelta(minutes=1))) == "every 60s"


@pytest.mark.parametrize("interval", [0.1, 0.3, 7, "1h"])
def test_every_goes_on(interval: Any) -> None:
    ticks, moment = Every(interval), at("2030-01-01 00:00:00")
    for _ in range(100):
        following = ticks.after(moment)
        assert following > moment
        assert ticks.last(following) == pytest.approx(following)
        moment = following


@pytest.mark.parametrize("interval", [0, -1, 0.001, "0s", "soon", timedelta(0), None], ids=repr)
def test_every_refuses_what_is_no_interval(interval: Any) -> None:
    with pytest.raises(SetupError, match=r"the interval of every\(\) is"):
        Every(interval)


def test_cron() -> None:
    ticks = Cron("0 6 * * mon-fri")
    assert following(ticks, "2030-01-03 12:00:00", 3) == [
        "01-04 06:00:00",
        "01-07 06:00:00",
        "01-08 06:00:00",
    ]
    assert ticks.last(at("2030-01-04 06:00:00")) == at("2030-01-04 06:00:00")
    assert ticks.last(at("2030-01-04 06:00:00") + 0.5) == at("2030-01-04 06:00:00")
    assert ticks.last(at("2030-01-04 06:00:00") - 0.5) == at("2030-01-03 06:00:00")
    assert str(ticks) == "cron 0 6 * * mon-fri"


def test_cron_with_seconds() -> None:
    ticks = Cron("*/20 * * * * *")
    assert following(ticks, "2030-01-01 00:00:07", 2) == ["01-01 00:00:20", "01-01 00:00:40"]


@pytest.mark.parametrize("tz", ["Europe/Berlin", ZoneInfo("Europe/Berlin")], ids=["name", "zone"])
def test_cron_in_a_zone_when_clocks_change(tz: Any) -> None:
    night = Cron("30 2 * * *", tz)
    # 02:30 is not there on the 29th of March 2026, and twice on the 25th of October.
    assert following(night, "2026-03-28 12:00:00", 2) == ["03-29 01:00:00", "03-30 00:30:00"]
    assert following(night, "2026-10-24 12:00:00", 2) == ["10-25 00:30:00", "10-26 01:30:00"]
    for day in ("2026-03-28 12:00:00", "2026-10-24 12:00:00"):
        moment = at(day)
        for _ in range(200):
            tick = Cron("*/15 * * * *", tz).after(moment)
            assert tick - moment == 900
            assert Cron("*/15 * * * *", tz).last(tick + 1) == tick
            moment = tick


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("* * *", r"'\* \* \*' is no cron expression: Wrong number of fields"),
        ("99 * * * *", r"'99 \* \* \* \*' is no cron expression: Bad minute"),
        ("0 0 31 2 *", r"'0 0 31 2 \*' is no cron expression"),
        ("", "'' is no cron expression"),
        (5, "takes an expression such as"),
    ],
    ids=repr,
)
def test_a_bad_expression_is_named(expression: Any, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        Cron(expression)


@pytest.mark.parametrize("tz", ["Mars/Olympus", "../etc/passwd", ""])
def test_a_zone_that_is_not_there_is_named(tz: str) -> None:
    with pytest.raises(SetupError, match="there is no time zone"):
        Cron("* * * * *", tz)


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(SetupError, match=r"pip install 'tidings\[cron\]'"):
        Cron("* * * * *")


def test_there_is_a_last_tick_for_ever() -> None:
    assert Cron("0 0 29 2 *").after(at("2096-03-01 00:00:00")) < math.inf
