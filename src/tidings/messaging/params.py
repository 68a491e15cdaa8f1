"""What a handler's parameter may ask for beside the payload: the markers.

Each works in both forms::

    async def handler(order: Order, user: Annotated[User, Depends(get_user)]): ...
    async def handler(order: Order, user: User = Depends(get_user)): ...
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from logging import Logger as StdLogger
from typing import Annotated, Any, TypeVar

__all__ = [
    "MISSING",
    "Context",
    "ContextMarker",
    "Depends",
    "DependsMarker",
    "Header",
    "HeaderMarker",
    "Logger",
    "Marker",
    "Missing",
    "NoCast",
    "NoCastMarker",
    "Path",
    "PathMarker",
]

T = TypeVar("T")


class Missing(Enum):
    """The type of `MISSING`, which stands where None would be a value."""

    MISSING = "missing"


MISSING = Missing.MISSING


@dataclass(frozen=True, slots=True)
class DependsMarker:
    """The parameter is what `dependency` returns or yields."""

    dependency: Callable[..., Any]
    use_cache: bool


@dataclass(frozen=True, slots=True)
class ContextMarker:
    """The parameter is the value called `name`; empty for the parameter's own name."""

    name: str
    default: Any


@dataclass(frozen=True, slots=True)
class HeaderMarker:
    """The parameter is the header called `name`; empty for the parameter's own name."""

    name: str
    default: Any


@dataclass(frozen=True, slots=True)
class PathMarker:
    """The parameter is the part of the address called `name`; empty for the parameter's own."""

    name: str


@dataclass(frozen=True, slots=True)
class NoCastMarker:
    """The parameter is decoded and not validated."""


Marker = DependsMarker | ContextMarker | HeaderMarker | PathMarker


# The functions below say they return Any, so that `user: User = Depends(get_user)` type-checks.


def Depends(dependency: Callable[..., Any], *, use_cache: bool = True) -> Any:
    """The parameter is what `dependency` returns, awaits or yields.

    A dependency has parameters of its own, which may ask for everything that a handler's may.
    It runs in the event loop, a plain `def` one too. One that yields is closed when the handler
    has returned, before its result is published, and gets the handler's exception at its `yield`.

    Args:
        dependency: a function, sync or async, a generator of one value, sync or async, or a class.
        use_cache: call it once a message, however many parameters ask for it; False for a call
            for each.
    """
    return DependsMarker(dependency, use_cache)


def Context(name: str = "", *, default: Any = MISSING) -> Any:
    """The parameter is a value of the context, by its dotted name; it is not validated.

    `message` (the broker's Message), `broker`, `logger` and `context` are always there, every
    other name is one of `broker.context`. Each dot is an attribute, or a key of a mapping:
    `Context("message.correlation_id")`, `Context("message.headers.tenant")`.

    Args:
        name: the dotted name; empty for the parameter's own name.
        default: used when there is no such value, which otherwise is a ContextError.
    """
    return ContextMarker(name, default)


def Header(name: str = "", *, default: Any = MISSING) -> Any:
    """The parameter is a header of the message, validated by the annotation.

    Args:
        name: the header, upper and lower case as it was sent; empty for the parameter's own name.
        default: used when the header was not sent, which otherwise is a ValidationError.
    """
    return HeaderMarker(name, default)


def Path(name: str = "") -> Any:
    """The parameter is a part of the address, such as `level` of "logs.{level}".

    It is validated by the annotation.

    Args:
        name: the name between the braces; empty for the parameter's own name.
    """
    return PathMarker(name)


Logger = Annotated[StdLogger, ContextMarker("logger", MISSING)]
"""The broker's logger. Lines written in a handler carry `channel` and `correlation_id`."""

NoCast = Annotated[T, NoCastMarker()]
"""`NoCast[T]`: decoded as an unannotated parameter would be, and not validated as T."""
