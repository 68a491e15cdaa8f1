"""Durations and times: as callers give them, as the wire has them.

On the wire a duration is a whole number of nanoseconds and a time is RFC 3339 text; here a duration is
seconds and a time an aware `datetime`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import ConfigError

__all__ = ["check_time", "format_time", "from_nanoseconds", "parse_time", "to_nanoseconds", "to_seconds"]

_MAX_NANOSECONDS = 2**63 - 1
_FINE = 2**21  # seconds; above, the next float is too far to tell nanoseconds apart

# As Go prints a time: 2022-08-03 12:01:02.000001 +0000 UTC
_GO_TIME = re.compile(r"(\S+) (\S+) ([+-]\d{2})(\d{2})(?: \S+)?")


def to_seconds(value: float | timedelta, name: str = "duration") -> float:
    """Seconds, of seconds or a timedelta.

    Raises:
        ConfigError: it is no duration, negative, or longer than the server can count (292 years).
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} is seconds or a timedelta, not {value!r}")
    if not 0 <= value <= _MAX_NANOSECONDS // 10**9:
        raise ConfigError(f"{name} cannot be {value!r} seconds")
    return float(value)


def to_nanoseconds(seconds: float) -> int:
    """Whole nanoseconds; beyond 24 days whole microseconds, which is what a float can tell apart."""
    return round(seconds * 1e9) if seconds < _FINE else round(seconds * 1e6) * 1000


def from_nanoseconds(value: int) -> float:
    """Seconds."""
    return value / 1e9


def format_time(moment: datetime, name: str = "time") -> str:
    """RFC 3339 in UTC.

    Raises:
        ConfigError: it is no datetime, or has no time zone.
    """
    check_time(moment, name)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def check_time(moment: object, name: str) -> None:
    """Refuse what is no aware datetime. Raises ConfigError."""
    if not isinstance(moment, datetime):
        raise ConfigError(f"{name} is a datetime, not {moment!r}")
    if moment.utcoffset() is None:
        raise ConfigError(f"{name} has no time zone: say datetime.now(UTC), or add tzinfo=UTC")


def parse_time(text: str) -> datetime | None:
    """An aware datetime of RFC 3339 text, or of a time as Go prints it; to the microsecond below.

    The server's zero time, of the year 1, is None: it stands for no time at all.

    Raises:
        ProtocolError: it is neither.
    """
    if match := _GO_TIME.fullmatch(text):
        text = f"{match[1]}T{match[2]}{match[3]}:{match[4]}"
    try:
        moment = datetime.fromisoformat(text)
        if moment.year == 1:
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ProtocolError(f"no time that can be read: {text[:80]!r}") from None
