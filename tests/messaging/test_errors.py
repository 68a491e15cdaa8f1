"""The framework's errors."""

import pytest

from tidings.messaging import errors
from tidings.messaging.errors import FieldError, RemoteError, TidingsError, ValidationError


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "FieldError"])
def test_every_error_has_the_one_root(name: str) -> None:
    assert issubclass(getattr(errors, name), TidingsError)


def test_a_validation_error_names_channel_parameter_and_field() -> None:
    error = ValidationError("in", (FieldError("user", "address.zip", "wrong"), FieldError("", "", "odd")))
    assert str(error) == "message of 'in': parameter 'user', field 'address.zip': wrong; odd"
    assert isinstance(error, ValueError)


def test_a_validation_error_of_many_fields_stays_short() -> None:
    error = ValidationError("in", tuple(FieldError("x", str(number), "wrong") for number in range(1000)))
    assert str(error).endswith("field '4': wrong; and 995 more")
    assert len(error.errors) == 1000


def test_a_remote_error_has_a_code_and_a_description() -> None:
    error = RemoteError("404", "no such user")
    assert (error.code, error.description, str(error)) == ("404", "no such user", "404: no such user")
