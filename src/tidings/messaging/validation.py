"""Bodies to values of an annotation, and results back, through the guests: pydantic and msgspec.

The annotation decides who reads a body:

====================================  =======================================================
annotation                            how the body is read
====================================  =======================================================
bytes                                 untouched
str                                   as UTF-8 text, never as JSON
what has a msgspec.Struct in it       by msgspec
a model, dataclass, TypedDict, list,  by pydantic, from the bytes to the value in one step
dict, number, bool …
what may be a JSON string (a date,    by pydantic; as text when the content type says so, or
an enum, `str | int` …)               when it says nothing and the body is not JSON
none, Any, NoCast[…]                  see `codec.decode_any`
====================================  =======================================================

An empty body is None where the annotation admits None.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

from .annotations import (
    is_exempt,
    is_untyped,
    may_be_text,
    members_of,
    mentions_struct,
    name_of,
)
from .codec import JSON, Encoded, decode_any, encode, from_json, is_json, is_text
from .errors import FieldError, ResultError, SetupError
from .params import MISSING

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "Reader",
    "caster_for",
    "encoder_for",
    "field_errors",
    "fields_reader",
    "fields_schema",
    "reader_for",
    "schema_of",
    "untouched",
]


@dataclass(frozen=True, slots=True)
class Reader:
    """How a body becomes a value.

    Attributes:
        read: of the body and its content type, empty when unknown.
        read_body: of the body alone; None where the content type has a say.
    """

    read: Callable[[bytes, str], Any]
    read_body: Callable[[bytes], Any] | None = None


def untouched(body: bytes) -> bytes:
    """The body as it came. A plan knows this function and leaves the call out."""
    return body


def reader_for(annotation: Any, *, validate: bool = True) -> Reader:
    """How a body becomes a value of `annotation`. SetupError where that cannot be."""
    if is_untyped(annotation):
        return Reader(decode_any)
    members = set(members_of(annotation))
    optional = type(None) in members
    if members <= {bytes, type(None)}:
        return _of_body(_bytes_reader(annotation, validate), optional)
    if members <= {str, type(None)}:
        return _of_body(_text_reader(annotation, validate), optional)
    if not validate or is_exempt(annotation):
        return Reader(decode_any) if may_be_text(annotation) else _of_body(from_json, optional=True)
    if mentions_struct(annotation):
        return _of_body(_msgspec().json.Decoder(annotation).decode, optional)
    adapter = _adapter(annotation)
    if may_be_text(annotation):
        return Reader(_json_or_text(adapter, optional))
    return _of_body(adapter.validator.validate_json, optional)


def _of_body(read_body: Callable[[bytes], Any], optional: bool) -> Reader:
    if not optional:
        return Reader(lambda body, _: read_body(body), read_body)

    def read_or_none(body: bytes) -> Any:
        return read_body(body) if body else None

    return Reader(lambda body, _: read_or_none(body), read_or_none)


def _bytes_reader(annotation: Any, validate: bool) -> Callable[[bytes], Any]:
    if annotation is bytes or not validate:
        return untouched
    return _adapter(annotation).validator.validate_python


def _text_reader(annotation: Any, validate: bool) -> Callable[[bytes], Any]:
    if annotation is str or not validate:
        return bytes.decode
    check = _adapter(annotation).validator.validate_python
    return lambda body: check(body.decode())


def _json_or_text(adapter: "TypeAdapter[Any]", optional: bool) -> Callable[[bytes, str], Any]:
    of_json, of_python = adapter.validator.validate_json, adapter.validator.validate_python

    def read(body: bytes, content_type: str) -> Any:
        if optional and not body:
            return None
        if is_text(content_type):
            return of_python(body.decode())
        if not is_json(content_type):
            try:
                from_json(body)
            except ValueError:
                return of_python(body.decode())
        return of_json(body)

    return read


def fields_reader(
    fields: Mapping[str, tuple[Any, Any]], *, validate: bool = True
) -> Callable[[Any], tuple[Any, ...]]:
    """How a JSON object becomes one value for each field, in their order.

    Args:
        fields: each name with its annotation and its default, MISSING for none.
        validate: False to take the fields as JSON has them.

    Returns:
        A function of a body, or of the mapping that a decoder made of it.
    """
    empty = b"{}" if all(default is not MISSING for _, default in fields.values()) else b""
    if not validate:
        defaults = {name: default for name, (_, default) in fields.items()}
        return lambda body: _unvalidated_fields(body, defaults, empty)
    try:
        validator = _adapter(_fields_class(fields)).validator
    except SetupError:
        for annotation, _ in fields.values():
            _adapter(_for_pydantic(annotation))  # that of the field at fault says more
        raise
    of_json, of_python = validator.validate_json, validator.validate_python
    values = attrgetter(*fields)

    def read(body: Any) -> tuple[Any, ...]:
        found = of_json(body or empty) if isinstance(body, bytes) else of_python(body)
        return values(found)

    return read


def _fields_class(fields: Mapping[str, tuple[Any, Any]]) -> type:
    return dataclasses.make_dataclass(
        "Payload",
        [
            (name, _for_pydantic(annotation), _dataclass_field(default))
            for name, (annotation, default) in fields.items()
        ],
        kw_only=True,
    )


def _for_pydantic(annotation: Any) -> Any:
    """The annotation as pydantic is to see it: structs go through msgspec, untyped ones pass."""
    if is_untyped(annotation) or is_exempt(annotation):
        return Any
    if mentions_struct(annotation):
        from pydantic import PlainValidator

        return Annotated[Any, PlainValidator(_required(caster_for(annotation)))]
    return annotation


def _required(caster: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    assert caster is not None
    return caster


def _dataclass_field(default: Any) -> Any:
    if default is MISSING:
        return dataclasses.field()
    if type(default).__hash__ is None:  # a list, as a function's default may be one
        return dataclasses.field(default_factory=lambda: default)
    return dataclasses.field(default=default)


def _unvalidated_fields(body: Any, defaults: Mapping[str, Any], empty: bytes) -> tuple[Any, ...]:
    found = from_json(body or empty) if isinstance(body, bytes) else body
    if not isinstance(found, Mapping):
        raise ValueError(f"a JSON object with the fields {', '.join(defaults)} is needed")
    for name, default in defaults.items():
        if default is MISSING and name not in found:
            raise ValueError(f"Field required - at `$.{name}`")
    return tuple(found.get(name, default) for name, default in defaults.items())


def caster_for(annotation: Any) -> Callable[[Any], Any] | None:
    """How a decoded value (a header's text, a decoder's result) becomes one of `annotation`.

    None where it stays as it is.
    """
    if is_untyped(annotation) or is_exempt(annotation):
        return None
    if mentions_struct(annotation):
        convert = _msgspec().convert
        return lambda value: convert(value, annotation, strict=False)
    return _adapter(annotation).validator.validate_python


def encoder_for(
    annotation: Any, *, validate: bool = True, encoder: Callable[[Any], Encoded] | None = None
) -> Callable[[Any], Encoded]:
    """How a result of `annotation` becomes a body and its content type.

    Args:
        annotation: what the function returns; MISSING for none.
        validate: False to take the result as it is.
        encoder: writes the body in the place of JSON and text.

    Returns:
        A function, which raises ResultError for a result that is not of `annotation`.
    """
    if not validate or is_untyped(annotation) or is_exempt(annotation) or annotation is None:
        return encoder or encode
    check, dump = (_struct_codec if mentions_struct(annotation) else _pydantic_codec)(annotation)
    is_json = isinstance(annotation, type) and not issubclass(annotation, (bytes, str))
    as_it_is = annotation if is_json and encoder is None else None

    def encode_result(value: Any) -> Encoded:
        try:
            if type(value) is as_it_is:
                return dump(value), JSON
            value = check(value)
            if encoder is not None:
                return encoder(value)
            return encode(value) if isinstance(value, (bytes, str)) else (dump(value), JSON)
        except Exception as error:
            problems = "; ".join(str(problem) for problem in field_errors(error))
            raise ResultError(f"the result is not of {name_of(annotation)}: {problems}") from error

    return encode_result


Check = Callable[[Any], Any]
Dump = Callable[[Any], bytes]


def _struct_codec(annotation: Any) -> tuple[Check, Dump]:
    msgspec = _msgspec()
    return (
        lambda value: msgspec.convert(value, annotation, from_attributes=True),
        msgspec.json.Encoder().encode,
    )


def _pydantic_codec(annotation: Any) -> tuple[Check, Dump]:
    adapter = _adapter(annotation)
    return adapter.validator.validate_python, partial(adapter.serializer.to_json, by_alias=True)


def schema_of(annotation: Any, *, of_result: bool = False) -> dict[str, Any] | None:
    """The JSON schema of a body that is read as, or with `of_result` made from, an `annotation`.

    None where nothing is known of it: bytes, what is not annotated, and what has no JSON form.
    """
    members = set(members_of(annotation))
    if is_untyped(annotation) or is_exempt(annotation) or members & {bytes} or members == {type(None)}:
        return None
    if mentions_struct(annotation):
        try:
            schema: dict[str, Any] = _msgspec().json.schema(annotation)
        except TypeError:
            return None
        return schema
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        return _adapter(annotation).json_schema(mode="serialization" if of_result else "validation")
    except PydanticInvalidForJsonSchema:
        return None


def fields_schema(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Any] | None:
    """The JSON schema of an object that has a field for each parameter, as `fields_reader` reads it."""
    schema = schema_of(_fields_class(fields))
    return None if schema is None else {key: value for key, value in schema.items() if key != "title"}


def field_errors(error: Exception, parameter: str | None = "") -> tuple[FieldError, ...]:
    """What a validating library found wrong, without the values it found.

    Args:
        error: the library's.
        parameter: whose value was read; None where each top-level field is a parameter.
    """
    found: Iterable[tuple[tuple[str, ...], str]]
    errors_of: Any = getattr(error, "errors", None)
    if errors_of is not None:  # pydantic's
        details: list[Any] = errors_of(include_url=False, include_input=False, include_context=False)
        found = ((tuple(str(level) for level in each["loc"]), each["msg"]) for each in details)
    else:  # msgspec's: "Expected `int`, got `str` - at `$.user_id`", and ours in its manner
        problem, _, where = str(error).partition(" - at `$")
        levels = tuple(level for level in where.rstrip("`").split(".") if level)
        found = [(levels, problem or type(error).__name__)]
    if parameter is None:
        return tuple(
            FieldError("".join(levels[:1]), ".".join(levels[1:]), problem) for levels, problem in found
        )
    return tuple(FieldError(parameter, ".".join(levels), problem) for levels, problem in found)


def _adapter(annotation: Any) -> "TypeAdapter[Any]":
    try:
        from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter
    except ImportError:
        raise SetupError(
            "validation needs pydantic: install tidings[services], or turn validation off with validate=False"
        ) from None
    try:
        return TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise SetupError(f"pydantic cannot validate {name_of(annotation)}: {reason}") from error


def _msgspec() -> Any:
    import msgspec

    return msgspec
