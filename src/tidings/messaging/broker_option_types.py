"""Which values the options of brokers take; another one is told by the option's name."""

import logging
from collections.abc import Callable
from typing import Any

from .context import ContextRepo
from .errors import SetupError
from .option_types import BOOL, DEPENDENCIES, MIDDLEWARES, OptionTypes, of

__all__ = ["check_broker_types"]


def check_broker_types(options: Any) -> None:
    """Refuse an option of another type than it is declared with, or out of its range. SetupError."""
    for name, (takes, fits) in _OPTIONS.items():
        value = getattr(options, name)
        if not fits(value):
            shown = repr(value) if isinstance(value, int | float) else f"one of type {type(value).__name__}"
            raise SetupError(f"{name} of a broker is {takes}, not {shown}")


def _none_or(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


_COUNT = "a whole number, at least 1", lambda value: type(value) is int and value >= 1
_FUNCTION = "a function", _none_or(callable)

_OPTIONS: OptionTypes = {
    "validate": BOOL,
    "decoder": _FUNCTION,
    "encoder": _FUNCTION,
    "graceful_timeout": ("seconds above 0", lambda value: _seconds(value) and value > 0),
    "logger": ("a logging.Logger, or None", _none_or(of(logging.Logger))),
    "log_level": ("a number such as logging.INFO, or None", _none_or(of(int))),
    "connect_attempts": _COUNT,
    "connect_wait": ("seconds, at least 0", _seconds),
    "threads": _COUNT,
    "context": ("a ContextRepo", _none_or(of(ContextRepo))),
    "middlewares": MIDDLEWARES,
    "publish_middlewares": MIDDLEWARES,
    "dependencies": DEPENDENCIES,
}
