from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.nats.errors import Error
from tidings.nats.jetstream import errors
from tidings.nats.jetstream.errors import (
    ApiError,
    BadRequestError,
    ClusterError,
    ConsumerExistsError,
    ConsumerNotFoundError,
    InvalidConfigError,
    InvalidJsonError,
    InvalidResetError,
    LimitError,
    MessageNotFoundError,
    NotEnabledError,
    NotFoundError,
    StreamNameInUseError,
    StreamNotFoundError,
    StreamSealedError,
    SubjectsOverlapError,
    TooManyResultsError,
    WrongLastMsgIdError,
    WrongLastSequenceError,
    WrongStreamError,
    api_error,
)


@pytest.mark.parametrize(
    ("code", "err_code", "kind"),
    [
        (404, 10059, StreamNotFoundError),
        (404, 10014, ConsumerNotFoundError),
        (400, 10149, ConsumerNotFoundError),
        (404, 10037, MessageNotFoundError),
        (400, 10058, StreamNameInUseError),
        (400, 10148, ConsumerExistsError),
        (400, 10013, ConsumerExistsError),
        (503, 10039, NotEnabledError),
        (503, 10076, NotEnabledError),
        (400, 10071, WrongLastSequenceError),
        (400, 10164, WrongLastSequenceError),
        (400, 10070, WrongLastMsgIdError),
        (400, 10060, WrongStreamError),
        (400, 10025, InvalidJsonError),
        (500, 10052, InvalidConfigError),
        (500, 10012, InvalidConfigError),
        (400, 10094, InvalidConfigError),
        (400, 10065, SubjectsOverlapError),
        (400, 10109, StreamSealedError),
        (400, 10204, InvalidResetError),
        (400, 10026, LimitError),
        (503, 10077, LimitError),
        (429, 10167, LimitError),
        (503, 10008, ClusterError),
        (500, 10118, ClusterError),
        (404, 0, NotFoundError),
        (400, 19999, BadRequestError),
        (503, 19999, ClusterError),
        (413, 0, TooManyResultsError),
        (500, 19999, ApiError),
        (0, 0, ApiError),
    ],
)
def test_the_err_code_says_which_error_it_is_then_the_code(
    code: int, err_code: int, kind: type[ApiError]
) -> None:
    error = api_error({"code": code, "err_code": err_code, "description": "the text"})
    assert type(error) is kind
    assert (error.code, error.err_code, error.description) == (code, err_code, "the text")
    assert "the text" in str(error)
    assert str(err_code) in str(error)


@given(
    st.dictionaries(
        st.sampled_from(["code", "err_code", "description"]),
        st.none() | st.text("ab1", max_size=5) | st.floats(),
    )
)
def test_an_error_that_makes_no_sense_is_an_error_all_the_same(error: dict[str, Any]) -> None:
    assert isinstance(api_error(error), ApiError)


def test_each_err_code_stands_for_one_error() -> None:
    seen: dict[int, str] = {}
    for name in errors.__all__:
        for code in getattr(getattr(errors, name), "__dict__", {}).get("err_codes", ()):
            assert 10000 <= code < 20000
            assert code not in seen, f"{code} is {name} and {seen[code]}"
            seen[code] = name


def test_every_error_is_public_documented_and_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__
    for name in errors.__all__:
        value = getattr(errors, name)
        if isinstance(value, type):
            assert issubclass(value, Error)
            assert re.search(rf"\b{name}\b", errors.__doc__), name
            assert value.__doc__, name


def test_config_errors_are_value_errors() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.BadNameError, errors.ConfigError)
