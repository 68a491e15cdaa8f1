"""What a handler returns, or a publisher publishes, to bodies: checked by the annotation, then written."""

from collections.abc import Callable
from typing import Any, TypeAlias

from ..errors import PublishError, ResultError
from .annotations import RAW, is_exempt, is_untyped, mentions_struct, name_of
from .codec import JSON, Encoded, checked, encode
from .dumping import strict_dump
from .guests import adapter_of, msgspec_for
from .problems import field_errors

__all__ = ["encoder_for"]

Encoder: TypeAlias = Callable[[Any], Encoded]
Check: TypeAlias = Callable[[Any], Any]
Dump: TypeAlias = Callable[[Any], bytes]

_AS_IT_IS = (bytes, str, *RAW)


def encoder_for(
    annotation: Any,
    *,
    validate: bool = True,
    encoder: Encoder | None = None,
    what: str = "the result",
    failure: type[ResultError | PublishError] = ResultError,
) -> Encoder:
    """How a value of `annotation` becomes a body and its content type.

    A model or a dataclass that already is one is not validated again: its fields are compared with what they
    are declared to be as they are written. A `msgspec.Struct` is written as it is.

    Args:
        annotation: what a function returns; MISSING for none.
        validate: False to take the value as it is.
        encoder: writes the body in the place of JSON and text.
        what: what to call the value in an error.
        failure: what is raised.

    Returns:
        A function, which raises `failure` for a value that is not of `annotation`, or that cannot be written.

    Raises:
        SetupError: nobody can validate the annotation.
    """
    write = encode if encoder is None else checked(encoder)
    if not validate or is_untyped(annotation) or is_exempt(annotation) or annotation is None:
        return _written(write, what, failure)
    if annotation is bytes and encoder is None:
        return _of_bytes(what, failure)
    check, dump = (_struct_codec if mentions_struct(annotation) else _pydantic_codec)(annotation)
    is_object = isinstance(annotation, type) and not issubclass(annotation, _AS_IT_IS)
    exact = annotation if is_object and encoder is None else None

    def encode_result(value: Any) -> Encoded:
        try:
            if type(value) is exact:
                return dump(value), JSON
            value = check(value)
            if encoder is not None or isinstance(value, _AS_IT_IS):
                return write(value)
            return dump(value), JSON
        except PublishError as error:
            raise failure(f"{what}: {error}") from error
        except Exception as error:
            problems = "; ".join(str(problem) for problem in field_errors(error))
            # From none, since that error tells the value to whoever logs this one.
            raise failure(f"{what} is not of {name_of(annotation)}: {problems}") from None

    return encode_result


def _written(write: Encoder, what: str, failure: type[Exception]) -> Encoder:
    def encode_untyped(value: Any) -> Encoded:
        try:
            return write(value)
        except PublishError as error:
            raise failure(f"{what}: {error}") from error

    return encode_untyped


def _of_bytes(what: str, failure: type[Exception]) -> Encoder:
    write = _written(encode, what, failure)

    def encode_bytes(value: Any) -> Encoded:
        if isinstance(value, bytes):
            return value, ""
        if isinstance(value, _AS_IT_IS):
            return write(value)[0], ""
        raise failure(f"{what} is not of bytes: it is of {name_of(type(value))}")

    return encode_bytes


def _struct_codec(annotation: Any) -> tuple[Check, Dump]:
    msgspec = msgspec_for(annotation)
    return (
        lambda value: msgspec.convert(value, annotation, from_attributes=True),
        msgspec.json.Encoder().encode,
    )


def _pydantic_codec(annotation: Any) -> tuple[Check, Dump]:
    adapter = adapter_of(annotation)
    return adapter.validator.validate_python, strict_dump(adapter.serializer)
