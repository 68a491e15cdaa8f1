"""Bodies to values of an annotation, through the guests: pydantic and msgspec.

The annotation decides who reads a body:

====================================  =======================================================
annotation                            how the body is read
====================================  =======================================================
bytes, bytearray, memoryview          untouched
str                                   as UTF-8 text, never as JSON
what has a msgspec.Struct in it       by msgspec
a model, dataclass, TypedDict, list,  by pydantic, from the bytes to the value in one step
dict, number, bool …
what may be a JSON string (a date,    by pydantic; as text when the content type says so, or
an enum, `str | int` …)               when it says nothing and the body is not JSON
a union with bytes                    as the rest of the union, or else untouched
none, Any, NoCast[…]                  see `codec.decode_any`
====================================  =======================================================

An empty body is None where the annotation admits None.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

from ..errors import SetupError
from ..params import MISSING
from .annotations import RAW, is_exempt, is_untyped, may_be_text, members_of, mentions_struct, without
from .codec import decode_any, from_json, is_json, is_text
from .guests import adapter_of, msgspec_for

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["Reader", "caster_for", "fields_reader", "fields_schema", "reader_for", "schema_of", "untouched"]


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
    for raw in RAW:
        if members - {type(None)} == {raw}:
            return _of_body(raw, optional)
    if members <= {bytes, type(None)}:
        return _of_body(_bytes_reader(annotation, validate), optional)
    if bytes in members:
        return _or_untouched(reader_for(without(annotation, bytes), validate=validate))
    if members <= {str, type(None)}:
        return _of_body(_text_reader(annotation, validate), optional)
    if not validate or is_exempt(annotation):
        return Reader(decode_any) if may_be_text(annotation) else _of_body(from_json, optional=True)
    if mentions_struct(annotation):
        return _of_body(msgspec_for(annotation).json.Decoder(annotation).decode, optional)
    adapter = adapter_of(annotation)
    if may_be_text(annotation):
        return Reader(_json_or_text(adapter, optional))
    return _of_body(adapter.validator.validate_json, optional)


def _of_body(read_body: Callable[[bytes], Any], optional: bool) -> Reader:
    if not optional:
        return Reader(lambda body, _: read_body(body), read_body)

    def read_or_none(body: bytes) -> Any:
        return read_body(body) if body else None

    return Reader(lambda body, _: read_or_none(body), read_or_none)


def _or_untouched(others: Reader) -> Reader:
    def read(body: bytes, content_type: str) -> Any:
        try:
            return others.read(body, content_type)
        except Exception:
            return body

    return Reader(read)


def _bytes_reader(annotation: Any, validate: bool) -> Callable[[bytes], Any]:
    if annotation is bytes or not validate:
        return untouched
    return adapter_of(annotation).validator.validate_python


def _text_reader(annotation: Any, validate: bool) -> Callable[[bytes], Any]:
    if annotation is str or not validate:
        return bytes.decode
    check = adapter_of(annotation).validator.validate_python
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
        validator = adapter_of(_fields_class(fields)).validator
    except SetupError:
        for annotation, _ in fields.values():
            adapter_of(_for_pydantic(annotation))  # that of the field at fault says more
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
        namespace={"__pydantic_config__": {"allow_inf_nan": False}},
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
        convert = msgspec_for(annotation).convert
        return lambda value: convert(value, annotation, strict=False)
    return adapter_of(annotation).validator.validate_python


def schema_of(annotation: Any, *, of_result: bool = False) -> dict[str, Any] | None:
    """The JSON schema of a body that is read as, or with `of_result` made from, an `annotation`.

    None where nothing is known of it: bytes, what is not annotated, and what has no JSON form.
    """
    members = set(members_of(annotation))
    if is_untyped(annotation) or is_exempt(annotation) or members & {bytes, *RAW} or members == {type(None)}:
        return None
    if mentions_struct(annotation):
        try:
            schema: dict[str, Any] = msgspec_for(annotation).json.schema(annotation)
        except TypeError:
            return None
        return schema
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        return adapter_of(annotation).json_schema(mode="serialization" if of_result else "validation")
    except PydanticInvalidForJsonSchema:
        return None


def fields_schema(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Any] | None:
    """The JSON schema of an object that has a field for each parameter, as `fields_reader` reads it."""
    schema = schema_of(_fields_class(fields))
    return None if schema is None else {key: value for key, value in schema.items() if key != "title"}
