"""Where our errors become nats-py's: one table, and the original is the cause."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from tidings.nats import errors as native
from tidings.nats.compat import errors
from tidings.nats.jetstream import errors as jetstream

__all__ = ["translated", "translates", "translating"]

Call = TypeVar("Call", bound=Callable[..., Coroutine[Any, Any, Any]])

# The most special class of ours that stands here decides.
TABLE: dict[type[native.Error], Callable[[Any], Exception]] = {
    native.Error: lambda error: errors.Error(f"nats: {error}"),
    native.ServerError: lambda error: errors.Error(f"nats: {error}".lower()),
    native.SlowConsumerError: lambda error: errors.SlowConsumerError(error.subject, "", error.sid, None),
    native.BadHeaderError: lambda error: errors.BadHeaderError(),
    jetstream.MsgAlreadyAckdError: lambda error: errors.MsgAlreadyAckdError(),
    jetstream.AckTimeoutError: lambda error: errors.TimeoutError(),
    jetstream.AckLostError: lambda error: errors.ConnectionClosedError(),
} | {
    ours: lambda error, theirs=theirs: theirs()  # type: ignore[misc]
    for ours, theirs in {
        native.TimeoutError: errors.TimeoutError,
        native.FlushTimeoutError: errors.FlushTimeoutError,
        native.DrainTimeoutError: errors.DrainTimeoutError,
        native.NoRespondersError: errors.NoRespondersError,
        native.StaleConnectionError: errors.StaleConnectionError,
        native.OutboundBufferLimitError: errors.OutboundBufferLimitError,
        native.ConnectionClosedError: errors.ConnectionClosedError,
        native.ServerClosedError: errors.UnexpectedEOF,
        native.ConnectionDrainingError: errors.ConnectionDrainingError,
        native.ConnectionReconnectingError: errors.ConnectionReconnectingError,
        native.SecureConnRequiredError: errors.SecureConnRequiredError,
        native.SecureConnWantedError: errors.SecureConnWantedError,
        native.SecureConnFailedError: errors.SecureConnFailedError,
        native.BadSubscriptionError: errors.BadSubscriptionError,
        native.BadSubjectError: errors.BadSubjectError,
        native.MaxPayloadError: errors.MaxPayloadError,
        native.AuthorizationError: errors.AuthorizationError,
        native.NoServersError: errors.NoServersError,
        native.InvalidUserCredentialsError: errors.InvalidUserCredentialsError,
        native.ProtocolError: errors.ProtocolError,
        jetstream.NotJSMessageError: errors.NotJSMessageError,
    }.items()
}


def translated(error: Exception) -> Exception:
    """`error` as nats-py raises it; what is none of ours, and what is nats-py's already, as it is."""
    if not isinstance(error, native.Error) or isinstance(error, errors.Error):
        return error
    for kind in type(error).__mro__:
        if kind in TABLE:
            theirs = TABLE[kind](error)
            theirs.__cause__ = error
            return theirs
    raise AssertionError("native.Error is in the table")


@contextmanager
def translating() -> Iterator[None]:
    """Raise errors of ours as nats-py's."""
    try:
        yield
    except native.Error as error:
        theirs = translated(error)
        if theirs is error:
            raise
        raise theirs from error


def translates(call: Call) -> Call:
    """A coroutine function whose errors are nats-py's."""

    @wraps(call)
    async def translating_call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await call(*args, **kwargs)
        except native.Error as error:
            theirs = translated(error)
            if theirs is error:
                raise
            raise theirs from error

    return cast(Call, translating_call)
