"""Values to bodies and back, without an annotation."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field

from tidings.messaging.bodies.codec import JSON, TEXT, decode_any, encode, is_json, is_text
from tidings.messaging.errors import PublishError


class Model(BaseModel):
    user_id: int = Field(alias="userId")


@dataclass
class Point:
    x: int
    when: date


class Struct(msgspec.Struct, rename="camel"):
    user_id: int


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "body", "content_type"),
    [
        (None, b"", ""),
        (b"\x00\xff", b"\x00\xff", ""),
        (bytearray(b"ab"), b"ab", ""),
        (memoryview(b"ab"), b"ab", ""),
        ("тест", "тест".encode(), TEXT),
        (Colour.RED, b"red", TEXT),
        (5, b"5", JSON),
        (True, b"true", JSON),
        ({"a": [1, None]}, b'{"a":[1,null]}', JSON),
        (Model(userId=1), b'{"userId":1}', JSON),
        ([Model(userId=1)], b'[{"userId":1}]', JSON),
        (Point(1, date(2024, 5, 1)), b'{"x":1,"when":"2024-05-01"}', JSON),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"', JSON),
        (Struct(1), b'{"userId":1}', JSON),
        ({"inner": Struct(1)}, b'{"inner":{"userId":1}}', JSON),
    ],
)
def test_a_value_becomes_a_body_and_says_what_it_is(value: Any, body: bytes, content_type: str) -> None:
    assert encode(value) == (body, content_type)


def test_a_value_without_a_json_form_is_refused_by_name() -> None:
    class Opaque:
        pass

    with pytest.raises(PublishError, match=r"a value of type list has no JSON form: .*Opaque"):
        encode([Opaque()])


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"", "", None),
        (b"", JSON, None),
        (b"5", "", 5),
        (b'{"a":1}', "", {"a": 1}),
        (b"hello", "", "hello"),
        (b"\xff\xfe", "", b"\xff\xfe"),
        (b"5", TEXT, "5"),
        (b"5", "text/csv; charset=utf-8", "5"),
        (b"5", JSON, 5),
        (b"[1]", "application/json; charset=utf-8", [1]),
        (b"[1]", "application/problem+json", [1]),
        (b"[1]", "application/msgpack", b"[1]"),
    ],
)
def test_a_body_is_what_it_says_or_else_what_it_looks_like(
    body: bytes, content_type: str, value: Any
) -> None:
    assert decode_any(body, content_type) == value


@pytest.mark.parametrize(("body", "content_type"), [(b"{", JSON), (b"\xff", TEXT)])
def test_a_body_that_is_not_what_it_says_is_an_error(body: bytes, content_type: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_any(body, content_type)


def test_content_types_are_told_apart_whatever_their_case() -> None:
    assert is_json("Application/JSON")
    assert is_json("application/cloudevents+json")
    assert not is_json("text/json-lines")
    assert is_text("Text/Plain;charset=utf-8")
    assert not is_text("")
