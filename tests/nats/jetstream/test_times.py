from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.times import (
    format_time,
    from_nanoseconds,
    parse_time,
    to_nanoseconds,
    to_seconds,
)

YEARS_292 = 2**63 // 10**9


class TestDurations:
    @pytest.mark.parametrize(
        ("given", "seconds"),
        [
            (1, 1.0),
            (0.25, 0.25),
            (0, 0.0),
            (timedelta(minutes=2), 120.0),
            (timedelta(microseconds=1), 1e-6),
            (YEARS_292, float(YEARS_292)),
        ],
    )
    def test_seconds_and_timedeltas_are_taken(self, given: float | timedelta, seconds: float) -> None:
        assert to_seconds(given) == seconds

    @pytest.mark.parametrize(
        "given", [-1, -0.1, timedelta(days=-1), math.nan, math.inf, YEARS_292 + 1, True, "5", "5s", None, 1j]
    )
    def test_anything_else_is_refused(self, given: Any) -> None:
        with pytest.raises(ConfigError, match="patience"):
            to_seconds(given, "patience")

    @given(st.integers(0, 2**21 * 10**9 - 1))
    def test_a_duration_of_up_to_24_days_comes_back_to_the_nanosecond(self, nanoseconds: int) -> None:
        assert to_nanoseconds(from_nanoseconds(nanoseconds)) == nanoseconds

    @given(st.timedeltas(timedelta(0), timedelta(days=365 * 60)))
    def test_a_timedelta_comes_back_to_the_microsecond(self, duration: timedelta) -> None:
        nanoseconds = to_nanoseconds(to_seconds(duration))
        assert nanoseconds == duration // timedelta(microseconds=1) * 1000

    @pytest.mark.parametrize(
        ("seconds", "nanoseconds"),
        [(0.1, 100_000_000), (1e-9, 1), (31_536_000.1, 31_536_000_100_000_000), (2.5e-9, 2)],
    )
    def test_the_wire_has_whole_nanoseconds(self, seconds: float, nanoseconds: int) -> None:
        assert to_nanoseconds(seconds) == nanoseconds


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-11-22T18:18:22Z", datetime(2026, 11, 22, 18, 18, 22, tzinfo=UTC)),
            ("2026-11-22T18:18:22.379614269Z", datetime(2026, 11, 22, 18, 18, 22, 379614, UTC)),
            ("2026-11-22T18:18:22.3Z", datetime(2026, 11, 22, 18, 18, 22, 300000, UTC)),
            ("2026-11-22T20:18:22+02:00", datetime(2026, 11, 22, 18, 18, 22, tzinfo=UTC)),
            ("2022-08-03 12:01:02.000001 +0000 UTC", datetime(2022, 8, 3, 12, 1, 2, 1, UTC)),
            ("2022-08-03 12:01:02 +0200 CEST", datetime(2022, 8, 3, 10, 1, 2, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", None),
        ],
    )
    def test_what_the_server_sends_is_read(self, text: str, moment: datetime | None) -> None:
        assert parse_time(text) == moment

    @pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59-05:00"])
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        with pytest.raises(ProtocolError, match="no time"):
            parse_time(text)

    @given(st.text("0123456789-:TZ+. uC", max_size=40))
    def test_text_is_a_time_or_refused(self, text: str) -> None:
        try:
            moment = parse_time(text)
        except ProtocolError:
            return
        assert moment is None or moment.utcoffset() == timedelta(0)

    @given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1), timezones=st.timezones()))
    def test_a_time_comes_back(self, moment: datetime) -> None:
        assert parse_time(format_time(moment)) == moment.astimezone(UTC)

    def test_a_time_is_sent_in_utc(self) -> None:
        there = timezone(timedelta(hours=2))
        assert format_time(datetime(2026, 1, 1, 1, 0, tzinfo=there)) == "2025-12-31T23:00:00Z"

    def test_a_time_without_zone_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="start has no time zone"):
            format_time(datetime(2026, 1, 1), "start")

    def test_what_is_no_datetime_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="is a datetime"):
            format_time("2026-01-01T00:00:00Z")  # type: ignore[arg-type]
