"""The values that `Context` finds."""

import pytest

from tidings.messaging.context import ContextRepo
from tidings.messaging.errors import ContextError


def test_values_are_set_found_and_forgotten() -> None:
    context = ContextRepo({"a": 1})
    context.set_global("b", {"c": [1]})
    assert context.get("a") == context.resolve("a") == 1
    assert context.resolve("b.c") == [1]
    context.reset_global("a")
    context.reset_global("a")
    assert context.get("a", "none") == "none"


def test_each_dot_is_a_key_or_an_attribute() -> None:
    value = type("Value", (), {"inner": {"key": "found"}})
    assert ContextRepo({"value": value}).resolve("value.inner.key") == "found"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("absent", r"no 'absent' in the context; set it with context.set_global\('absent', …\)"),
        ("here.absent", "a dict of the context has no 'absent'"),
        ("here.inner.absent", "a int of the context has no 'absent'"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(name: str, text: str) -> None:
    with pytest.raises(ContextError, match=text):
        ContextRepo({"here": {"inner": 1}}).resolve(name)
