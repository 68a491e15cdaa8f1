"""How a function's parameters are filled for a message: worked out once, then a list of steps.

While a message is handled the values stand in one list: the message, what is the same for every
message, the payload, and then what each step adds. A step calls a function with some of the values
before it. A dependency that several parameters ask for is one step, and so is called once.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from logging import Logger
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias, get_origin

from ..bodies.payload import Payload, payload_for
from ..endpoints import Decode
from ..errors import SetupError
from ..message import Message
from ..params import ContextMarker, DependsMarker, HeaderMarker, PathMarker
from .signature import Parameter, Signature, describe, read_signature
from .sources import (
    attribute_source,
    check_path,
    context_source,
    header_source,
    path_source,
    text_caster,
)

__all__ = ["Overrides", "Surroundings", "is_async", "payload_of", "payload_parameters", "with_injection"]

Overrides: TypeAlias = Mapping[Callable[..., Any], Callable[..., Any]]
"""Functions to call in the place of dependencies."""
Pick: TypeAlias = Callable[[list[Any]], Sequence[Any]]
"""Takes the arguments of a function out of the values."""

MESSAGE, STACK, GIVEN = 0, 1, 2
"""Where in the values the message stands, the exit stack, and the first of what is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the parameters of one handler may ask for.

    Attributes:
        channel: where its messages come from, for errors.
        message_type: what its messages are.
        path_names: what `Path` may ask for.
        given: what is the same for every message, by its name in the context: the broker, the
            logger, the client; those of them may be asked for by their type too.
        resolve: finds every other name of the context.
        overrides: functions to call in the place of dependencies.
        validate, decoder: as `BrokerOptions` has them.
        dependencies: called before those that parameters ask for, for what they do.
    """

    channel: str
    message_type: type[Message[Any]]
    path_names: Collection[str]
    given: Mapping[str, Any]
    resolve: Callable[[str], Any]
    overrides: Overrides
    validate: bool
    decoder: Decode | None
    dependencies: Sequence[DependsMarker] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One call, whose result is added to the values."""

    call: Callable[..., Any]
    pick: Pick
    is_async: bool


def with_injection(
    handler: Callable[..., Awaitable[Any]],
    signature: Signature,
    surroundings: Surroundings,
    payload: Payload | None = None,
) -> Callable[[Message[Any]], Awaitable[Any]]:
    """`handler` as a function of the message alone.

    Args:
        handler: the function.
        signature: its own.
        surroundings: what its parameters may ask for.
        payload: that of `payload_of`, where it is known already.

    What is returned raises what the handler and its dependencies raise, and ValidationError for an
    input that is not what a parameter asks for.
    """
    builder = _Builder(surroundings, payload or payload_of(signature, surroundings))
    for marker in surroundings.dependencies:
        builder.dependency(marker)
    pick = builder.arguments(signature)
    call = _by_position(handler, signature)
    given, read, decode = tuple(surroundings.given.values()), builder.payload.read, builder.payload.decode
    steps = tuple(builder.steps)

    async def call_in(stack: AsyncExitStack | None, message: Message[Any]) -> Any:
        found = read(message) if decode is None else await decode(message)
        values = [message, stack, *given, *found]
        for step in steps:
            value = step.call(*step.pick(values))
            values.append(await value if step.is_async else value)
        return await call(*pick(values))

    async def call_and_close(message: Message[Any]) -> Any:
        result = None
        async with AsyncExitStack() as stack:
            result = await call_in(stack, message)
        return result

    if builder.opens:
        return call_and_close
    return partial(call_in, None)


def payload_of(signature: Signature, surroundings: Surroundings) -> Payload:
    """How the payload parameters of a function and its dependencies are filled."""
    return payload_for(
        payload_parameters(signature, surroundings),
        surroundings.channel,
        validate=surroundings.validate,
        decoder=surroundings.decoder,
    )


def payload_parameters(signature: Signature, surroundings: Surroundings) -> Iterator[Parameter]:
    """The parameters of a function and its dependencies that ask for nothing but the payload."""
    for marker in surroundings.dependencies:
        yield from _payload_of_dependency(marker, surroundings, ())
    yield from _payload_of_function(signature, surroundings, ())


def _payload_of_function(
    signature: Signature, surroundings: Surroundings, within: tuple[Any, ...]
) -> Iterator[Parameter]:
    for parameter in signature.parameters:
        if isinstance(parameter.marker, DependsMarker):
            yield from _payload_of_dependency(parameter.marker, surroundings, within)
        elif parameter.marker is None and not _is_given(parameter, surroundings):
            yield parameter


def _payload_of_dependency(
    marker: DependsMarker, surroundings: Surroundings, within: tuple[Any, ...]
) -> Iterator[Parameter]:
    function = _function_of(marker, surroundings)
    if function in within:
        raise SetupError(f"the dependency {describe(function)} depends on itself")
    yield from _payload_of_function(read_signature(function), surroundings, (*within, function))


def _function_of(marker: DependsMarker, surroundings: Surroundings) -> Callable[..., Any]:
    return surroundings.overrides.get(marker.dependency, marker.dependency)


def _is_given(parameter: Parameter, surroundings: Surroundings) -> bool:
    """Whether the annotation names something beside the payload."""
    return _is_native(parameter, surroundings) or _slot_of_type(parameter, surroundings) is not None


def _is_native(parameter: Parameter, surroundings: Surroundings) -> bool:
    wanted = get_origin(parameter.annotation) or parameter.annotation
    native = getattr(surroundings.message_type, "native_type", None)  # hooks have no message
    return native is not None and wanted is native


def _slot_of_type(parameter: Parameter, surroundings: Surroundings) -> int | None:
    """Where in the values stands what the annotation names; None for a payload parameter."""
    wanted = get_origin(parameter.annotation) or parameter.annotation
    if not isinstance(wanted, type) or wanted is object:
        return None
    if issubclass(wanted, Message):
        if not issubclass(surroundings.message_type, wanted):
            raise SetupError(
                f"parameter {parameter.name!r} asks for a {wanted.__name__}, but the messages of "
                f"{surroundings.channel!r} are {surroundings.message_type.__name__}s"
            )
        return MESSAGE
    if issubclass(wanted, Logger):
        raise SetupError(f"annotate {parameter.name!r} with tidings.Logger to get the logger")
    for slot, value in enumerate(surroundings.given.values(), GIVEN):
        if wanted in type(value).__mro__:
            return slot
    return None


class _Builder:
    """Collects the steps for a handler's parameters, and knows where each value will stand."""

    def __init__(self, surroundings: Surroundings, payload: Payload) -> None:
        self.payload = payload
        self.steps: list[Step] = []
        self.opens = False
        self._surroundings = surroundings
        first = GIVEN + len(surroundings.given)
        self._payload_slots = {name: slot for slot, name in enumerate(payload.names, first)}
        self._next_slot = first + len(payload.names)
        self._cached: dict[Callable[..., Any], int] = {}

    def arguments(self, signature: Signature) -> Pick:
        """How to take the arguments of a function out of the values."""
        return _picker([self._slot(parameter) for parameter in signature.parameters])

    def _slot(self, parameter: Parameter) -> int:
        marker, around = parameter.marker, self._surroundings
        match marker:
            case DependsMarker():
                return self.dependency(marker)
            case ContextMarker():
                return self._context(parameter, marker)
            case HeaderMarker():
                cast = text_caster(parameter, around.channel, validate=around.validate)
                return self._add(header_source(parameter, marker, around.channel, cast), (MESSAGE,))
            case PathMarker():
                check_path(parameter, marker, around.channel, around.path_names)
                cast = text_caster(parameter, around.channel, validate=around.validate)
                return self._add(path_source(parameter, marker, cast), (MESSAGE,))
        if _is_native(parameter, around):
            return self._add(attrgetter("raw"), (MESSAGE,))
        slot = _slot_of_type(parameter, around)
        return self._payload_slots[parameter.name] if slot is None else slot

    def _add(self, call: Callable[..., Any], slots: Sequence[int], is_async: bool = False) -> int:
        self.steps.append(Step(call, _picker(slots), is_async))
        self._next_slot += 1
        return self._next_slot - 1

    def _context(self, parameter: Parameter, marker: ContextMarker) -> int:
        key, _, rest = (marker.name or parameter.name).partition(".")
        owner: type
        if key == "message":
            slot, owner = MESSAGE, self._surroundings.message_type
        elif key in self._surroundings.given:
            slot = GIVEN + list(self._surroundings.given).index(key)
            owner = type(self._surroundings.given[key])
        else:
            return self._add(context_source(parameter, marker, self._surroundings.resolve), ())
        if not rest:
            return slot
        return self._add(attribute_source(parameter, marker, owner, rest), (slot,))

    def dependency(self, marker: DependsMarker) -> int:
        """Where the result of a dependency stands."""
        function = _function_of(marker, self._surroundings)
        if marker.use_cache and function in self._cached:
            return self._cached[function]
        signature = read_signature(function)
        slots = [self._slot(parameter) for parameter in signature.parameters]
        call = _by_position(function, signature)
        if isasyncgenfunction(function) or isgeneratorfunction(function):
            self.opens = True
            slot = self._add(_opener(function, call), (STACK, *slots), is_async=True)
        else:
            slot = self._add(call, slots, is_async(function))
        if marker.use_cache:
            self._cached[function] = slot
        return slot


def _opener(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """A generator's value, with its closing registered in the same step."""
    if isasyncgenfunction(function):
        manage = asynccontextmanager(call)

        async def enter(stack: AsyncExitStack, *args: Any) -> Any:
            return await stack.enter_async_context(manage(*args))
    else:
        manage_sync = contextmanager(call)

        async def enter(stack: AsyncExitStack, *args: Any) -> Any:
            return stack.enter_context(manage_sync(*args))

    return enter


def _picker(slots: Sequence[int]) -> Pick:
    if not slots:
        return lambda values: ()
    if len(slots) == 1:
        (slot,) = slots
        return lambda values: (values[slot],)
    return itemgetter(*slots)


def _by_position(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """`function` as one that takes all its named parameters by position."""
    names = [parameter.name for parameter in signature.parameters if parameter.by_keyword]
    if not names:
        return function
    first = len(signature.parameters) - len(names)
    return lambda *args: function(*args[:first], **dict(zip(names, args[first:], strict=True)))


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call of it gives something to await."""
    if isinstance(function, type):
        return False
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
