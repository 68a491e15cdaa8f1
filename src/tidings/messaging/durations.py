"""Durations as people write them: 30, "30s", "1h30m", or a timedelta."""

import re
from datetime import timedelta
from math import isfinite

from .errors import SetupError

__all__ = ["Duration", "check_seconds", "check_timeout", "to_seconds"]

Duration = float | str | timedelta
"""Seconds, a timedelta, or a text of numbers with units: "250ms", "30s", "5m", "1h30m", "7d"."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 1e9  # seconds, 31 years: above what a service lives, and below what event loops count to
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_TEXT = re.compile(rf"(?:{_PART.pattern})+")


def to_seconds(value: Duration, name: str) -> float:
    """Seconds, above 0.

    Args:
        value: the duration.
        name: what to call it in an error.

    Raises:
        SetupError: it is none, or not above 0.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        if not _TEXT.fullmatch(value):
            raise SetupError(f'{name} is a duration such as "30s", "5m" or "1h30m", not {value!r}')
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise SetupError(f'{name} is seconds, a timedelta or a text such as "30s", not {value!r}')
    if not (seconds > 0 and isfinite(seconds)):
        raise SetupError(f"{name} is above 0 seconds, not {value!r}")
    return seconds


def check_timeout(value: object, name: str = "timeout") -> None:
    """Refuse what nothing can wait for. One that is over already, 0 or less, is a timeout like any other.

    Args:
        value: seconds, as a call was given them.
        name: what to call it in the error.

    Raises:
        SetupError: it is no number, or one without end.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_LONGEST <= value <= _LONGEST:
        raise SetupError(f"{name} is a number of seconds, such as 0.5, not {value!r}")


def check_seconds(value: object, name: str) -> None:
    """Refuse what is no wait, for who is made of it: ValueError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LONGEST:
        raise ValueError(f"{name} is seconds, at least 0, not {value!r}")
