"""Middlewares: what is around every handler of a broker, a router or a subscriber, and around publishing.

All have one shape, and the first one given is the outermost::

    async def timed(message: Message, call_next: CallNext) -> Any:
        started = perf_counter()
        try:
            return await call_next(message)      # the handler's result, which may be replaced
        finally:
            observe(perf_counter() - started)

They are nested calls, compiled when a subscriber starts; a subscriber without any does not know that there
are such. Reading and validating the payload is within them, publishing the result and settling after them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction, signature
from types import TracebackType
from typing import Any, TypeAlias

from .context import ContextRepo
from .errors import SetupError
from .message import Message
from .plans.handling import current_message

__all__ = [
    "BaseMiddleware",
    "CallNext",
    "Consume",
    "Middleware",
    "Outgoing",
    "PublishMiddleware",
    "check_function",
    "consume_through",
    "publish_scopes",
    "publish_through",
]


@dataclass(slots=True)
class Outgoing:
    """A message on its way out, as publish middlewares see it; they may change it.

    Attributes:
        body: the value, before it is encoded.
        destination: the address, to look at.
        headers: sent along.
        correlation_id: empty for that of the message being handled, or else a new one.
    """

    body: Any
    destination: str
    headers: dict[str, str] = field(default_factory=dict)
    correlation_id: str = ""


CallNext: TypeAlias = Callable[[Any], Awaitable[Any]]
"""The next middleware, and at last the handler: of the message, giving the result."""
Consume: TypeAlias = Callable[[Message[Any]], Awaitable[Any]]
PublishMiddleware: TypeAlias = Callable[[Outgoing, CallNext], Awaitable[Any]]
"""Around publishing: gives what publishing gives."""


class BaseMiddleware:
    """A middleware as a class, made for each message, with methods for the points of its way::

        class Timed(BaseMiddleware):
            async def on_receive(self) -> None:
                self.started = perf_counter()

            async def after_processed(self, exc_type=None, exc_val=None, exc_tb=None) -> None:
                observe(perf_counter() - self.started, failed=exc_val is not None)

        NatsBroker(middlewares=[Timed])

    Attributes:
        msg: the message being handled; None for a publish outside of a handler.
        context: that of the broker.
    """

    def __init__(self, msg: Message[Any] | None, *, context: ContextRepo) -> None:
        self.msg = msg
        self.context = context

    async def on_receive(self) -> None:
        """Called first."""

    async def consume_scope(self, call_next: CallNext, msg: Message[Any]) -> Any:
        """Around the handler; its result is what is published."""
        return await call_next(msg)

    async def publish_scope(self, call_next: Callable[..., Awaitable[Any]], msg: Any, **options: Any) -> Any:
        """Around a publish of the broker, in or out of a handler, an answer to a requester too.

        Args:
            call_next: takes the value, and the options or some of them.
            msg: the value, before it is encoded.
            options: ``headers``, ``correlation_id``, and the ``destination``, which cannot be changed.
        """
        return await call_next(msg, **options)

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        """Called last where `on_receive` came to its end: the results are published, or something failed.

        Returns:
            True to take the failure for none: the message counts as handled, with the result None.
        """
        return None


_POINTS = ("on_receive", "consume_scope", "publish_scope", "after_processed")

Layer: TypeAlias = Callable[[Any, CallNext], Awaitable[Any]]
Middleware: TypeAlias = Layer | type[BaseMiddleware] | partial[BaseMiddleware]
"""A function of one shape, or a class; as a `partial` with arguments of its own."""


def _class_of(middleware: Middleware) -> type[BaseMiddleware] | None:
    found = middleware.func if isinstance(middleware, partial) else middleware
    return found if isinstance(found, type) and issubclass(found, BaseMiddleware) else None


def _overrides(owner: type[BaseMiddleware], *names: str) -> bool:
    return any(getattr(owner, name) is not getattr(BaseMiddleware, name) for name in names)


def check_function(middleware: Any) -> None:
    """SetupError for what is no async function of two arguments, or takes them the other way round."""
    if not (iscoroutinefunction(middleware) or iscoroutinefunction(type(middleware).__call__)):
        raise SetupError(
            f"the middleware {middleware!r} is neither an async function of (message, call_next) nor a "
            "subclass of BaseMiddleware"
        )
    parameters = _bound(middleware, "(message, call_next)", None, None)
    if parameters and parameters[0] == "call_next":
        raise SetupError(f"the middleware {middleware!r} takes call_next first: it is (message, call_next)")


def _check_class(middleware: Any, owner: type[BaseMiddleware]) -> None:
    """SetupError for a class that cannot be made for a message, or with methods that are not async."""
    _bound(middleware, "(msg, context=)", None, context=None)
    for name in _POINTS:
        if not iscoroutinefunction(getattr(owner, name)):
            raise SetupError(
                f"{name} of the middleware {owner.__name__} is not async: write `async def {name}`"
            )


def _bound(middleware: Any, how: str, *args: Any, **kwargs: Any) -> list[str]:
    """The names of its parameters. SetupError where it cannot be called so."""
    try:
        found = signature(middleware)
        found.bind(*args, **kwargs)
    except (TypeError, ValueError) as error:  # ValueError: of a `partial` whose arguments do not fit
        raise SetupError(
            f"the middleware {middleware!r} is called with {how}: {error.__cause__ or error}"
        ) from None
    return list(found.parameters)


def consume_through(
    middlewares: Sequence[Middleware],
    context: ContextRepo,
    invoke: Consume,
    deliver: Callable[[Any], Awaitable[None]],
) -> Callable[[Message[Any]], Awaitable[None]] | None:
    """`invoke` and then `deliver` of its result, within the middlewares; None where there are none.

    Raises:
        SetupError: one of them is no middleware.
    """
    layers: list[Middleware] = []
    is_static = True
    for middleware in middlewares:
        owner = _class_of(middleware)
        if owner is None:
            check_function(middleware)
        else:
            _check_class(middleware, owner)
            if not _overrides(owner, "on_receive", "consume_scope", "after_processed"):
                continue  # it is for publishing
            is_static = False
        layers.append(middleware)
    if not layers:
        return None
    return _static(layers, invoke, deliver) if is_static else _dynamic(layers, context, invoke, deliver)


def _static(
    layers: Sequence[Any], invoke: Consume, deliver: Callable[[Any], Awaitable[None]]
) -> Callable[[Message[Any]], Awaitable[None]]:
    chain = nested(layers, invoke)

    async def consume(message: Message[Any]) -> None:
        await deliver(await chain(message))

    return consume


def _dynamic(
    layers: Sequence[Any],
    context: ContextRepo,
    invoke: Consume,
    deliver: Callable[[Any], Awaitable[None]],
) -> Callable[[Message[Any]], Awaitable[None]]:
    is_class = [_class_of(layer) is not None for layer in layers]

    async def consume(message: Message[Any]) -> None:
        is_handled = False
        async with AsyncExitStack() as exits:
            scopes: list[Any] = []
            for layer, by_class in zip(layers, is_class, strict=True):
                if by_class:
                    made: BaseMiddleware = layer(message, context=context)
                    await made.on_receive()
                    exits.push_async_exit(partial(_leave, made))
                    scopes.append(partial(_consume_scope, made))
                else:
                    scopes.append(layer)
            result = await nested(scopes, invoke)(message)
            is_handled = True
            await deliver(result)
        if not is_handled:  # `after_processed` took the failure: who asked waits for an answer all the same
            await deliver(None)

    return consume


async def _leave(
    made: BaseMiddleware,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> bool:
    is_taken = await made.after_processed(kind, error, trace)
    return bool(is_taken) and isinstance(error, Exception)  # a cancellation is for who cancelled


async def _consume_scope(made: BaseMiddleware, message: Message[Any], call_next: CallNext) -> Any:
    return await made.consume_scope(call_next, message)


def nested(layers: Sequence[Layer], innermost: CallNext) -> CallNext:
    """One function of the message out of all of them, the first one the outermost."""
    for layer in reversed(layers):
        innermost = partial(_call, layer, innermost)
    return innermost


def _call(layer: Layer, call_next: CallNext, message: Any) -> Awaitable[Any]:
    return layer(message, call_next)


def publish_scopes(middlewares: Sequence[Middleware], context: ContextRepo) -> list[PublishMiddleware]:
    """What of the middlewares is for publishing: the classes with a `publish_scope`."""
    found: list[PublishMiddleware] = []
    for middleware in middlewares:
        owner = _class_of(middleware)
        if owner is not None and _overrides(owner, "publish_scope"):
            _check_class(middleware, owner)
            found.append(partial(_publish_scope, middleware, context))
    return found


async def _publish_scope(make: Any, context: ContextRepo, outgoing: Outgoing, call_next: CallNext) -> Any:
    async def call(
        msg: Any, *, headers: Mapping[str, str] | None = None, correlation_id: str = "", destination: str = ""
    ) -> Any:
        return await call_next(Outgoing(msg, outgoing.destination, dict(headers or {}), correlation_id))

    made: BaseMiddleware = make(current_message(), context=context)
    return await made.publish_scope(
        call,
        outgoing.body,
        headers=outgoing.headers,
        correlation_id=outgoing.correlation_id,
        destination=outgoing.destination,
    )


def publish_through(
    scopes: Sequence[PublishMiddleware], send: Callable[[Outgoing], Awaitable[Any]]
) -> Callable[[Outgoing], Awaitable[Any]]:
    """`send` within the scopes."""
    return nested(scopes, send)
