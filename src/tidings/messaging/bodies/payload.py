"""How the parameters that ask for nothing else get their values from a message's body.

One such parameter gets the whole body, several get the fields of a JSON object, by their names.
Those of the dependencies count too: a handler's and its dependencies' `order: Order` are the same.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import isawaitable, signature
from typing import Any

from ..endpoints import Decode
from ..errors import FieldError, SetupError, ValidationError
from ..message import Message
from ..params import MISSING
from ..plans.signature import Parameter
from .codec import decode_any, is_json, is_text
from .problems import field_errors
from .validation import caster_for, fields_reader, reader_for

__all__ = ["Payload", "payload_for", "whole_decoder"]

Values = Callable[[Any], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Payload:
    """How a body becomes the values of some parameters.

    Attributes:
        channel: where the messages come from, for errors.
        names: the parameters.
        read: the values of a message, in the order of the names. Raises ValidationError.
        read_body: the value, of several parameters a tuple, from the body alone; None where more
            than that has a say. Raises anything, which `invalid` turns into a ValidationError.
        decode: the values of a message by a decoder, which stands in the place of `read`; None for none.
            Raises ValidationError.
    """

    channel: str
    names: tuple[str, ...]
    read: Callable[[Message[Any]], Sequence[Any]]
    read_body: Callable[[bytes], Any] | None = None
    decode: Callable[[Message[Any]], Awaitable[Sequence[Any]]] | None = None

    def invalid(self, error: Exception, message: Message[Any]) -> ValidationError:
        """The error of a reader as one that says where the payload is wrong."""
        parameter = self.names[0] if len(self.names) == 1 else None
        errors = field_errors(error, parameter)
        content_type = message.content_type
        if content_type and self.decode is None and not is_json(content_type) and not is_text(content_type):
            why = f"its content type is {content_type[:_SHOWN]!r}, for which the subscriber needs a decoder"
            errors = (*errors, FieldError("", "", why))
        return ValidationError(self.channel, errors)


_SHOWN = 60  # characters of a content type


def payload_for(
    parameters: Iterable[Parameter], channel: str, *, validate: bool, decoder: Decode | None
) -> Payload:
    """How the payload parameters of a handler and its dependencies get their values.

    Raises:
        SetupError: two of a name ask for different things, or a type cannot be validated.
    """
    distinct: dict[str, Parameter] = {}
    for each in parameters:
        known = distinct.setdefault(each.name, each)
        if (known.annotation, known.default) != (each.annotation, each.default):
            raise SetupError(
                f"two parameters named {each.name!r} ask for different parts of the payload of "
                f"{channel!r}: annotate them alike, or name them apart"
            )
    found = tuple(distinct.values())
    try:
        if not found:
            return Payload(channel, (), lambda message: ())
        return (_whole if len(found) == 1 else _fields)(found, channel, validate, decoder)
    except SetupError as error:
        names = ", ".join(repr(each.name) for each in found)
        raise SetupError(
            f"the payload of {channel!r} cannot be read into {names}: {error}. What is not payload "
            "needs a marker: Depends, Context, Header or Path"
        ) from error.__cause__


def _whole(found: tuple[Parameter, ...], channel: str, validate: bool, decoder: Decode | None) -> Payload:
    (parameter,) = found
    if decoder is not None:
        return _decoded(decoder, _whole_caster(parameter, validate), found, channel)
    reader, default = reader_for(parameter.annotation, validate=validate), parameter.default

    def read(message: Message[Any]) -> Sequence[Any]:
        body = message.body
        if not body and default is not MISSING:
            return (default,)
        try:
            # The content type costs a look into the headers, so only who asks for it pays.
            if reader.read_body is not None:
                return (reader.read_body(body),)
            return (reader.read(body, message.content_type),)
        except Exception as error:
            raise payload.invalid(error, message) from error

    names = (parameter.name,)
    payload = Payload(channel, names, read, reader.read_body if default is MISSING else None)
    return payload


def _whole_caster(parameter: Parameter, validate: bool) -> Values:
    cast = caster_for(parameter.annotation) if validate else None
    return lambda value: (value,) if cast is None else (cast(value),)


def _fields(found: tuple[Parameter, ...], channel: str, validate: bool, decoder: Decode | None) -> Payload:
    fields = {each.name: (each.annotation, each.default) for each in found}
    read_body: Values = fields_reader(fields, validate=validate)
    if decoder is not None:
        return _decoded(decoder, read_body, found, channel)

    def read(message: Message[Any]) -> Sequence[Any]:
        try:
            return read_body(message.body)
        except Exception as error:
            raise payload.invalid(error, message) from error

    payload = Payload(channel, tuple(fields), read, read_body)
    return payload


def _decoded(decoder: Decode, values: Values, found: tuple[Parameter, ...], channel: str) -> Payload:
    call = whole_decoder(decoder)

    async def decode(message: Message[Any]) -> Sequence[Any]:
        try:
            value = call(message)
            return values(await value if isawaitable(value) else value)
        except Exception as error:
            raise payload.invalid(error, message) from error

    def read(message: Message[Any]) -> Sequence[Any]:
        raise AssertionError("a decoder is awaited")

    payload = Payload(channel, tuple(each.name for each in found), read, decode=decode)
    return payload


def whole_decoder(decoder: Decode) -> Callable[[Message[Any]], Any]:
    """A decoder that takes the message alone; one that asks for more gets what would read it otherwise."""
    call: Callable[..., Any] = decoder
    try:
        signature(call).bind(None)
    except TypeError:
        return lambda message: call(message, _decode_by_default)
    except ValueError:
        pass  # a builtin that does not say what it takes
    return call


async def _decode_by_default(message: Message[Any]) -> Any:
    return decode_any(message.body, message.content_type)
