"""What an annotation says about the body it is read from."""

import dataclasses
from collections.abc import Iterable
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, is_typeddict

from ..params import MISSING, NoCastMarker

__all__ = [
    "RAW",
    "is_exempt",
    "is_untyped",
    "may_be_text",
    "members_of",
    "mentions_struct",
    "name_of",
    "plain_type",
    "without",
]

RAW = (bytearray, memoryview)
"""Types other than `bytes` that get a body as it is."""


def plain_type(annotation: Any) -> Any:
    """The type under `Annotated`, `NewType` and type aliases."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; of another type, itself. None is `NoneType`."""
    annotation = plain_type(annotation)
    if get_origin(annotation) not in (Union, UnionType):
        return (type(None) if annotation is None else annotation,)
    return tuple(member for part in get_args(annotation) for member in members_of(part))


def is_untyped(annotation: Any) -> bool:
    """Whether there is no annotation, or one that admits everything."""
    return annotation is MISSING or plain_type(annotation) in (Any, object)


def is_exempt(annotation: Any) -> bool:
    """Whether it is a `NoCast[…]`."""
    return any(isinstance(extra, NoCastMarker) for extra in getattr(annotation, "__metadata__", ()))


def mentions_struct(annotation: Any) -> bool:
    """Whether a `msgspec.Struct` is somewhere in it."""
    annotation = plain_type(annotation)
    if hasattr(get_origin(annotation) or annotation, "__struct_fields__"):
        return True
    return any(mentions_struct(part) for part in get_args(annotation))


def may_be_text(annotation: Any) -> bool:
    """Whether the JSON form may be a string, so that a body of plain text makes sense too.

    True when in doubt: what is known to be an object, an array, a number or a bool is not.
    """
    return any(not _is_never_text(member) for member in members_of(annotation))


def _is_never_text(annotation: Any) -> bool:
    found = get_origin(annotation) or annotation
    if is_typeddict(found):
        return True
    if not isinstance(found, type) or issubclass(found, (str, bytes, bytearray)):
        return False
    if getattr(found, "__pydantic_root_model__", False):
        return False
    if issubclass(found, Enum):
        return issubclass(found, int)
    if dataclasses.is_dataclass(found) or hasattr(found, "__struct_fields__"):
        return True
    return issubclass(found, (int, float, type(None), Iterable))


def without(annotation: Any, member: type) -> Any:
    """A union as one that has not this alternative, with all that `Annotated` says of it."""
    others = tuple(each for each in members_of(annotation) if each is not member)
    extras = getattr(annotation, "__metadata__", ())
    rest: Any = Union[others]  # noqa: UP007  of a tuple
    return Annotated[(rest, *extras)] if extras else rest


def name_of(annotation: Any) -> str:
    """What to call it in an error."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation).replace("typing.", "")
