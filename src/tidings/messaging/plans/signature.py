"""A function's parameters, as the framework reads them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from ..errors import SetupError
from ..params import MISSING, Context, Depends, Header, Marker, Path

__all__ = ["Parameter", "Signature", "describe", "read_signature"]


_MARKERS = (Depends, Context, Header, Path)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler or dependency.

    Attributes:
        name: as it is written.
        annotation: without the marker; MISSING for none.
        default: MISSING for none.
        marker: what it asks for; None for what the annotation alone decides.
        by_keyword: whether it must be passed by its name.
    """

    name: str
    annotation: Any
    default: Any
    marker: Marker | None
    by_keyword: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function, in their order, and its return annotation or MISSING.

    Attributes:
        variadic: those like `*args`, which nothing is passed for.
    """

    parameters: tuple[Parameter, ...]
    returns: Any
    variadic: tuple[str, ...]


def describe(function: Callable[..., Any]) -> str:
    """What to call a function in a log or an error: its module and name."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', '?')}.{name}"


def read_signature(function: Callable[..., Any]) -> Signature:
    """The parameters and the return annotation. SetupError for what cannot be read or filled."""
    try:
        found = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise SetupError(
            f"an annotation of {describe(function)} names {error.name!r}, which its module does "
            "not have: define it there, not inside a function or under TYPE_CHECKING"
        ) from error
    except (TypeError, ValueError) as error:
        raise SetupError(f"the parameters of {describe(function)} cannot be read: {error}") from error
    named, variadic = [], []
    for each in found.parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            variadic.append(str(each))
        else:
            named.append(_parameter(each, function))
    return Signature(tuple(named), _or_missing(found.return_annotation), tuple(variadic))


def _or_missing(found: Any) -> Any:
    return MISSING if found is inspect.Signature.empty else found


def _parameter(found: inspect.Parameter, function: Callable[..., Any]) -> Parameter:
    annotation, markers = _split(_or_missing(found.annotation))
    default = _or_missing(found.default)
    for each in (default, *_extras(found.annotation)):
        if any(each is marker for marker in _MARKERS):
            raise SetupError(
                f"parameter {found.name!r} of {describe(function)} has {each.__name__} itself: call it, "
                f"{each.__name__}(…)"
            )
    if isinstance(default, Marker):
        markers, default = [*markers, default], MISSING
    if len(markers) > 1:
        raise SetupError(f"parameter {found.name!r} of {describe(function)} asks for two things: {markers}")
    return Parameter(
        found.name,
        annotation,
        default,
        markers[0] if markers else None,
        found.kind is found.KEYWORD_ONLY,
    )


def _extras(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()


def _split(annotation: Any) -> tuple[Any, list[Marker]]:
    """The annotation without the markers in its `Annotated`, and they."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    inner, *extras = get_args(annotation)
    markers = [extra for extra in extras if isinstance(extra, Marker)]
    if not markers:
        return annotation, []
    others = [extra for extra in extras if not isinstance(extra, Marker)]
    return (Annotated[(inner, *others)] if others else inner), markers
