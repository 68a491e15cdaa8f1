"""Exception handlers: functions that answer for what a handler raised."""

from collections.abc import Callable, Mapping
from inspect import Parameter, isawaitable, signature
from typing import Any, TypeVar

from .acks import Verdict
from .errors import SetupError
from .message import Message
from .middleware import CallNext
from .response import Response

__all__ = ["ExceptionMiddleware", "FunctionT"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class ExceptionMiddleware:
    """Calls a function for an exception of a handler, of its dependencies or its payload::

        errors = ExceptionMiddleware()

        @errors.add_handler(KeyError)
        async def not_found(error: KeyError, message: Message) -> dict[str, str]:
            return {"error": "not found"}

        NatsBroker(middlewares=[errors])      # or at once: @broker.exception_handler(KeyError)

    What the function returns is published and answered in the place of the handler's result, None likewise,
    and the message counts as handled; so what shall be tried again is raised again. Of several functions that
    of the nearest base class is called. A `Verdict` is no failure, and only taken where it is asked for by
    its own type.

    Args:
        handlers: functions of the exception, or of it and the message, sync or async, by the type of it.
    """

    def __init__(self, handlers: Mapping[type[Exception], Callable[..., Any]] | None = None) -> None:
        self._handlers: dict[type[Exception], tuple[Callable[..., Any], bool]] = {}
        for kind, function in (handlers or {}).items():
            self.add_handler(kind)(function)

    def add_handler(self, kind: type[Exception]) -> Callable[[FunctionT], FunctionT]:
        """Decorator: call the function for exceptions of that type.

        Raises:
            SetupError: it is no type of `Exception`, or the function takes something else.
        """
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise SetupError(f"an exception handler is for a type of Exception, not for {kind!r}")

        def add(function: FunctionT) -> FunctionT:
            self._handlers[kind] = function, _takes_message(function)
            return function

        return add

    @property
    def has_handlers(self) -> bool:
        """Whether there is any."""
        return bool(self._handlers)

    async def __call__(self, message: Message[Any], call_next: CallNext) -> Any:
        """The middleware."""
        try:
            return await call_next(message)
        except Exception as error:
            found = self._handler_of(type(error))
            if found is None:
                raise
            function, takes_message = found
            result = function(error, message) if takes_message else function(error)
            result = await result if isawaitable(result) else result
        # The return annotation of the handler says nothing of what comes from elsewhere.
        return result if result is None or isinstance(result, Response) else Response(result)

    def _handler_of(self, kind: type[Exception]) -> tuple[Callable[..., Any], bool] | None:
        for each in kind.__mro__:
            if each in self._handlers and (issubclass(each, Verdict) or not issubclass(kind, Verdict)):
                return self._handlers[each]
        return None


def _takes_message(function: Callable[..., Any]) -> bool:
    needed = [
        each
        for each in signature(function).parameters.values()
        if each.default is Parameter.empty and each.kind is not Parameter.VAR_KEYWORD
    ]
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    if not 1 <= len(needed) <= 2 or any(each.kind not in positional for each in needed):
        raise SetupError(f"the exception handler {function!r} takes the exception, or it and the message")
    return len(needed) == 2
