"""Which values the options of sources and destinations take; another one is told by the option's name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .acks import AckPolicy
from .batch import Batch
from .dedupe import Dedupe
from .errors import SetupError
from .params import DependsMarker
from .retry import Retry

__all__ = ["check_types"]


def check_types(endpoint: Any, kind: str) -> None:
    """Refuse an option of another type than it is declared with. SetupError.

    Args:
        endpoint: a source or a destination.
        kind: what to call one without an address: "a subscriber".
    """
    for name, (takes, fits) in _OPTIONS.items():
        value = getattr(endpoint, name, None)
        if value is not None and not fits(value):
            # The value itself may hold a secret, its type does not.
            of = kind if name == "subject" else repr(endpoint.channel)
            raise SetupError(f"{name} of {of} is {takes}, not one of type {type(value).__name__}")


def _of(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _dependencies(value: Any) -> bool:
    return isinstance(value, Iterable) and all(isinstance(each, DependsMarker) for each in value)


def _headers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(type(each) is str for each in (*value, *value.values()))


_BOOL = "True or False", _of(bool)
_TEXT = "a text", _of(str)
_FUNCTION = "a function", callable

_OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "subject": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "dead_letter": _TEXT,
    "reply_to": _TEXT,
    "headers": ("a dict of str to str", _headers),
    "no_reply": _BOOL,
    "validate": _BOOL,
    "include_in_schema": _BOOL,
    "filter": _FUNCTION,
    "decoder": _FUNCTION,
    "encoder": _FUNCTION,
    "workers": ("an int", _of(int)),
    "timeout": ("a number of seconds", _of(int, float)),
    "dependencies": ("a list of Depends(…)", _dependencies),
    "ack_policy": ("an AckPolicy", _of(AckPolicy)),
    "retry": ("a Retry", _of(Retry)),
    "dedupe": ("a Dedupe", _of(Dedupe)),
    "batch": ("a Batch", _of(Batch)),
}
