from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import Seconds, SecondsList, Wire


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
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False)
                | st.text("ax19", max_size=9),
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
