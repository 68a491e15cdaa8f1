from __future__ import annotations

import pytest

from tidings.nats.core.record import Record


class Door(Record):
    hidden = frozenset(("code",))

    width: float
    code: str = "1234"

    def _check(self) -> None:
        if self.width <= 0:
            raise ValueError("width is above 0")


def test_fields_are_given_by_name_or_are_their_defaults() -> None:
    door = Door(width=2.0)
    assert (door.width, door.code) == (2.0, "1234")
    assert Door.fields == ("width", "code")


def test_an_unknown_and_a_missing_field_are_named() -> None:
    with pytest.raises(TypeError, match="Door has no 'height', 'hinge'"):
        Door(width=1, hinge=1, height=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Door needs width"):
        Door(code="1")  # type: ignore[call-arg]


def test_values_are_checked() -> None:
    with pytest.raises(ValueError, match="width"):
        Door(width=0)


def test_a_record_does_not_change() -> None:
    door = Door(width=1)
    with pytest.raises(AttributeError, match="Door does not change"):
        door.width = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="Door does not change"):
        del door.width


def test_records_of_a_kind_are_equal_by_their_values() -> None:
    assert Door(width=1) == Door(width=1, code="1234")
    assert hash(Door(width=1)) == hash(Door(width=1))
    assert Door(width=1) != Door(width=2)
    assert Door(width=1) != 1


def test_a_hidden_field_is_not_shown() -> None:
    assert repr(Door(width=1.5, code="secret")) == "Door(width=1.5)"
