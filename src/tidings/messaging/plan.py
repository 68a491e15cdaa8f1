"""A handler compiled: one coroutine function of a native message, in the shape that costs least.

decode → validate → bind → call → publish results

The shapes differ in what is between the message and the call, and in nothing else:

==========  ===========================================  ==================================
shape       for handlers with                            makes a Message
==========  ===========================================  ==================================
raw         one parameter, `bytes`                       for a reply, a publisher, a failure
whole       one parameter, which the body alone decides  likewise
fields      several payload parameters                   likewise
injected    everything else, and within middlewares      always
batch       a list of messages, see `batch_plan`         for a failure, or an injected value
==========  ===========================================  ==================================

Every shape notes first what it handles, so that whatever runs in the handler knows the message, and
lets nothing out but CancelledError. A plan handles one message at a time, so a source with several
workers has as many. Where messages are settled, `settling` is around the shape, and gets its failures.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import isasyncgenfunction, isawaitable, isgeneratorfunction
from time import perf_counter
from typing import Any, TypeAlias

from .adapter import Adapter, Handle
from .batch_plan import batch_run
from .broker import Broker
from .endpoints import Accepts, Source
from .errors import FieldError, SetupError, ValidationError
from .handler import Handler, in_time
from .handling import Handling, handling
from .injection import Surroundings, is_async, payload_of, with_injection
from .message import Message
from .middleware import Consume, consume_through, publish_scopes
from .outcome import FAILURES, Outcome
from .payload import Payload
from .response import without_response
from .scoped import outcome_for
from .settling import Settling, settling_for
from .signature import Signature, describe, read_signature
from .validation import encoder_for, untouched

__all__ = ["plan_for", "surroundings_of"]

Call: TypeAlias = Callable[..., Awaitable[Any]]
Run: TypeAlias = Callable[[Any], Awaitable[bool]]
"""Handles a native message; whether the handler and its publishers came to their end."""


def plan_for(handlers: Sequence[Handler], broker: Broker[Any], source: Source) -> Handle:
    """What to await with each native message of `source`, or each list of them where it has a `batch`.

    Of several handlers the first that accepts a message gets it; a last one that accepts all may follow.

    It gives False where the handler, or a publisher of it, failed.

    Raises:
        SetupError: a handler asks for something that cannot be, or the source does.
    """
    source.check()
    settling = settling_for(source, broker.adapter.settler(source), broker)
    plans = [_plan(handlers, broker, source, settling) for _ in range(source.workers)]
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
    handlers: Sequence[Handler], broker: Broker[Any], source: Source, settling: Settling | None
) -> Handle:
    message_of = broker.adapter.message_factory(source)
    is_batch = source.batch is not None and settling is not None
    here = Handling((lambda natives: message_of(natives[0])) if is_batch else message_of)
    built = [_build(handler, broker, source, settling, here) for handler in handlers]
    run, outcome = built[0]
    if len(handlers) > 1 or handlers[0].accepts is not None:
        if is_batch:
            raise SetupError(f"filter of {source.channel!r}: the handler of a batch takes all of it")
        fail = outcome.fail if settling is None else partial(settling.fail, here)
        accepts = [each.accepts for each in handlers]
        run = _filtered(list(zip(accepts, [run for run, _ in built], strict=True)), here, source, fail)
    if settling is not None and not is_batch:
        run = settling.around(run)
    if broker.logger.isEnabledFor(broker.options.log_level):
        return _logged(run, outcome)
    return run


def _build(
    handler: Handler, broker: Broker[Any], source: Source, settling: Settling | None, here: Handling
) -> "tuple[Run, Outcome]":
    function = handler.function
    signature = read_signature(function)
    _check(function, signature)
    surroundings = surroundings_of(broker, source)
    returns = without_response(signature.returns)
    is_batch = source.batch is not None and settling is not None
    outcome = outcome_for(
        broker,
        encoder_for(returns, validate=surroundings.validate, encoder=broker.options.encoder),
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
    fail = outcome.fail if settling is None else partial(settling.fail, here)
    plan = _Plan(broker, source, call, outcome, fail)
    return _single(plan, signature, surroundings), outcome


def _single(plan: "_Plan", signature: Signature, surroundings: Surroundings) -> "Run":
    payload = payload_of(signature, surroundings)
    invoke = _invoker(plan, signature, surroundings, payload)
    middlewares = (*plan.broker.middlewares, *plan.source.middlewares)
    consume = consume_through(middlewares, plan.broker.context, invoke, _deliverer(plan))
    if consume is not None:
        return _scoped(plan, consume)
    is_plain = _is_payload_only(signature, payload) and not surroundings.dependencies
    if payload.read_body is None or not is_plain:
        return _injected(plan, signature, surroundings, payload)
    if len(payload.names) > 1:
        return _fields(plan, payload, payload.read_body)
    if payload.read_body is untouched:
        return _raw(plan)
    return _whole(plan, payload, payload.read_body)


def _check(handler: Callable[..., Any], signature: Signature) -> None:
    if signature.variadic:
        raise SetupError(f"{describe(handler)} takes {', '.join(signature.variadic)}: name each parameter")
    if isgeneratorfunction(handler) or isasyncgenfunction(handler):
        raise SetupError(f"{describe(handler)} yields: a handler returns its one result")


def surroundings_of(broker: Broker[Any], source: Source) -> Surroundings:
    """What the handlers of a source may ask for."""
    return Surroundings(
        channel=source.channel,
        message_type=broker.adapter.message_type_of(source),
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


def _is_payload_only(signature: Signature, payload: Payload) -> bool:
    names = tuple(each.name for each in signature.parameters if not each.by_keyword)
    return names == payload.names and len(names) == len(signature.parameters)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the shapes have in common."""

    broker: Broker[Any]
    source: Source
    call: Call
    outcome: Outcome
    fail: Callable[[BaseException], Awaitable[None]]

    @property
    def adapter(self) -> Adapter[Any, Any]:
        adapter: Adapter[Any, Any] = self.broker.adapter
        return adapter


# The shapes repeat themselves, because a call more for each message is what they are there to save.


def _raw(plan: _Plan) -> Run:
    call, publishes, replies = plan.call, plan.outcome.publishes, plan.outcome.replies
    body_of, reply_of = plan.adapter.body_of, plan.adapter.reply_of
    here, deliver, fail = plan.outcome.here, plan.outcome.deliver, plan.fail

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native, here.made = native, None
        try:
            result = await call(body_of(native))
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except FAILURES as error:
            await fail(error)
            return False
        return True

    return run


def _whole(plan: _Plan, payload: Payload, read_body: Callable[[bytes], Any]) -> Run:
    call, publishes, replies = plan.call, plan.outcome.publishes, plan.outcome.replies
    body_of, reply_of = plan.adapter.body_of, plan.adapter.reply_of
    here, deliver, fail = plan.outcome.here, plan.outcome.deliver, plan.fail

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native, here.made = native, None
        try:
            try:
                value = read_body(body_of(native))
            except Exception as error:
                raise payload.invalid(error) from error
            result = await call(value)
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except FAILURES as error:
            await fail(error)
            return False
        return True

    return run


def _fields(plan: _Plan, payload: Payload, read_body: Callable[[bytes], Any]) -> Run:
    call, publishes, replies = plan.call, plan.outcome.publishes, plan.outcome.replies
    body_of, reply_of = plan.adapter.body_of, plan.adapter.reply_of
    here, deliver, fail = plan.outcome.here, plan.outcome.deliver, plan.fail

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native, here.made = native, None
        try:
            try:
                values = read_body(body_of(native))
            except Exception as error:
                raise payload.invalid(error) from error
            result = await call(*values)
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except FAILURES as error:
            await fail(error)
            return False
        return True

    return run


def _injected(plan: _Plan, signature: Signature, surroundings: Surroundings, payload: Payload) -> Run:
    call, publishes, replies = plan.call, plan.outcome.publishes, plan.outcome.replies
    reply_of, overrides = plan.adapter.reply_of, plan.broker.overrides
    here, deliver, fail = plan.outcome.here, plan.outcome.deliver, plan.fail
    message_of = here.message_of
    invoke = with_injection(call, signature, surroundings, payload)
    overridden = _overridden(plan, signature, surroundings)

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native = native
        here.made = message = message_of(native)
        try:
            result = await (overridden if overrides else invoke)(message)
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except FAILURES as error:
            await fail(error)
            return False
        return True

    return run


def _overridden(plan: _Plan, signature: Signature, surroundings: Surroundings) -> Consume:
    """Works everything out anew, so that overrides, which are a test's, may change at any time."""
    overridden = replace(surroundings, overrides=plan.broker.overrides)

    async def invoke(message: Message[Any]) -> Any:
        return await with_injection(plan.call, signature, overridden)(message)

    return invoke


def _invoker(plan: _Plan, signature: Signature, surroundings: Surroundings, payload: Payload) -> Consume:
    overrides = plan.broker.overrides
    invoke = with_injection(plan.call, signature, surroundings, payload)
    overridden = _overridden(plan, signature, surroundings)

    async def invoke_either(message: Message[Any]) -> Any:
        return await (overridden if overrides else invoke)(message)

    return invoke_either


def _deliverer(plan: _Plan) -> Callable[[Any], Awaitable[None]]:
    outcome, reply_of = plan.outcome, plan.adapter.reply_of

    async def deliver(result: Any) -> None:
        if (outcome.publishes and result is not None) or (outcome.replies and reply_of(outcome.here.native)):
            await outcome.deliver(result)

    return deliver


def _scoped(plan: _Plan, consume: Callable[[Message[Any]], Awaitable[None]]) -> Run:
    here, fail, message_of = plan.outcome.here, plan.fail, plan.outcome.here.message_of

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native = native
        here.made = message = message_of(native)
        try:
            await consume(message)
        except FAILURES as error:
            await fail(error)
            return False
        return True

    return run


def _filtered(
    choices: Sequence[tuple[Accepts | None, Run]],
    here: Handling,
    source: Source,
    fail: Callable[[BaseException], Awaitable[None]],
) -> Run:
    """Hands a message to the first handler that accepts it."""

    async def choose(message: Message[Any]) -> Run:
        for accepts, run in choices:
            if accepts is None:
                return run
            accepted = accepts(message)
            if await accepted if isawaitable(accepted) else accepted:
                return run
        raise ValidationError(source.channel, (FieldError("", "", "no handler's filter accepts it"),))

    async def run_chosen(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native, here.made = native, None
        try:
            run = await choose(here.message())
        except FAILURES as error:
            await fail(error)
            return False
        return await run(native)

    return run_chosen


def _logged(run: Run, outcome: Outcome) -> Run:
    async def run_and_log(native: Any) -> bool:
        started = perf_counter()
        succeeded = await run(native)
        if succeeded:
            outcome.log_handled(started)
        return succeeded

    return run_and_log
