"""A handler of a schedule compiled: what `plan` is for messages, for ticks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from ..adapter import Handle
from ..bodies.payload import Payload
from ..bodies.results import encoder_for
from ..broker import Broker, Output
from ..endpoints import Source
from ..errors import SetupError
from ..handler import in_time
from ..message import Message
from ..middleware import consume_through
from ..params import MISSING
from ..plans.handling import Handling, handling
from ..plans.in_place import InPlace
from ..plans.injection import Surroundings, is_async, payload_parameters, with_injection
from ..plans.outcome import Encoders, pass_on
from ..plans.pauses import Pauses
from ..plans.plan import check_handler, surroundings_of
from ..plans.scoped import outcome_for
from ..plans.shapes import logged
from ..plans.signature import Signature, describe, read_signature
from ..response import body_of_response, without_response

__all__ = ["Tick", "TickMessage", "schedule_plan"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tick:
    """One time at which a handler is called.

    Attributes:
        scheduled: when it was due, in UTC.
        channel: the name and the times, for logs.
    """

    scheduled: datetime
    channel: str


class TickMessage(Message[Tick]):
    """A tick for handlers, middlewares and logs that ask for a message. Its body is the scheduled time."""

    __slots__ = ()

    native_type = Tick

    @property
    def channel(self) -> str:
        """The schedule."""
        return self.raw.channel

    @property
    def body(self) -> bytes:
        """The scheduled time, as text."""
        return self.raw.scheduled.isoformat().encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """None."""
        return _NOTHING

    @property
    def reply_to(self) -> str:
        """Nobody wants an answer."""
        return ""

    @property
    def path(self) -> Mapping[str, str]:
        """None."""
        return _NOTHING


def schedule_plan(
    function: Callable[..., Any],
    outputs: Sequence[Output],
    broker: Broker[Any],
    source: Source,
    pauses: Pauses,
) -> Handle:
    """What to await with each `Tick`; it gives False where the handler, or a publisher of it, failed.

    Args:
        function, outputs, broker, source: what is called, where its results go, whose and when.
        pauses: the waits between two tries.

    Raises:
        SetupError: the handler asks for something that cannot be.
    """
    source.check()
    signature = read_signature(function)
    check_handler(function, signature)
    surroundings = surroundings_of(broker, source, TickMessage)
    encode = partial(
        encoder_for,
        validate=surroundings.validate,
        encoder=broker.options.encoder,
        what=f"the result of {describe(function)}",
    )
    here = Handling(TickMessage)
    outcome = outcome_for(
        broker,
        Encoders(
            encode(without_response(signature.returns)),
            encode(body_of_response(signature.returns)),
            encode(MISSING),
        ),
        outputs,
        here,
        replies=False,
        reply_layers=(),
    )
    in_place = InPlace(source, broker, here, pauses)
    fail = in_place.failing(outcome)
    invoke = _invoker(function, signature, surroundings, broker, source)

    async def deliver(result: Any) -> None:
        if outcome.publishes and result is not None:
            await outcome.deliver(result)

    async def invoke_and_deliver(message: Message[Any]) -> None:
        await deliver(await invoke(message))

    middlewares = (*broker.middlewares, *source.middlewares)
    consume = consume_through(middlewares, broker.context, invoke, deliver) or invoke_and_deliver

    async def run(native: Any) -> bool:
        handling.set(here)
        here.native, here.made = native, None
        try:
            await consume(here.message())
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return True

    in_place.run = run
    level = broker.options.log_level
    if level is not None and broker.logger.isEnabledFor(level):
        return logged(run, outcome, level)
    return run


def _invoker(
    function: Callable[..., Any],
    signature: Signature,
    surroundings: Surroundings,
    broker: Broker[Any],
    source: Source,
) -> Callable[[Message[Any]], Awaitable[Any]]:
    call: Callable[..., Awaitable[Any]] = function if is_async(function) else broker.threads.wrap(function)
    if source.timeout is not None:
        call = in_time(call, function, source.timeout)
    payload = _scheduled_times(function, signature, surroundings)
    inject = with_injection(call, signature, surroundings, payload)
    overrides, overridden = broker.overrides, replace(surroundings, overrides=broker.overrides)

    async def invoke(message: Message[Any]) -> Any:
        if overrides:
            return await with_injection(call, signature, overridden, payload)(message)
        return await inject(message)

    return invoke


def _scheduled_times(
    function: Callable[..., Any], signature: Signature, surroundings: Surroundings
) -> Payload:
    """Fills each parameter that would be the payload with the scheduled time."""
    parameters = list(payload_parameters(signature, surroundings))
    for parameter in parameters:
        if parameter.annotation is not datetime:
            raise SetupError(
                f"parameter {parameter.name!r} of {describe(function)}: a schedule has no message; annotate "
                "it as datetime for the scheduled time, or give it a marker: Depends, Context"
            )
    names = tuple(dict.fromkeys(each.name for each in parameters))

    def times(message: Message[Any]) -> Sequence[Any]:
        return [message.raw.scheduled] * len(names)

    return Payload(surroundings.channel, names, times)
