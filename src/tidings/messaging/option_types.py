"""Which values the options of sources and destinations take; another one is told by the option's name."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from .acks import AckPolicy
from .batch import Batch
from .dedupe import Dedupe
from .errors import SetupError
from .params import DependsMarker
from .retry import Retry

__all__ = ["BOOL", "DEPENDENCIES", "INT", "MIDDLEWARES", "TEXT", "OptionTypes", "check_types", "of"]

OptionTypes: TypeAlias = Mapping[str, tuple[str, Callable[[Any], bool]]]
"""Option → what it takes, in words, and whether a value is that."""


def check_types(
    endpoint: Any, kind: str, options: OptionTypes | None = None, naming: Collection[str] = ("subject",)
) -> None:
    """Refuse an option of another type than it is declared with. SetupError.

    Args:
        endpoint: a source or a destination.
        kind: what to call one without an address: "a subscriber".
        options: a broker's own; None for those that all have.
        naming: those that make up the address.
    """
    for name, (takes, fits) in (_OPTIONS if options is None else options).items():
        value = getattr(endpoint, name, None)
        if value is not None and not fits(value):
            # The value itself may hold a secret, its type does not.
            of = kind if name in naming else repr(endpoint.channel)
            raise SetupError(f"{name} of {of} is {takes}, not one of type {type(value).__name__}")


def of(*types: type) -> Callable[[Any], bool]:
    """Whether a value is of one of the types; a bool is no int."""
    return lambda value: isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | type)


def _dependencies(value: Any) -> bool:
    return _several(value) and all(isinstance(each, DependsMarker) for each in value)


def _headers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(type(each) is str for each in (*value, *value.values()))


BOOL = "True or False", of(bool)
TEXT = "a text", of(str)
INT = "an int", of(int)
MIDDLEWARES = "a list of middlewares", _several
DEPENDENCIES = "a list of Depends(…)", _dependencies
_FUNCTION = "a function", callable

_OPTIONS: OptionTypes = {
    "subject": TEXT,
    "title": TEXT,
    "description": TEXT,
    "dead_letter": TEXT,
    "reply_to": TEXT,
    "headers": ("a dict of str to str", _headers),
    "no_reply": BOOL,
    "validate": BOOL,
    "include_in_schema": BOOL,
    "filter": _FUNCTION,
    "decoder": _FUNCTION,
    "encoder": _FUNCTION,
    "workers": INT,
    "timeout": ("a number of seconds", of(int, float)),
    "middlewares": MIDDLEWARES,
    "dependencies": DEPENDENCIES,
    "ack_policy": ("an AckPolicy", of(AckPolicy)),
    "retry": ("a Retry", of(Retry)),
    "dedupe": ("a Dedupe", of(Dedupe)),
    "batch": ("a Batch", of(Batch)),
}
