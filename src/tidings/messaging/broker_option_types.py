"""Which values the options of brokers take; another one is told by the option's name."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from .context import ContextRepo
from .errors import SetupError
from .params import DependsMarker

__all__ = ["check_broker_types"]


def check_broker_types(options: Any) -> None:
    """Refuse an option of another type than it is declared with, or out of its range. SetupError."""
    for name, (takes, fits) in _OPTIONS.items():
        value = getattr(options, name)
        if not fits(value):
            shown = repr(value) if isinstance(value, int | float) else f"one of type {type(value).__name__}"
            raise SetupError(f"{name} of a broker is {takes}, not {shown}")


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _none_or(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _of(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _several(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


_COUNT = "a whole number, at least 1", _count
_FUNCTION = "a function", _none_or(callable)
_FUNCTIONS = "a list of middlewares", _several

_OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "validate": ("True or False", _of(bool)),
    "decoder": _FUNCTION,
    "encoder": _FUNCTION,
    "graceful_timeout": ("seconds above 0", lambda value: _seconds(value) and 0 < value < float("inf")),
    "logger": ("a logging.Logger, or None", _none_or(_of(logging.Logger))),
    "log_level": ("a number such as logging.INFO, or None", _none_or(lambda value: type(value) is int)),
    "connect_attempts": _COUNT,
    "connect_wait": ("seconds, at least 0", lambda value: _seconds(value) and 0 <= value < float("inf")),
    "threads": _COUNT,
    "context": ("a ContextRepo", _none_or(_of(ContextRepo))),
    "middlewares": _FUNCTIONS,
    "publish_middlewares": _FUNCTIONS,
    "dependencies": (
        "a list of Depends(…)",
        lambda value: _several(value) and all(isinstance(each, DependsMarker) for each in value),
    ),
}
