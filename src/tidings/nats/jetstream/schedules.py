"""Schedules: a message that its stream publishes later, or again and again (ADR-51).

A schedule is the last message on a subject of its own; one more message on that subject replaces it, and
`Stream.purge` of the subject ends it. It is published with ``schedule=`` to a stream that has
``allow_msg_schedules``::

    later = Schedule.at(datetime(2030, 1, 1, tzinfo=UTC), target="orders.due")
    await js.publish("orders.later.4711", b"remind", schedule=later)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Self, TypedDict, Unpack

from tidings.nats.jetstream.checks import check_literal
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.times import format_time, to_seconds
from tidings.nats.jetstream.ttl import Ttl, ttl_text

__all__ = ["Schedule", "ScheduleOptions"]

SCHEDULE: Final = "Nats-Schedule"
TARGET: Final = "Nats-Schedule-Target"
SOURCE: Final = "Nats-Schedule-Source"
TTL: Final = "Nats-Schedule-TTL"
TIME_ZONE: Final = "Nats-Schedule-Time-Zone"
ROLLUP: Final = "Nats-Schedule-Rollup"
# On what a schedule produced.
SCHEDULER: Final = "Nats-Scheduler"
NEXT: Final = "Nats-Schedule-Next"

_NAMED = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_FIELDS = 6


class ScheduleOptions(TypedDict, total=False):
    """What each kind of `Schedule` takes besides; the attributes there tell what."""

    source: str | None
    ttl: Ttl | None
    rollup: Literal["sub", "all"] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a message is published, and where to. Made by `at`, `every` or `cron`.

    Attributes:
        pattern: ``@at`` a time, ``@every`` a duration, ``@hourly`` and its like, or six fields of cron.
        target: the subject, of the same stream, that the message is published to.
        source: publish what stands last on this subject in its place; nothing while there is nothing.
        ttl: how long what is published is kept, seconds or a timedelta, or ``"never"`` to end; the stream
            needs ``allow_msg_ttl``.
        time_zone: where the fields of cron are told, ``Europe/Berlin``; UTC without.
        rollup: what is published replaces what was there: ``"sub"`` on its subject, ``"all"`` in the stream.

    Raises:
        ConfigError: it cannot work.
    """

    pattern: str
    target: str
    source: str | None = None
    ttl: Ttl | None = None
    time_zone: str | None = None
    rollup: Literal["sub", "all"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern.isprintable():
            raise ConfigError(f"the pattern of a schedule is text, not {self.pattern!r}")
        check_literal("target", self.target)
        if self.source is not None:
            check_literal("source", self.source)
        if self.time_zone is not None and (
            self.pattern.startswith(("@at", "@every")) or not _is_zone(self.time_zone)
        ):
            raise ConfigError(f"time_zone goes with cron, as in Europe/Berlin, not {self.time_zone!r}")
        if self.rollup not in (None, "sub", "all"):
            raise ConfigError(f'rollup is "sub" or "all", not {self.rollup!r}')
        if self.ttl is not None:
            ttl_text(self.ttl)

    @classmethod
    def at(cls, moment: datetime, *, target: str, **options: Unpack[ScheduleOptions]) -> Self:
        """Once, at `moment`, which has a time zone; at once when that is past. Then the schedule is gone."""
        return cls(pattern=f"@at {format_time(moment, 'moment')}", target=target, **options)

    @classmethod
    def every(cls, interval: float | timedelta, *, target: str, **options: Unpack[ScheduleOptions]) -> Self:
        """Again and again, `interval` (seconds or a timedelta) apart; one second at least."""
        seconds = to_seconds(interval, "interval")
        if seconds < 1:
            raise ConfigError(f"the interval of a schedule is at least one second, not {interval!r}")
        return cls(pattern=f"@every {round(seconds * 1000)}ms", target=target, **options)

    @classmethod
    def cron(
        cls, fields: str, *, target: str, time_zone: str | None = None, **options: Unpack[ScheduleOptions]
    ) -> Self:
        """At the times that six fields name: second, minute, hour, day of month, month, day of week.

        ``0 30 5 * * mon-fri`` is each working day at half past five. Also ``@yearly``, ``@monthly``,
        ``@weekly``, ``@daily`` and ``@hourly``.
        """
        words = fields.split()
        if fields not in _NAMED and len(words) != _FIELDS:
            raise ConfigError(
                f"cron has six fields here, from the second on, or is one of {', '.join(_NAMED)}: {fields!r}"
            )
        return cls(pattern=" ".join(words), target=target, time_zone=time_zone, **options)

    def headers(self) -> dict[str, str]:
        """The headers of the message that is the schedule."""
        asked = {SCHEDULE: self.pattern, TARGET: self.target}
        if self.source is not None:
            asked[SOURCE] = self.source
        if self.ttl is not None:
            asked[TTL] = ttl_text(self.ttl)
        if self.time_zone is not None:
            asked[TIME_ZONE] = self.time_zone
        if self.rollup is not None:
            asked[ROLLUP] = self.rollup
        return asked


def _is_zone(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", name) is not None
