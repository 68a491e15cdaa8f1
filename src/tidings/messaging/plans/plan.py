"""A handler compiled: one coroutine function of a native message, in the shape that costs least.

decode → validate → bind → call → publish results

What is between the message and the call decides the shape, see `shapes`; it is around nothing else. A plan
handles one message at a time, so a source with several workers has as many. Where messages are settled,
`settling` is around the shape, and gets its failures; where they are not, `in_place` gets them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from ..acks import AckPolicy
from ..adapter import Handle
from ..bodies.results import encoder_for
from ..broker import Broker
from ..endpoints import Source
from ..errors import SetupError
from ..handler import Handler, in_time
from ..marks import Marks
from ..message import Message
from ..middleware import publish_scopes
from ..params import MISSING
from ..response import body_of_response, without_response
from .batch_plan import batch_run
from .deduping import Deduping
from .handling import Handling
from .in_place import InPlace
from .injection import Surroundings, is_async
from .outcome import Encoders, Outcome
from .pauses import Pauses
from .scoped import outcome_for
from .settling import Settling, settling_for
from .shapes import Fail, Run, Shaping, filtered, logged, shaped
from .signature import Signature, describe, read_signature

__all__ = ["check_handler", "plan_for", "surroundings_of"]


def plan_for(
    handlers: Sequence[Handler],
    broker: Broker[Any],
    source: Source,
    pauses: Pauses,
    marks: Marks | None = None,
) -> Handle:
    """What to await with each native message of `source`, or each list of them where it has a `batch`.

    Of several handlers the first that accepts a message gets it; a last one that accepts all may follow.

    It gives False where the handler, or a publisher of it, failed.

    Args:
        handlers, broker, source: as they say.
        pauses: the waits between two tries where messages are not settled.
        marks: the store of the source's `dedupe`, where it has one.

    Raises:
        SetupError: a handler asks for something that cannot be, or the source does.
    """
    source.check()
    settling = settling_for(source, broker.adapter.settler(source), broker)
    plans = [_plan(handlers, broker, source, settling, pauses, marks) for _ in range(source.workers)]
    return plans[0] if len(plans) == 1 else _whichever_is_free(plans)


def _whichever_is_free(plans: list[Handle]) -> Handle:
    async def handle(native: Any) -> object:
        plan = plans.pop()
        try:
            return await plan(native)
        finally:
            plans.append(plan)

    return handle


def _plan(
    handlers: Sequence[Handler],
    broker: Broker[Any],
    source: Source,
    settling: Settling | None,
    pauses: Pauses,
    marks: Marks | None,
) -> Handle:
    message_of = broker.adapter.message_factory(source)
    is_batch = source.batch is not None and settling is not None
    here = Handling((lambda natives: message_of(natives[0])) if is_batch else message_of)
    in_place = InPlace(source, broker, here, pauses)
    failing: Callable[[Outcome], Fail] = in_place.failing
    if settling is not None:
        failing = partial(settling.failing, here)
    deduping = None
    if marks is not None:
        deduping = _deduping(handlers, broker, source, settling, marks, here)
        failing = deduping.failing(failing)
    built = [_build(handler, broker, source, settling, failing, here) for handler in handlers]
    run, outcome = built[0]
    if len(handlers) > 1 or handlers[0].accepts is not None:
        if is_batch:
            raise SetupError(f"filter of {source.channel!r}: the handler of a batch takes all of it")
        accepts = [each.accepts for each in handlers]
        runs = [run for run, _ in built]
        run = filtered(list(zip(accepts, runs, strict=True)), here, source, failing(outcome))
    if deduping is not None:
        run = deduping.claiming(run, failing(outcome), answers=source.answers)
    in_place.run = run
    if deduping is not None:
        run = deduping.concluding(run)
    if settling is not None and not is_batch:
        run = settling.around(run)
    level = broker.options.log_level
    if level is not None and broker.logger.isEnabledFor(level):
        return logged(run, outcome, level)
    return run


def _deduping(
    handlers: Sequence[Handler],
    broker: Broker[Any],
    source: Source,
    settling: Settling | None,
    marks: Marks,
    here: Handling,
) -> Deduping:
    assert source.dedupe is not None
    name = " ".join([source.channel, *(describe(each.function) for each in handlers)])
    return Deduping(
        source.dedupe,
        marks,
        name,
        None if settling is None else settling.settler,
        here,
        source.decoder or broker.options.decoder,
        broker,
        acks_first=source.ack_policy is AckPolicy.ACK_FIRST,
    )


def _build(
    handler: Handler,
    broker: Broker[Any],
    source: Source,
    settling: Settling | None,
    failing: Callable[[Outcome], Fail],
    here: Handling,
) -> tuple[Run, Outcome]:
    function = handler.function
    signature = read_signature(function)
    check_handler(function, signature)
    surroundings = surroundings_of(broker, source)
    encoder = source.encoder or broker.options.encoder
    returns = without_response(signature.returns)
    is_batch = source.batch is not None and settling is not None
    encode = partial(
        encoder_for,
        validate=surroundings.validate,
        encoder=encoder,
        what=f"the result of {describe(function)}",
    )
    outcome = outcome_for(
        broker,
        Encoders(encode(returns), encode(body_of_response(signature.returns)), encode(MISSING)),
        handler.outputs,
        here,
        replies=source.answers and not is_batch,
        reply_layers=publish_scopes(source.middlewares, broker.context),
    )
    call = function if is_async(function) else broker.threads.wrap(function)
    if source.timeout is not None:
        call = in_time(call, function, source.timeout)
    if is_batch:
        assert settling is not None
        message_of = broker.adapter.message_factory(source)
        return batch_run(
            call, signature, surroundings, message_of, outcome, settling, broker, source
        ), outcome
    plan = Shaping(broker, source, call, outcome, failing(outcome))
    return shaped(plan, signature, surroundings), outcome


def check_handler(handler: Callable[..., Any], signature: Signature) -> None:
    """SetupError for what cannot be a handler."""
    if signature.variadic:
        raise SetupError(f"{describe(handler)} takes {', '.join(signature.variadic)}: name each parameter")
    if isgeneratorfunction(handler) or isasyncgenfunction(handler):
        raise SetupError(f"{describe(handler)} yields: a handler returns its one result")


def surroundings_of(
    broker: Broker[Any], source: Source, message_type: type[Message[Any]] | None = None
) -> Surroundings:
    """What the handlers of a source may ask for.

    Args:
        broker, source: whose they are.
        message_type: what its messages are; None for what the adapter says.
    """
    return Surroundings(
        channel=source.channel,
        message_type=message_type or broker.adapter.message_type_of(source),
        path_names=source.path_names,
        given={
            "broker": broker,
            "logger": broker.logger,
            "context": broker.context,
            "client": broker.adapter.client,
        },
        resolve=broker.context.resolve,
        overrides={},
        validate=broker.options.validate if source.validate is None else source.validate,
        decoder=source.decoder or broker.options.decoder,
        dependencies=(*broker.options.dependencies, *source.dependencies),
    )
