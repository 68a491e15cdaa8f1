"""Where the parameters with a marker get their values: functions of what they read from."""

from collections.abc import Callable, Collection
from operator import attrgetter
from typing import Any, TypeAlias

from ..bodies.problems import field_errors
from ..bodies.validation import caster_for
from ..context import follow
from ..errors import ContextError, FieldError, SetupError, ValidationError
from ..message import Message
from ..params import MISSING, ContextMarker, HeaderMarker, PathMarker
from .signature import Parameter

__all__ = [
    "attribute_source",
    "check_path",
    "context_source",
    "header_source",
    "path_source",
    "text_caster",
]

Read: TypeAlias = Callable[[Message[Any]], Any]
Cast: TypeAlias = Callable[[str], Any]


def text_caster(parameter: Parameter, channel: str, *, validate: bool) -> Cast | None:
    """Makes a text one of the annotation, or raises ValidationError; None where it stays as it is."""
    if not validate or parameter.annotation is str:
        return None
    caster = caster_for(parameter.annotation)
    if caster is None:
        return None

    def cast(text: str) -> Any:
        try:
            return caster(text)
        except Exception as error:
            raise ValidationError(channel, field_errors(error, parameter.name)) from error

    return cast


def header_source(parameter: Parameter, marker: HeaderMarker, channel: str, cast: Cast | None) -> Read:
    """Reads a header. ValidationError where it is missing."""
    name = marker.name or parameter.name
    default = _default(parameter, marker.default)

    def read_header(message: Message[Any]) -> Any:
        text = message.headers.get(name)
        if text is not None:
            return text if cast is None else cast(text)
        if default is not MISSING:
            return default
        problem = FieldError(parameter.name, "", f"the header {name!r} is missing")
        raise ValidationError(channel, (problem,))

    return read_header


def check_path(parameter: Parameter, marker: PathMarker, channel: str, names: Collection[str]) -> None:
    """SetupError where the address has no part of the name."""
    name = marker.name or parameter.name
    if name not in names:
        known = ", ".join(f"{{{each}}}" for each in names) or "no named parts"
        raise SetupError(
            f"parameter {parameter.name!r} asks for {{{name}}} of the address, but {channel!r} has {known}"
        )


def path_source(parameter: Parameter, marker: PathMarker, cast: Cast | None) -> Read:
    """Reads a named part of the address."""
    name = marker.name or parameter.name

    def read_path(message: Message[Any]) -> Any:
        text = message.path[name]
        return text if cast is None else cast(text)

    return read_path


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
