"""Where the parameters with a marker get their values: functions of what they read from."""

from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any, TypeAlias

from .context import follow
from .errors import ContextError, FieldError, SetupError, ValidationError
from .message import Message
from .params import MISSING, ContextMarker, HeaderMarker, PathMarker
from .signature import Parameter
from .validation import caster_for, field_errors

__all__ = ["attribute_source", "context_source", "header_source", "path_source"]

Read: TypeAlias = Callable[[Message[Any]], Any]


def header_source(parameter: Parameter, marker: HeaderMarker, channel: str) -> Read:
    """Reads a header. ValidationError where it is missing or not of the annotation."""
    name = marker.name or parameter.name
    default = _default(parameter, marker.default)
    cast = _text_caster(parameter, channel)

    def read_header(message: Message[Any]) -> Any:
        text = message.headers.get(name)
        if text is not None:
            return text if cast is None else cast(text)
        if default is not MISSING:
            return default
        problem = FieldError(parameter.name, "", f"the header {name!r} is missing")
        raise ValidationError(channel, (problem,))

    return read_header


def path_source(parameter: Parameter, marker: PathMarker, channel: str, names: Collection[str]) -> Read:
    """Reads a named part of the address. SetupError where the address has no such part."""
    name = marker.name or parameter.name
    if name not in names:
        raise SetupError(
            f"parameter {parameter.name!r} asks for {{{name}}} of the address, but {channel!r} has "
            f"{', '.join(f'{{{known}}}' for known in names) or 'no named parts'}"
        )
    cast = _text_caster(parameter, channel)

    def read_path(message: Message[Any]) -> Any:
        text = message.path[name]
        return text if cast is None else cast(text)

    return read_path


def _text_caster(parameter: Parameter, channel: str) -> Callable[[str], Any] | None:
    if parameter.annotation is str:
        return None
    validate = caster_for(parameter.annotation)
    if validate is None:
        return None

    def cast(text: str) -> Any:
        try:
            return validate(text)
        except Exception as error:
            raise ValidationError(channel, field_errors(error, parameter.name)) from error

    return cast


def attribute_source(
    parameter: Parameter, marker: ContextMarker, owner: type, names: str
) -> Callable[[Any], Any]:
    """Reads what is behind the dotted names in a value that is an `owner`."""
    if "." not in names and hasattr(owner, names):
        return attrgetter(names)
    levels = names.split(".")
    return _or_default(parameter, marker, lambda value: follow(value, levels))


def context_source(
    parameter: Parameter, marker: ContextMarker, resolve: Callable[[str], Any]
) -> Callable[[], Any]:
    """Reads a value of the context by its dotted name."""
    name = marker.name or parameter.name
    return _or_default(parameter, marker, lambda: resolve(name))


def _or_default(parameter: Parameter, marker: ContextMarker, read: Callable[..., Any]) -> Callable[..., Any]:
    default = _default(parameter, marker.default)
    if default is MISSING:
        return read

    def read_or_default(*args: Any) -> Any:
        try:
            return read(*args)
        except ContextError:
            return default

    return read_or_default


def _default(parameter: Parameter, of_marker: Any) -> Any:
    """`Annotated[str, Header()] = "x"` and `str = Header(default="x")` say the same."""
    return of_marker if parameter.default is MISSING else parameter.default
