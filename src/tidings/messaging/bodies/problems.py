"""What a library or a decoder found wrong, said without the values that it found."""

import re
from collections.abc import Iterable
from typing import Any, cast

from ..errors import FieldError

__all__ = ["field_errors"]

_LONGEST = 200  # characters of a problem and of a field's path: what a sender chose may be of any length
_MOST = 100  # problems of one body that are kept

# "Input tag 'x' found using 'kind' does not match any of the expected tags: 'cat', 'dog'"
_TAG = re.compile(r"^Input tag '.*' found using (.*?) does not match", re.DOTALL)
# "Invalid value 'x'", "Invalid enum value 'x'"
_VALUE = re.compile(r"^(Invalid (?:enum )?value)\b.*", re.DOTALL)
# "PydanticSerializationUnexpectedValue(Expected `int` - serialized … [field_name='x', input_value='s', …])"
_UNEXPECTED = re.compile(r"UnexpectedValue\((Expected .*?) - serialized [^\[]*\[(?:field_name='(\w*)')?")

Found = tuple[tuple[str, ...], str]
"""The levels of a field and its problem."""


def field_errors(error: Exception, parameter: str | None = "") -> tuple[FieldError, ...]:
    """What is wrong with a value, field by field.

    Args:
        error: of pydantic, msgspec or a decoder.
        parameter: whose value was read; None where each top-level field is a parameter.
    """
    errors = []
    for levels, problem in _found_by(error):
        name, rest = ("".join(levels[:1]), levels[1:]) if parameter is None else (parameter, levels)
        errors.append(FieldError(_short(name), _short(".".join(rest)), _short(problem)))
    return tuple(errors)


def _found_by(error: Exception) -> Iterable[Found]:
    errors_of: Any = getattr(error, "errors", None)
    if callable(errors_of):  # pydantic's
        details = cast(list[Any], errors_of(include_url=False, include_input=False, include_context=False))
        return [
            (tuple(map(str, each["loc"])), _TAG.sub(r"The tag \1 does not match", each["msg"]))
            for each in details[:_MOST]
        ]
    text = str(error)
    if type(error).__name__ == "PydanticSerializationError":
        return _not_of_its_fields(text)
    if isinstance(error, UnicodeError):
        return [((), f"not UTF-8 text: {error.reason}" if isinstance(error, _NOT_UTF8) else "not UTF-8 text")]
    if type(error).__module__ == "msgspec" or type(error) is ValueError:
        # "Expected `int`, got `str` - at `$.user_id`", and ours in its manner
        problem, _, where = text.partition(" - at `$")
        levels = tuple(level for level in re.split(r"[.\[\]]+", where.rstrip("`")) if level)
        return [(levels, _VALUE.sub(r"\1", problem) or type(error).__name__)]
    return [((), f"{type(error).__name__}: {text}" if text else type(error).__name__)]


_NOT_UTF8 = (UnicodeDecodeError, UnicodeEncodeError)


def _not_of_its_fields(text: str) -> list[Found]:
    """What pydantic says of an object whose fields are not what they were declared; with their values."""
    found: list[Found] = []
    for problem, name in _UNEXPECTED.findall(text)[:_MOST]:
        found.append(((name,) if name else (), problem))
    return found or [((), text.partition("\n")[0])]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
