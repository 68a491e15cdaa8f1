"""Subjects with named parts."""

import pytest

from tidings.messaging.errors import SetupError
from tidings.messaging.subjects import SubjectPattern, has_named_parts


@pytest.mark.parametrize(
    ("text", "subject", "delivered", "parts"),
    [
        ("logs", "logs", "logs", {}),
        ("logs.*.>", "logs.*.>", "logs.a.b.c", {}),
        ("logs.{level}", "logs.*", "logs.info", {"level": "info"}),
        ("{shop}.orders.{id}", "*.orders.*", "berlin.orders.7", {"shop": "berlin", "id": "7"}),
        ("a.{b}.>", "a.*.>", "a.x.y.z", {"b": "x"}),
    ],
)
def test_named_parts_are_tokens(text: str, subject: str, delivered: str, parts: dict[str, str]) -> None:
    pattern = SubjectPattern.parse(text)
    assert pattern.subject == subject
    assert pattern.match(delivered) == parts


@pytest.mark.parametrize("text", ["logs.x-{level}", "logs.{level", "logs.level}", "logs.{}", "logs.{1a}"])
def test_a_name_stands_alone(text: str) -> None:
    with pytest.raises(SetupError, match=r"is not a token like \{level\}"):
        SubjectPattern.parse(text)


def test_a_name_is_unique() -> None:
    with pytest.raises(SetupError, match="names 'a' twice"):
        SubjectPattern.parse("{a}.{a}")


@pytest.mark.parametrize(
    ("address", "has"),
    [("logs.{level}", True), ("{a}", True), ("logs", False), ("a{b}.c", False), ("{}.{1}", False)],
)
def test_whether_an_address_has_named_parts(address: str, has: bool) -> None:
    assert has_named_parts(address) is has
