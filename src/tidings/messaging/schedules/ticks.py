"""When a schedule is due: ticks, as seconds since 1970 that all processes agree on."""

import math
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from ..durations import Duration, to_seconds
from ..errors import SetupError

__all__ = ["Cron", "Every", "Ticks"]


_SHORTEST = 0.01  # seconds


class Ticks(ABC):
    """Points in time."""

    @abstractmethod
    def after(self, moment: float) -> float:
        """The first one after `moment`; infinity where there is none."""

    @abstractmethod
    def last(self, moment: float) -> float:
        """The last one until `moment`, itself included; minus infinity where there is none."""


class Every(Ticks):
    """Points that are an interval apart, counted from 1970, so that a restart or another process does not
    move them.

    Args:
        interval: seconds, a timedelta or a text such as "30s". SetupError where it is none, or too short.
    """

    def __init__(self, interval: Duration) -> None:
        self._interval = to_seconds(interval, "the interval of every()")
        if self._interval < _SHORTEST:
            raise SetupError(f"the interval of every() is at least {_SHORTEST:g} seconds, not {interval!r}")
        self._text = interval if isinstance(interval, str) else f"{self._interval:g}s"

    def after(self, moment: float) -> float:
        """See `Ticks.after`."""
        number = math.floor(moment / self._interval) + 1
        tick = number * self._interval
        return tick if tick > moment else (number + 1) * self._interval

    def last(self, moment: float) -> float:
        """See `Ticks.last`."""
        return math.floor(moment / self._interval) * self._interval

    def __str__(self) -> str:
        return f"every {self._text}"


class Cron(Ticks):
    """Points that five fields name: minute, hour, day of month, month, day of week; with six the first is the
    second. As Debian's cron reads them, also when clocks are put forward or back.

    Args:
        expression: the fields.
        tz: the zone in which they are told, a name of `zoneinfo` or a tzinfo.

    Raises:
        SetupError: an expression or a zone that is none, or the extra is not installed.
    """

    def __init__(self, expression: str, tz: Any = UTC) -> None:
        try:
            from cronsim import CronSim, CronSimError
        except ImportError as error:
            raise SetupError("cron() needs the extra of that name: pip install 'tidings[cron]'") from error
        if not isinstance(expression, str):
            raise SetupError(f"cron() takes an expression such as '0 * * * *', not {expression!r}")
        self._expression = expression
        self._zone = _zone(tz)
        self._simulated = CronSim
        try:
            CronSim(expression, datetime.now(self._zone))
        except CronSimError as error:
            raise SetupError(f"{expression!r} is no cron expression: {error}") from error
        if self.after(datetime.now(UTC).timestamp()) == math.inf:
            raise SetupError(f"{expression!r} names no time that will ever come")

    def after(self, moment: float) -> float:
        """See `Ticks.after`."""
        found = next(self._simulated(self._expression, self._told(math.floor(moment))), None)
        return math.inf if found is None else found.timestamp()

    def last(self, moment: float) -> float:
        """See `Ticks.last`."""
        # Reads backwards from a point, which is left out.
        start = self._told(math.floor(moment) + 1)
        found = next(self._simulated(self._expression, start, reverse=True), None)
        return -math.inf if found is None else found.timestamp()

    def _told(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self._zone)

    def __str__(self) -> str:
        return f"cron {self._expression}"


def _zone(tz: Any) -> Any:
    if not isinstance(tz, str):
        return tz
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, OSError) as error:
        raise SetupError(
            f"there is no time zone {tz!r} here: a name such as 'Europe/Berlin'; a system without time zones "
            "needs the package tzdata"
        ) from error
