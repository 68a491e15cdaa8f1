from datetime import timedelta
from typing import Any

import pytest

from tidings.messaging.durations import to_seconds
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
