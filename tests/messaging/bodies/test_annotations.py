"""What an annotation says about the body it is read from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel, Field, RootModel

from tidings.messaging.bodies.annotations import (
    is_exempt,
    is_untyped,
    may_be_text,
    members_of,
    mentions_struct,
    plain_type,
)
from tidings.messaging.params import MISSING, NoCast


class Model(BaseModel):
    x: int


class Text(RootModel[str]):
    pass


@dataclass
class Point:
    x: int


class Typed(TypedDict):
    x: int


class Pair(NamedTuple):
    x: int


class Struct(msgspec.Struct):
    x: int


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


UserId = NewType("UserId", str)


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        float,
        bool,
        list[str],
        dict[str, Any],
        tuple[int, str],
        Mapping[str, int],
        Iterable[int],
        Model,
        Point,
        Typed,
        Pair,
        Struct,
        Level,
        None,
        Model | Point,
        Annotated[int, Field(gt=1)],
    ],
)
def test_what_is_never_text(annotation: Any) -> None:
    assert not may_be_text(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        bytes,
        UserId,
        int | str,
        Model | None | UUID,
        datetime,
        UUID,
        Colour,
        Literal["a", 1],
        Text,
        Any,
    ],
)
def test_what_may_be_text(annotation: Any) -> None:
    assert may_be_text(annotation)


def test_a_type_is_found_under_its_wrappings() -> None:
    assert plain_type(Annotated[UserId, "x"]) is str
    assert members_of(Annotated[Optional[Annotated[int, "x"] | str], "y"]) == (  # noqa: UP045
        int,
        str,
        type(None),
    )


def test_structs_are_found_wherever_they_stand() -> None:
    assert mentions_struct(dict[str, list[Struct | None]])
    assert not mentions_struct(dict[str, list[Model]])


def test_what_is_not_to_be_validated() -> None:
    assert is_untyped(MISSING)
    assert is_untyped(Any)
    assert is_untyped(object)
    assert not is_untyped(None)
    assert is_exempt(NoCast[Model])
    assert not is_exempt(Model)
