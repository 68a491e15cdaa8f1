"""The shapes of a compiled handler.

They differ in what is between the message and the call, and in nothing else:

==========  ===========================================  ==================================
shape       for handlers with                            makes a Message
==========  ===========================================  ==================================
raw         one parameter, `bytes`                       for a reply, a publisher, a failure
whole       one parameter, which the body alone decides  likewise
fields      several payload parameters                   likewise
injected    everything else                              always
scoped      anything, within middlewares                 always
batch       a list of messages, see `batch_plan`         for a failure, or an injected value
==========  ===========================================  ==================================

Every shape notes first what it handles, so that whatever runs in the handler knows the message, and
lets nothing out but CancelledError.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from inspect import isawaitable
from time import perf_counter
from typing import Any, TypeAlias

from ..adapter import Adapter
from ..bodies.payload import Payload
from ..bodies.validation import untouched
from ..broker import Broker
from ..endpoints import Accepts, Source
from ..errors import FieldError, ValidationError
from ..message import Message
from ..middleware import Consume, consume_through
from .handling import Handling, handling
from .injection import Surroundings, payload_of, with_injection
from .outcome import Outcome, pass_on
from .signature import Signature

__all__ = ["Fail", "Run", "Shaping", "filtered", "logged", "shaped"]

Call: TypeAlias = Callable[..., Awaitable[Any]]
Run: TypeAlias = Callable[[Any], Awaitable[bool]]
"""Handles a native message; whether the handler and its publishers came to their end."""
Fail: TypeAlias = Callable[[BaseException], Awaitable[bool]]
"""Gets what a handler failed with; whether it came to its end after all."""


@dataclass(frozen=True, slots=True)
class Shaping:
    """What the shapes have in common."""

    broker: Broker[Any]
    source: Source
    call: Call
    outcome: Outcome
    fail: Fail

    @property
    def adapter(self) -> Adapter[Any, Any]:
        """The broker's."""
        adapter: Adapter[Any, Any] = self.broker.adapter
        return adapter


def shaped(plan: Shaping, signature: Signature, surroundings: Surroundings) -> Run:
    """The handler in its shape. SetupError where it asks for what cannot be."""
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


def _is_payload_only(signature: Signature, payload: Payload) -> bool:
    names = tuple(each.name for each in signature.parameters if not each.by_keyword)
    return names == payload.names and len(names) == len(signature.parameters)


# The plain shapes repeat themselves, because a call more for each message is what they are there to save.


def _raw(plan: Shaping) -> Run:
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
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return True

    return run


def _whole(plan: Shaping, payload: Payload, read_body: Callable[[bytes], Any]) -> Run:
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
                raise payload.invalid(error, here.message()) from error
            result = await call(value)
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return True

    return run


def _fields(plan: Shaping, payload: Payload, read_body: Callable[[bytes], Any]) -> Run:
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
                raise payload.invalid(error, here.message()) from error
            result = await call(*values)
            if (publishes and result is not None) or (replies and reply_of(native)):
                await deliver(result)
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return True

    return run


def _injected(plan: Shaping, signature: Signature, surroundings: Surroundings, payload: Payload) -> Run:
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
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return True

    return run


def _overridden(plan: Shaping, signature: Signature, surroundings: Surroundings) -> Consume:
    """Works everything out anew, so that overrides, which are a test's, may change at any time."""
    overridden = replace(surroundings, overrides=plan.broker.overrides)

    async def invoke(message: Message[Any]) -> Any:
        return await with_injection(plan.call, signature, overridden)(message)

    return invoke


def _invoker(plan: Shaping, signature: Signature, surroundings: Surroundings, payload: Payload) -> Consume:
    overrides = plan.broker.overrides
    invoke = with_injection(plan.call, signature, surroundings, payload)
    overridden = _overridden(plan, signature, surroundings)

    async def invoke_either(message: Message[Any]) -> Any:
        return await (overridden if overrides else invoke)(message)

    return invoke_either


def _deliverer(plan: Shaping) -> Callable[[Any], Awaitable[None]]:
    outcome, reply_of = plan.outcome, plan.adapter.reply_of

    async def deliver(result: Any) -> None:
        if (outcome.publishes and result is not None) or (outcome.replies and reply_of(outcome.here.native)):
            await outcome.deliver(result)

    return deliver


def _scoped(plan: Shaping, consume: Callable[[Message[Any]], Awaitable[None]]) -> Run:
    here, fail, message_of = plan.outcome.here, plan.fail, plan.outcome.here.message_of

    async def run(native: Any) -> bool:
        if handling.get() is not here:
            handling.set(here)
        here.native = native
        here.made = message = message_of(native)
        try:
            await consume(message)
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return True

    return run


def filtered(
    choices: Sequence[tuple[Accepts | None, Run]],
    here: Handling,
    source: Source,
    fail: Fail,
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
        except BaseException as error:
            pass_on(error)
            return await fail(error)
        return await run(native)

    return run_chosen


def logged(run: Run, outcome: Outcome, level: int) -> Run:
    """Writes a line for each message handled."""

    async def run_and_log(native: Any) -> bool:
        started = perf_counter()
        succeeded = await run(native)
        if succeeded:
            outcome.log_handled(started, level)
        return succeeded

    return run_and_log
