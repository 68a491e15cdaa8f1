"""What an App is given, looked at before anything starts."""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from tidings.messaging.context import ContextRepo
from tidings.messaging.errors import SetupError
from tidings.messaging.plans.signature import describe

__all__ = ["check_broker", "check_hook", "check_options_of_app", "entered_by", "hooks_of"]


def check_options_of_app(lifespan: object, logger: object, context: object) -> None:
    """SetupError for one that is of another type."""
    if lifespan is not None and not callable(lifespan):
        raise SetupError(f"lifespan of an App is a function, not {_what(lifespan)}")
    if logger is not None and not isinstance(logger, logging.Logger):
        raise SetupError(f"logger of an App is a logging.Logger, or None, not {_what(logger)}")
    if context is not None and not isinstance(context, ContextRepo):
        raise SetupError(f"context of an App is a ContextRepo, not {_what(context)}")


def check_broker(broker: object) -> None:
    """SetupError for what cannot be started and stopped."""
    if isinstance(broker, type):
        raise SetupError(f"an App takes brokers, not the class {broker.__name__}: call it")
    if isinstance(broker, list | tuple):
        raise SetupError("an App takes brokers one by one, not a list of them: App(*brokers)")
    if not all(callable(getattr(broker, name, None)) for name in ("start", "drain", "stop")):
        raise SetupError(f"an App takes brokers, not {_what(broker)}")


def check_hook(hook: object, when: str) -> None:
    """SetupError for what cannot be called."""
    if not callable(hook):
        raise SetupError(f"{when} of an App is for functions, not {_what(hook)}")


def hooks_of(given: Any, when: str) -> list[Callable[..., Any]]:
    """Hooks that were given together. SetupError for what is no list, or holds what cannot be called."""
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise SetupError(f"{when} of an App is a list of functions, not {_what(given)}")
    hooks = list(given)
    for hook in hooks:
        check_hook(hook, when)
    return hooks


def entered_by(lifespan: Any, returned: Any) -> AbstractAsyncContextManager[Any]:
    """What a lifespan returned. SetupError for what cannot be entered."""
    if isinstance(returned, AbstractAsyncContextManager):
        return returned
    raise SetupError(
        f"the lifespan {describe(lifespan)} returns {_what(returned)}, and no async context manager: "
        "decorate an async generator with contextlib.asynccontextmanager"
    )


def _what(value: object) -> str:
    return "None" if value is None else f"one of type {type(value).__name__}"
