from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import (
    Seconds,
    SecondsList,
    Wire,
    format_time,
    from_nanoseconds,
    parse_time,
    to_nanoseconds,
    to_seconds,
)

YEARS_292 = 2**63 // 10**9


@dataclass(frozen=True, kw_only=True)
class Inner(Wire):
    levels: ClassVar = {"fresh": 3}

    name: str = ""
    fresh: bool = False


@dataclass(frozen=True, kw_only=True)
class Outer(Wire):
    levels: ClassVar = {"late": 1, "word": {"new": 2}}
    unsaid: ClassVar = {"word": "usual"}

    number: int = -1
    text: str = ""
    flag: bool = False
    late: bool = False
    word: Literal["usual", "new"] = "usual"
    wait: Seconds = Seconds()
    waits: SecondsList = SecondsList()
    moment: datetime | None = None
    texts: list[str] = field(default_factory=list)
    pairs: dict[str, str] = field(default_factory=dict)
    inner: Inner | None = None
    inners: list[Inner] = field(default_factory=list)


FULL = {
    "number": 7,
    "text": "é",
    "flag": True,
    "late": True,
    "word": "new",
    "wait": 1_500_000_000,
    "waits": [1_000_000_000, 250_000_000],
    "moment": "2026-03-04T05:06:07.123456Z",
    "texts": ["a", "b"],
    "pairs": {"k": "v"},
    "inner": {"name": "i", "fresh": True},
    "inners": [{"name": "j"}],
}


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

    @given(st.integers(0, 2**53 - 1))
    def test_a_duration_of_up_to_104_days_comes_back_to_the_nanosecond(self, nanoseconds: int) -> None:
        seconds = from_nanoseconds(nanoseconds)
        assert abs(to_nanoseconds(seconds) - nanoseconds) <= 1

    @given(st.timedeltas(timedelta(0), timedelta(days=365 * 130)))
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

    @given(st.text(max_size=60))
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


class TestReading:
    def test_every_kind_of_field(self) -> None:
        outer = Outer.from_wire(FULL)
        assert outer == Outer(
            number=7,
            text="é",
            flag=True,
            late=True,
            word="new",
            wait=1.5,
            waits=[1.0, 0.25],
            moment=datetime(2026, 3, 4, 5, 6, 7, 123456, UTC),
            texts=["a", "b"],
            pairs={"k": "v"},
            inner=Inner(name="i", fresh=True),
            inners=[Inner(name="j")],
        )
        assert outer.to_wire() == FULL

    def test_what_is_absent_or_null_is_the_default(self) -> None:
        assert Outer.from_wire({}) == Outer() == Outer.from_wire(dict.fromkeys(FULL))

    def test_what_may_be_none_is_so_where_the_server_sends_an_empty_object(self) -> None:
        assert Outer.from_wire({"inner": {}}).inner is None

    def test_what_is_unknown_is_kept_and_sent_back_at_every_depth(self) -> None:
        sent = FULL | {"newer": {"a": [1]}, "inner": {"name": "i", "newest": 1}}
        outer = Outer.from_wire(sent)
        assert outer.extra == {"newer": {"a": [1]}}
        assert outer.inner is not None
        assert outer.inner.extra == {"newest": 1}
        assert replace(outer, number=8).to_wire() == sent | {"number": 8}

    def test_a_word_of_a_newer_server_is_kept(self) -> None:
        outer = Outer.from_wire({"word": "newest"})
        assert outer.to_wire()["word"] == "newest"

    @pytest.mark.parametrize("wait", [10**40, 2**63])
    def test_a_duration_out_of_bounds_is_a_protocol_error(self, wait: int) -> None:
        with pytest.raises(ProtocolError, match="wait"):
            Outer.from_wire({"wait": wait})

    def test_a_duration_of_minus_one_is_one_that_has_not_happened(self) -> None:
        assert Outer.from_wire({"wait": -1}).wait is None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("number", "7"),
            ("number", True),
            ("number", 1.5),
            ("text", 1),
            ("flag", 1),
            ("wait", "1s"),
            ("waits", 5),
            ("waits", ["x"]),
            ("moment", 5),
            ("moment", "yesterday"),
            ("texts", "abc"),
            ("texts", [1]),
            ("pairs", []),
            ("inner", []),
            ("inner", {"name": 1}),
            ("inners", [1]),
        ],
    )
    def test_what_a_field_cannot_hold_is_a_protocol_error(self, name: str, value: Any) -> None:
        with pytest.raises(ProtocolError, match="name" if "name" in str(value) else name):
            Outer.from_wire({name: value})

    @given(
        st.dictionaries(
            st.sampled_from([*FULL, "other"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["name", "fresh", "x"]), inner, max_size=3)
                ),
                max_leaves=5,
            ),
        )
    )
    def test_any_json_is_read_or_a_protocol_error(self, sent: dict[str, Any]) -> None:
        try:
            outer = Outer.from_wire(sent)
        except ProtocolError:
            return
        # What is zero is not sent, and then read as the default.
        wire = json.loads(json.dumps(Outer.from_wire(outer.to_wire()).to_wire()))
        assert Outer.from_wire(wire).to_wire() == wire


class TestSending:
    def test_what_is_empty_is_not_sent(self) -> None:
        assert Outer().to_wire() == {"number": -1}
        assert Outer(number=0, wait=0, waits=[], inner=Inner()).to_wire() == {}

    def test_the_word_for_what_holds_anyway_is_not_sent(self) -> None:
        assert "word" not in Outer(word="usual").to_wire()
        assert Outer(word="new").to_wire()["word"] == "new"


class TestLevels:
    @pytest.mark.parametrize(
        ("outer", "needs"),
        [
            (Outer(), {}),
            (Outer(late=True), {"late": 1}),
            (Outer(word="new"), {"word": 2}),
            (Outer(inner=Inner(fresh=True)), {"inner.fresh": 3}),
            (Outer(late=True, inners=[Inner(), Inner(fresh=True)]), {"late": 1, "inners.fresh": 3}),
        ],
    )
    def test_what_is_set_says_which_level_it_needs(self, outer: Outer, needs: dict[str, int]) -> None:
        assert dict(outer.needs()) == needs
        assert outer.needed_level == max(needs.values(), default=0)


class TestWhatIsGiven:
    def test_durations_are_read_as_seconds(self) -> None:
        outer = Outer(wait=timedelta(minutes=1), waits=(timedelta(seconds=2), 3))
        assert outer.wait == 60.0
        assert outer.waits == [2.0, 3.0]

    def test_any_iterable_is_a_list_of_its_own(self) -> None:
        texts = ["a"]
        outer = Outer(texts=texts, inners=(Inner(name=n) for n in "xy"))  # type: ignore[arg-type]
        texts.append("b")
        assert outer.texts == ["a"]
        assert [inner.name for inner in outer.inners] == ["x", "y"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"number": "1"},
            {"number": True},
            {"text": b"x"},
            {"flag": 1},
            {"wait": "5s"},
            {"waits": 5},
            {"waits": "12"},
            {"waits": [timedelta(days=-1)]},
            {"moment": "2026-01-01"},
            {"moment": datetime(2026, 1, 1)},
            {"texts": "orders.*"},
            {"texts": [1]},
            {"pairs": ["a"]},
            {"inner": {"name": "x"}},
            {"inners": [{"name": "x"}]},
        ],
    )
    def test_a_wrong_type_is_refused_and_named(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(fields))):
            Outer(**fields)


def test_differences_are_those_of_what_is_set_here() -> None:
    wanted = Outer(number=5, texts=["a"], wait=None, flag=False)
    there = Outer(number=6, texts=["a"], wait=30, flag=True, text="x")
    assert wanted.differences(there) == {"number": (5, 6)}
    assert wanted.differences(wanted) == {}
