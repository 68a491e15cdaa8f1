"""Bodies to values of an annotation, and results back."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

from tidings.messaging.bodies.codec import JSON, TEXT
from tidings.messaging.bodies.problems import field_errors
from tidings.messaging.bodies.validation import caster_for, fields_reader, reader_for, untouched
from tidings.messaging.errors import FieldError, SetupError
from tidings.messaging.params import MISSING, NoCast


class User(BaseModel):
    username: str
    user_id: int = Field(alias="userId")


@dataclass
class Point:
    x: int


class Typed(TypedDict):
    x: int


class Struct(msgspec.Struct):
    x: int


class Colour(Enum):
    RED = "red"


UserId = NewType("UserId", int)
USER = User(username="n", userId=1)


def read(annotation: Any, body: bytes, content_type: str = "", **options: Any) -> Any:
    return reader_for(annotation, **options).read(body, content_type)


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (User, b'{"username":"n","userId":1}', USER),
        (Point, b'{"x":1}', Point(1)),
        (Typed, b'{"x":1}', {"x": 1}),
        (Struct, b'{"x":1}', Struct(1)),
        (list[Struct], b'[{"x":1}]', [Struct(1)]),
        (int, b"5", 5),
        (UserId, b"5", 5),
        (list[date], b'["2024-05-01"]', [date(2024, 5, 1)]),
        (Point | list[int], b"[1]", [1]),
        (Annotated[int, Field(gt=1)], b"5", 5),
        (bytes, b"123", b"123"),
        (bytes, b"", b""),
        (bytes | None, b"", None),
        (str, b"123", "123"),
        (str, b'{"a":1}', '{"a":1}'),
        (str, b"", ""),
        (str | None, b"", None),
        (str | None, b"5", "5"),
        (Annotated[str, Field(min_length=1)], b"5", "5"),
        (User | None, b"", None),
        (Struct | None, b"", None),
        (None, b"", None),
        (date, b'"2024-05-01"', date(2024, 5, 1)),
        (date, b"2024-05-01", date(2024, 5, 1)),
        (date | None, b"", None),
        (Literal["a"], b"a", "a"),
        (Colour, b"red", Colour.RED),
        (int | str, b"five", "five"),
        (int | str, b"5", 5),
        (Any, b"[1]", [1]),
        (MISSING, b"text", "text"),
        (NoCast[User], b'{"z":1}', {"z": 1}),
        (NoCast[Colour], b"blue", "blue"),
    ],
)
def test_the_annotation_decides_how_a_body_is_read(annotation: Any, body: bytes, value: Any) -> None:
    assert read(annotation, body) == value


@pytest.mark.parametrize(
    ("annotation", "body", "content_type", "value"),
    [
        (int | str, b"5", TEXT, "5"),
        (int | str, b"5", JSON, 5),
        (int | str, b'"5"', JSON, "5"),
        (UUID, b"00000000-0000-0000-0000-000000000001", TEXT, UUID(int=1)),
        (str, b'"5"', JSON, '"5"'),
        (bytes, b"[1]", JSON, b"[1]"),
    ],
)
def test_the_content_type_decides_where_the_annotation_leaves_it_open(
    annotation: Any, body: bytes, content_type: str, value: Any
) -> None:
    assert read(annotation, body, content_type) == value


@pytest.mark.parametrize("annotation", [User, Point, int, Struct, bytes, str, User | None])
def test_the_body_alone_is_enough_where_it_cannot_be_text(annotation: Any) -> None:
    assert reader_for(annotation).read_body is not None


@pytest.mark.parametrize("annotation", [Any, MISSING, int | str, date])
def test_the_content_type_has_a_say_where_it_may_be_text(annotation: Any) -> None:
    assert reader_for(annotation).read_body is None


def test_bytes_cost_no_call() -> None:
    assert reader_for(bytes).read_body is untouched


@pytest.mark.parametrize(
    ("annotation", "body", "value"),
    [
        (User, b'{"username":1}', {"username": 1}),
        (User, b"", None),
        (int | str, b"five", "five"),
        (bytes, b"123", b"123"),
        (str, b"123", "123"),
        (Annotated[str, Field(min_length=9)], b"123", "123"),
    ],
)
def test_without_validation_only_the_form_counts(annotation: Any, body: bytes, value: Any) -> None:
    assert read(annotation, body, validate=False) == value


@pytest.mark.parametrize(
    ("annotation", "body", "problem"),
    [
        (
            User,
            b'{"username":"n","userId":"x"}',
            FieldError("p", "userId", "Input should be a valid integer"),
        ),
        (User, b'{"username":"n"}', FieldError("p", "userId", "Field required")),
        (list[Point], b'[{"x":"a"}]', FieldError("p", "0.x", "Input should be a valid integer")),
        (Struct, b'{"x":"a"}', FieldError("p", "x", "Expected `int`, got `str`")),
        (Struct, b"{}", FieldError("p", "", "Object missing required field `x`")),
        (User, b"", FieldError("p", "", "Invalid JSON: EOF")),
        (str, b"\xff", FieldError("p", "", "not UTF-8 text: invalid start byte")),
    ],
)
def test_an_error_names_the_field_and_no_value(annotation: Any, body: bytes, problem: FieldError) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        read(annotation, body)
    (found,) = field_errors(caught.value, "p")
    assert (found.parameter, found.field) == (problem.parameter, problem.field)
    assert found.problem.startswith(problem.problem)


def fields(**given: Any) -> dict[str, tuple[Any, Any]]:
    return {name: each if isinstance(each, tuple) else (each, MISSING) for name, each in given.items()}


def test_fields_of_an_object_come_in_the_order_asked_for() -> None:
    read_fields = fields_reader(fields(user_id=int, username=str, when=(date | None, None)))
    assert read_fields(b'{"username":"n","user_id":"1","more":true}') == (1, "n", None)
    assert read_fields({"username": "n", "user_id": 1}) == (1, "n", None)


def test_fields_may_be_of_every_kind_at_once() -> None:
    read_fields = fields_reader(
        fields(
            model=User,
            struct=Struct,
            structs=list[Struct],
            anything=MISSING,
            exempt=NoCast[int],
            bounded=(int, Field(3, gt=1)),
            listed=(list[int], [1]),
        )
    )
    body = (
        b'{"model":{"username":"n","userId":1},"struct":{"x":1},"structs":[{"x":2}],'
        b'"anything":[1],"exempt":"a"}'
    )
    assert read_fields(body) == (USER, Struct(1), [Struct(2)], [1], "a", 3, [1])


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a":1}', [FieldError("b", "", "Field required")]),
        (b'{"a":"x","b":{"x":"y"}}', [FieldError("a", "", "Input"), FieldError("b", "x", "Input")]),
        (b'"xy"', [FieldError("", "", "Input should be an object")]),
        (b"[1,2]", [FieldError("", "", "Input should be an object")]),
        (b"", [FieldError("", "", "Invalid JSON")]),
    ],
)
def test_a_wrong_object_is_an_error_that_names_each_parameter(body: bytes, found: list[FieldError]) -> None:
    read_fields = fields_reader(fields(a=int, b=Point))
    with pytest.raises(ValueError, match=r".") as caught:
        read_fields(body)
    errors = field_errors(caught.value, None)
    assert [(each.parameter, each.field) for each in errors] == [
        (each.parameter, each.field) for each in found
    ]
    assert all(mine.problem.startswith(theirs.problem) for mine, theirs in zip(errors, found, strict=True))


def test_a_struct_among_several_fields_names_its_parameter() -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        fields_reader(fields(a=int, b=Struct))(b'{"a":1,"b":{"x":"y"}}')
    (error,) = field_errors(caught.value, None)
    assert error.parameter == "b"
    assert "Expected `int`" in error.problem


def test_an_empty_body_is_an_object_without_fields_where_all_have_defaults() -> None:
    assert fields_reader(fields(a=(int, 1), b=(str, "x")))(b"") == (1, "x")
    assert fields_reader(fields(a=(int, 1), b=(str, "x")), validate=False)(b"") == (1, "x")


def test_fields_without_validation_are_as_json_has_them() -> None:
    read_fields = fields_reader(fields(a=int, b=(Point, None)), validate=False)
    assert read_fields(b'{"a":"x"}') == ("x", None)
    with pytest.raises(ValueError, match="Field required") as caught:
        read_fields(b"{}")
    assert field_errors(caught.value, None) == (FieldError("a", "", "Field required"),)
    with pytest.raises(ValueError, match="a JSON object with the fields a, b is needed"):
        read_fields(b'"xy"')


@pytest.mark.parametrize(
    ("annotation", "value", "result"),
    [(int, "5", 5), (Struct, {"x": "1"}, Struct(1)), (date | None, None, None)],
)
def test_decoded_values_are_cast(annotation: Any, value: Any, result: Any) -> None:
    cast = caster_for(annotation)
    assert cast is not None
    assert cast(value) == result


@pytest.mark.parametrize("annotation", [Any, MISSING, NoCast[int]])
def test_some_decoded_values_stay_as_they_are(annotation: Any) -> None:
    assert caster_for(annotation) is None


def test_a_type_that_nobody_can_validate_is_refused_by_name() -> None:
    class Opaque:
        pass

    with pytest.raises(
        SetupError, match="pydantic cannot validate Opaque: Unable to generate pydantic-core schema"
    ):
        reader_for(Opaque)


def test_without_validation_pydantic_is_not_needed() -> None:
    code = """
import sys
sys.modules["pydantic"] = sys.modules["pydantic_core"] = None
from tidings.messaging.bodies.codec import encode
from tidings.messaging.errors import SetupError
from tidings.messaging.bodies.validation import reader_for
assert encode({"a": "ü"}) == ('{"a":"ü"}'.encode(), "application/json")
assert reader_for(dict, validate=False).read(b'{"a":1}', "") == {"a": 1}
try:
    reader_for(dict)
except SetupError as error:
    assert "install tidings[services]" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
