"""A handler compiled: one coroutine function of a native message, in the shape that costs least.

decode → validate → bind → call → publish results

The shapes differ in what is between the message and the call, and in nothing else:

==========  ===========================================  ==================================
shape       for handlers with                            makes a Message
==========  ===========================================  ==================================
raw         one parameter, `bytes`                       for a reply, a publisher, a failure
whole       one parameter, which the body alone decides  likewise
fields      several payload parameters                   likewise
injected    everything else                              always
batch       a list of messages, see `batch_plan`         for a failure, or an injected value
==========  ===========================================  ==================================

Every shape notes first what it handles, so that whatever runs in the handler knows the message, and
lets nothing out but CancelledError. A plan handles one message at a time, so a source with several
workers has as many. Where messages are settled, `settling` is around the shape, and gets its failures.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from inspect import isasyncgenfunction, isgeneratorfunction
from time import perf_counter
from typing import Any, TypeAlias

from .adapter import Adapter, Handle
from .batch_plan import batch_run
from .broker import Broker
from .endpoints import Source
from .errors import SetupError
from .handling import Handling, handling
from .injection import Overrides, Surroundings, is_async, payload_of, with_injection
from .outcome import FAILURES, Outcome
from .payload import Payload
from .settling import Settling, settling_for
from .signature import Signature, describe, read_signature
from .validation import encoder_for, untouched

__all__ = ["plan_for", "surroundings_of"]

Call: TypeAlias = Callable[..., Awaitable[Any]]
Run: TypeAlias = Callable[[Any], Awaitable[bool]]
"""Handles a native message; whether the handler and its publishers came to their end."""


def plan_for(handler: Callable[..., Any], broker: Broker[Any], source: Source) -> Handle:
    """What to await with each native message of `source`, or each list of them where it has a `batch`.

    It gives False where the handler, or a publisher of it, failed.

    Raises:
        SetupError: the handler asks for something that cannot be, or the source does.
    """
    source.check()
    settling = settling_for(source, broker.adapter.settler(source), broker)
    plans = [_plan(handler, broker, source, settling) for _ in range(source.workers)]
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
    handler: Callable[..., Any], broker: Broker[Any], source: Source, settling: Settling | None
) -> Handle:
    signature = read_signature(handler)
    _check(handler, signature)
    surroundings = surroundings_of(broker, source)
    encode = encoder_for(signature.returns, validate=surroundings.validate, encoder=broker.options.encoder)
    sends = [output.sender() for output in broker.outputs_of(handler)]
    message_of = broker.adapter.message_factory(source)
    call = handler if is_async(handler) else broker.threads.wrap(handler)
    run: Run
    if source.batch is not None and settling is not None:
        here = Handling(lambda natives: message_of(natives[0]))
        outcome = Outcome(broker, encode, sends, here, replies=False)
        run = batch_run(call, signature, surroundings, message_of, outcome, settling, broker)
    else:
        here = Handling(message_of)
        outcome = Outcome(broker, encode, sends, here, replies=source.answers)
        fail = outcome.fail if settling is None else settling.failing(here, outcome)
        run = _single(_Plan(broker.adapter, call, outcome, fail), signature, surroundings, broker.overrides)
        if settling is not None:
            run = settling.around(run)
    if broker.logger.isEnabledFor(broker.options.log_level):
        return _logged(run, outcome)
    return run


def _single(plan: "_Plan", signature: Signature, surroundings: Surroundings, overrides: Overrides) -> "Run":
    payload = payload_of(signature, surroundings)
    if payload.read_body is None or not _is_payload_only(signature, payload):
        return _injected(plan, signature, surroundings, payload, overrides)
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
    )


def _is_payload_only(signature: Signature, payload: Payload) -> bool:
    names = tuple(each.name for each in signature.parameters if not each.by_keyword)
    return names == payload.names and len(names) == len(signature.parameters)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the shapes have in common."""

    adapter: Adapter[Any, Any]
    call: Call
    outcome: Outcome
    fail: Callable[[BaseException], Awaitable[None]]


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


def _injected(
    plan: _Plan, signature: Signature, surroundings: Surroundings, payload: Payload, overrides: Overrides
) -> Run:
    call, publishes, replies = plan.call, plan.outcome.publishes, plan.outcome.replies
    reply_of = plan.adapter.reply_of
    here, deliver, fail = plan.outcome.here, plan.outcome.deliver, plan.fail
    message_of = here.message_of
    invoke = with_injection(call, signature, surroundings, payload)
    overridden = replace(surroundings, overrides=overrides)

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native = native
        here.made = message = message_of(native)
        try:
            if overrides:  # a test's; worked out anew, so that they may change at any time
                result = await with_injection(call, signature, overridden)(message)
            else:
                result = await invoke(message)
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except FAILURES as error:
            await fail(error)
            return False
        return True

    return run


def _logged(run: Run, outcome: Outcome) -> Run:
    async def run_and_log(native: Any) -> bool:
        started = perf_counter()
        succeeded = await run(native)
        if succeeded:
            outcome.log_handled(started)
        return succeeded

    return run_and_log
