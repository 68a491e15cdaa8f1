from datetime import timedelta
from typing import Any

import pytest

from tidings.messaging.durations import check_seconds, check_timeout, to_seconds
from tidings.messaging.errors import SetupError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30),
        (0.5, 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("1d", 86400),
        (timedelta(minutes=2), 120),
    ],
    ids=str,
)
def test_a_duration(value: Any, seconds: float) -> None:
    assert to_seconds(value, "interval") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (0, "is above 0 seconds, not 0"),
        (-1, "is above 0 seconds"),
        ("0s", "is above 0 seconds, not '0s'"),
        (timedelta(seconds=-1), "is above 0 seconds"),
        (float("nan"), "is above 0 seconds"),
        (float("inf"), "is above 0 seconds"),
        ("", 'a duration such as "30s"'),
        ("30", 'a duration such as "30s"'),
        ("30 s", 'a duration such as "30s"'),
        ("s", 'a duration such as "30s"'),
        ("1w", 'a duration such as "30s"'),
        (True, "is seconds, a timedelta or a text"),
        (None, "is seconds, a timedelta or a text"),
    ],
    ids=repr,
)
def test_what_is_none_is_refused(value: Any, why: str) -> None:
    with pytest.raises(SetupError, match=f"^interval .*{why}"):
        to_seconds(value, "interval")


@pytest.mark.parametrize("value", [5, 0.5, 0, -1, 1e9], ids=repr)
def test_a_timeout(value: float) -> None:
    check_timeout(value)


@pytest.mark.parametrize(
    "value",
    ["s", "1", None, True, timedelta(seconds=1), float("nan"), float("inf"), 10**400],
    ids=["text", "number-as-text", "none", "bool", "timedelta", "nan", "inf", "huge"],
)
def test_a_timeout_that_nothing_can_wait_for_is_refused(value: Any) -> None:
    with pytest.raises(SetupError, match=r"^timeout is a number of seconds, such as 0\.5, not "):
        check_timeout(value)


@pytest.mark.parametrize("value", ["1s", None, True, -1, float("nan"), float("inf")], ids=repr)
def test_a_wait_that_is_none_is_refused(value: Any) -> None:
    check_seconds(0, "delay")
    with pytest.raises(ValueError, match=r"^delay is seconds, at least 0, not "):
        check_seconds(value, "delay")
