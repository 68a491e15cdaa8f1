"""A handler of a schedule compiled: what `plan` is for one of messages."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from .adapter import Handle
from .broker import Broker
from .endpoints import Source
from .errors import SetupError
from .handler import in_time
from .handling import Handling, handling
from .injection import is_async, payload_parameters, with_injection
from .message import Message
from .middleware import consume_through
from .outcome import FAILURES
from .payload import Payload
from .plan import check_handler, surroundings_of
from .response import without_response
from .scoped import outcome_for
from .shapes import logged
from .signature import describe, read_signature
from .tick import TickMessage
from .validation import encoder_for

__all__ = ["schedule_plan"]


def schedule_plan(function: Callable[..., Any], broker: Broker[Any], source: Source) -> Handle:
    """What to await with each `Tick`; it gives False where the handler, or a publisher of it, failed.

    Raises:
        SetupError: the handler asks for something that cannot be.
    """
    source.check()
    signature = read_signature(function)
    check_handler(function, signature)
    surroundings = surroundings_of(broker, source, TickMessage)
    here = Handling(TickMessage)
    outcome = outcome_for(
        broker,
        encoder_for(
            without_response(signature.returns),
            validate=surroundings.validate,
            encoder=broker.options.encoder,
        ),
        broker.outputs_of(function),
        here,
        replies=False,
        encode_untyped=None,
        reply_layers=(),
    )
    times = []
    for parameter in payload_parameters(signature, surroundings):
        if parameter.annotation is not datetime:
            raise SetupError(
                f"parameter {parameter.name!r} of {describe(function)}: a schedule has no message; annotate "
                "it as datetime for the scheduled time, or give it a marker: Depends, Context"
            )
        times.append(parameter.name)
    payload = Payload(
        source.channel, tuple(dict.fromkeys(times)), lambda message: [message.raw.scheduled] * len(set(times))
    )
    call: Callable[..., Awaitable[Any]] = function if is_async(function) else broker.threads.wrap(function)
    if source.timeout is not None:
        call = in_time(call, function, source.timeout)
    invoke = with_injection(call, signature, surroundings, payload)
    overridden = replace(surroundings, overrides=broker.overrides)

    async def inject(message: Message[Any]) -> Any:
        if broker.overrides:
            return await with_injection(call, signature, overridden, payload)(message)
        return await invoke(message)

    async def deliver(result: Any) -> None:
        if outcome.publishes and result is not None:
            await outcome.deliver(result)

    async def invoke_and_deliver(message: Message[Any]) -> None:
        await deliver(await inject(message))

    middlewares = (*broker.middlewares, *source.middlewares)
    consume = consume_through(middlewares, broker.context, inject, deliver) or invoke_and_deliver

    async def run(native: Any) -> bool:
        handling.set(here)
        here.native, here.made = native, None
        try:
            await consume(here.message())
        except FAILURES as error:
            await outcome.fail(error)
            return False
        return True

    if broker.logger.isEnabledFor(broker.options.log_level):
        return logged(run, outcome)
    return run
