"""What is written strictly, whatever filters of warnings the process has."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticSerializationError

from tidings.messaging.bodies.dumping import strict_dump


class Reading(BaseModel):
    id: int


WRONG = Reading.model_construct(id="secret")


@pytest.fixture(autouse=True)
def filters() -> Iterator[None]:
    with warnings.catch_warnings():
        yield


@pytest.fixture
def dump() -> Callable[[Any], bytes]:
    return strict_dump(TypeAdapter(Reading).serializer)


def test_what_is_as_declared_is_written(dump: Callable[[Any], bytes]) -> None:
    assert dump(Reading(id=1)) == b'{"id":1}'


def first_of_all() -> None:
    assert warnings.filters[0][2] is UserWarning


def behind_another() -> None:
    warnings.simplefilter("ignore")


def gone() -> None:
    warnings.resetwarnings()


@pytest.mark.parametrize("prepare", [first_of_all, behind_another, gone])
def test_what_is_not_as_declared_is_refused(
    dump: Callable[[Any], bytes], prepare: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare()
    with pytest.raises(PydanticSerializationError, match="Expected `int`"):
        dump(WRONG)
    assert capsys.readouterr().err == ""


def test_there_is_one_filter_for_all_of_them() -> None:
    strict_dump(TypeAdapter(Reading).serializer)
    count = len(warnings.filters)
    strict_dump(TypeAdapter(int).serializer)
    assert len(warnings.filters) == count


def test_warnings_of_others_stay_what_they_are(dump: Callable[[Any], bytes]) -> None:
    with pytest.warns(UserWarning, match="Pydantic serializer warnings"):
        Reading.model_construct(id="x").model_dump_json()
