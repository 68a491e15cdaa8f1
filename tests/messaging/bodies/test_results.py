"""What handlers return, checked by the annotation and written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from tidings.messaging.bodies.codec import JSON, TEXT
from tidings.messaging.bodies.results import encoder_for
from tidings.messaging.errors import ResultError
from tidings.messaging.params import MISSING


class User(BaseModel):
    username: str
    user_id: int = Field(alias="userId")


@dataclass
class Point:
    x: int


class Struct(msgspec.Struct):
    x: int


USER = User(username="n", userId=1)


@pytest.mark.parametrize(
    ("annotation", "value", "body", "content_type"),
    [
        (User, USER, b'{"username":"n","userId":1}', JSON),
        (User, {"username": "n", "userId": 1}, b'{"username":"n","userId":1}', JSON),
        (list[User], [USER], b'[{"username":"n","userId":1}]', JSON),
        (Point, Point(1), b'{"x":1}', JSON),
        (Struct, Struct(1), b'{"x":1}', JSON),
        (Struct, {"x": 1}, b'{"x":1}', JSON),
        (int, 5, b"5", JSON),
        (bytes, b"[1]", b"[1]", ""),
        (str, "5", b"5", TEXT),
        (User | str, "5", b"5", TEXT),
        (date, date(2024, 5, 1), b'"2024-05-01"', JSON),
        (MISSING, {"a": USER}, b'{"a":{"username":"n","userId":1}}', JSON),
        (Any, "text", b"text", TEXT),
    ],
)
def test_a_result_is_encoded_by_its_annotation(
    annotation: Any, value: Any, body: bytes, content_type: str
) -> None:
    assert encoder_for(annotation)(value) == (body, content_type)


def test_a_result_holds_no_more_than_its_annotation_says() -> None:
    class Admin(User):
        password: str

    assert encoder_for(User)(Admin(username="n", userId=1, password="x"))[0] == b'{"username":"n","userId":1}'


@pytest.mark.parametrize(
    ("annotation", "value"), [(int, "x"), (User, {}), (str, 5), (Struct, {}), (bytes, 1)]
)
def test_a_result_of_another_kind_is_an_error(annotation: Any, value: Any) -> None:
    with pytest.raises(ResultError, match=f"the result is not of {annotation.__name__}: "):
        encoder_for(annotation)(value)


def test_a_constraint_on_a_result_holds_for_its_exact_type_too() -> None:
    with pytest.raises(ResultError, match="greater than 1"):
        encoder_for(Annotated[int, Field(gt=1)])(1)


def test_without_validation_a_result_is_encoded_as_what_it_is() -> None:
    assert encoder_for(int, validate=False)("x") == (b"x", TEXT)


def test_an_encoder_gets_the_validated_result() -> None:
    def packed(value: Any) -> tuple[bytes, str]:
        return repr(value).encode(), "x/y"

    assert encoder_for(Point, encoder=packed)({"x": 1}) == (b"Point(x=1)", "x/y")
    assert encoder_for(Point, encoder=packed)(Point(1)) == (b"Point(x=1)", "x/y")
    assert encoder_for(Point, validate=False, encoder=packed)(5) == (b"5", "x/y")
