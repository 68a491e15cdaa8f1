"""A handler of batches compiled: what `plan` is for one message, for a list of them.

::

    @broker.subscriber("orders.*", stream="ORDERS", durable="w", batch=Batch(100))
    async def handler(orders: list[Order], messages: list[NatsMessage]) -> None: ...

Each item is read and validated by itself. One that is not valid is settled as such, and the handler gets the
others. What it asks for beside lists, it gets of the first message.
"""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, get_args, get_origin

from ..bodies.payload import Payload, payload_for
from ..broker import Broker
from ..endpoints import Source
from ..errors import SetupError, ValidationError
from ..message import Message
from ..middleware import consume_through
from ..params import MISSING
from .handling import handling
from .injection import Surroundings, payload_parameters, with_injection
from .outcome import Outcome, pass_on
from .settling import Settling
from .signature import Parameter, Signature

__all__ = ["batch_run"]


def batch_run(
    call: Callable[..., Awaitable[Any]],
    signature: Signature,
    surroundings: Surroundings,
    message_of: Callable[[Any], Message[Any]],
    outcome: Outcome,
    settling: Settling,
    broker: Broker[Any],
    source: Source,
) -> Callable[[Any], Awaitable[bool]]:
    """Handles a list of native messages; whether the handler and its publishers came to their end.

    Raises:
        SetupError: a payload parameter is not a list.
    """
    items, messages = _parameters_of(signature, surroundings)
    payload = payload_for(
        items, surroundings.channel, validate=surroundings.validate, decoder=surroundings.decoder
    )
    read, decode = _reader(payload, broker, message_of), payload.decode
    here, deliver, publishes = outcome.here, outcome.deliver, outcome.publishes
    overrides, overridden = broker.overrides, replace(surroundings, overrides=broker.overrides)
    batch: list[Sequence[Any]] = [(), ()]  # what is handled now: the values, the native messages

    def lists(_: Message[Any]) -> Sequence[Any]:
        values, natives = batch
        return [
            *(values for _ in payload.names),
            *(natives if is_native else [message_of(each) for each in natives] for _, is_native in messages),
        ]

    filled = Payload(surroundings.channel, (*payload.names, *(name for name, _ in messages)), lists)
    is_plain = len(signature.parameters) == 1 and len(payload.names) == 1 and not messages
    is_plain = is_plain and not signature.parameters[0].by_keyword and not surroundings.dependencies
    invoke = with_injection(call, signature, surroundings, filled)

    async def inject(message: Message[Any]) -> Any:
        if overrides:
            return await with_injection(call, signature, overridden, filled)(message)
        return await invoke(message)

    async def deliver_if_any(result: Any) -> None:
        if publishes and result is not None:
            await deliver(result)

    middlewares = (*broker.middlewares, *source.middlewares)
    consume = consume_through(middlewares, broker.context, inject, deliver_if_any)

    async def handle(values: list[Any], natives: list[Any]) -> None:
        batch[:] = values, natives
        if consume is not None:
            await consume(here.message())
        else:
            await deliver_if_any(await (call(values) if is_plain else inject(here.message())))

    async def read_all(natives: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        values, valid = [], []
        for native in natives:
            try:
                values.append(read(native) if decode is None else (await decode(message_of(native)))[0])
            except ValidationError as error:
                await settling.fail_all([native], message_of, error)
            else:
                valid.append(native)
        return values, valid

    async def run(natives: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native, here.made = natives, None
        try:
            await settling.before(natives)
            values, valid = await read_all(natives)
            if not valid:
                return False
            here.native, here.made = valid, None
            try:
                await handle(values, valid)
            except BaseException as error:
                pass_on(error)
                await settling.fail_all(valid, message_of, error)
                return False
            await settling.after(valid)
        except CancelledError:
            await settling.give_back(natives)
            raise
        return True

    return run


def _reader(
    payload: Payload, broker: Broker[Any], message_of: Callable[[Any], Message[Any]]
) -> Callable[[Any], Any]:
    if not payload.names:
        return lambda native: None
    body_of, read_body = broker.adapter.body_of, payload.read_body
    if read_body is None:
        return lambda native: payload.read(message_of(native))[0]

    def read(native: Any) -> Any:
        try:
            return read_body(body_of(native))
        except Exception as error:
            raise payload.invalid(error, message_of(native)) from error

    return read


def _parameters_of(
    signature: Signature, surroundings: Surroundings
) -> tuple[list[Parameter], list[tuple[str, bool]]]:
    """The one payload parameter as one of its items, and those that want the messages.

    Each of the latter with whether it wants them native.
    """
    items: dict[str, Parameter] = {}
    messages: dict[str, bool] = {}
    for parameter in payload_parameters(signature, surroundings):
        if parameter.annotation is not list and get_origin(parameter.annotation) is not list:
            raise SetupError(
                f"parameter {parameter.name!r} gets a batch of {surroundings.channel!r}: annotate it as "
                "list[…] of what one message is"
            )
        item = (*get_args(parameter.annotation), MISSING)[0]
        if item is surroundings.message_type.native_type:
            messages[parameter.name] = True
        elif isinstance(item, type) and issubclass(item, Message):
            if not issubclass(surroundings.message_type, item):
                raise SetupError(
                    f"parameter {parameter.name!r} asks for {item.__name__}s, but the messages of "
                    f"{surroundings.channel!r} are {surroundings.message_type.__name__}s"
                )
            messages[parameter.name] = False
        else:
            items[parameter.name] = replace(parameter, annotation=item)
    if len(items) > 1:
        names = ", ".join(map(repr, items))
        raise SetupError(
            f"the payloads of a batch of {surroundings.channel!r} go to one parameter, not {names}"
        )
    return list(items.values()), list(messages.items())
