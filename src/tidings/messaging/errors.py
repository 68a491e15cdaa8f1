"""Every exception of the framework.

::

    TidingsError
    ├── SetupError               a handler, source or option that cannot work; raised when it starts
    │   └── OptionError          an option of an App's start that is missing, not valid or unknown
    ├── ContextError             (LookupError) a `Context` value that is not there
    ├── ValidationError          (ValueError) an input that is not what a handler asks for
    ├── DecodeError              (ValueError) a message's body that is not what `decode` asks for
    ├── ResultError              (ValueError) a handler's result that is not what it announces
    ├── RemoteError              the other side answered a request with an error
    ├── HandlerTimeoutError      (TimeoutError) a handler that took longer than its `timeout`
    ├── RequestTimeoutError      (TimeoutError) nobody answered a request in time
    ├── NoRespondersError        nobody listens to the address of a request
    ├── PublishError             a message that the broker's client refused
    ├── StoreError               a store of marks that does not answer; see `marks`
    └── BrokerConnectionError    (ConnectionError)
        ├── NotConnectedError    used before `connect()` or after `stop()`
        ├── BrokerRefusedError   the broker refuses who we are; trying again would not help
        └── ConnectionLostError  it was there, and its client gave up to get it back

What a handler raises to say what becomes of its message is no error: `acks.Verdict`.

Errors of a broker's client become one of these in that adapter's table, with the original as their
cause.
"""

from dataclasses import dataclass
from typing import Any

__all__ = [
    "BrokerConnectionError",
    "BrokerRefusedError",
    "ConnectionLostError",
    "ContextError",
    "DecodeError",
    "FieldError",
    "HandlerTimeoutError",
    "NoRespondersError",
    "NotConnectedError",
    "OptionError",
    "PublishError",
    "RemoteError",
    "RequestTimeoutError",
    "ResultError",
    "SetupError",
    "StoreError",
    "TidingsError",
    "ValidationError",
]


class TidingsError(Exception):
    """Root of all errors of the framework."""


class SetupError(TidingsError):
    """A handler, source or option that cannot work; raised when it starts."""


class OptionError(SetupError):
    """An option of an App's start that is missing, not valid, or asked for by no hook.

    Attributes:
        name: of the option, as a hook's parameter has it.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class ContextError(TidingsError, LookupError):
    """A `Context` value that is not there and has no default."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with an input.

    Attributes:
        parameter: the handler's (or dependency's) parameter; empty when it is none in particular.
        field: where in the parameter's value, dots between the levels; empty for the whole of it.
        problem: what is wrong with it. Never holds the value itself.
    """

    parameter: str
    field: str
    problem: str

    def __str__(self) -> str:
        where = [
            f"{kind} {name!r}"
            for kind, name in (("parameter", self.parameter), ("field", self.field))
            if name
        ]
        return f"{', '.join(where)}: {self.problem}" if where else self.problem


_SHOWN = 5  # errors in the text of a ValidationError: it goes into logs and headers


class ValidationError(TidingsError, ValueError):
    """A payload, header or path that is not what a handler asks for.

    The text says where it is wrong and holds no value, so that it may be sent to a requester.

    Attributes:
        channel: where the message came from, for example a subject.
        errors: what is wrong with it.
    """

    def __init__(self, channel: str, errors: tuple[FieldError, ...]) -> None:
        super().__init__(f"message of {channel!r}: {_listed(errors)}")
        self.channel = channel
        self.errors = errors


def _listed(errors: tuple[FieldError, ...]) -> str:
    shown = [str(error) for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        shown.append(f"and {len(errors) - _SHOWN} more")
    return "; ".join(shown)


class DecodeError(TidingsError, ValueError):
    """A message's body that is not what `Message.decode` asks for; in a handler a failure like any other.

    Attributes:
        channel: where the message came from.
        errors: what is wrong with it; the text has them, and no value.
    """

    def __init__(self, channel: str, into: str, errors: tuple[FieldError, ...]) -> None:
        super().__init__(f"the body of a message of {channel!r} is not of {into}: {_listed(errors)}")
        self.channel = channel
        self.errors = errors


class ResultError(TidingsError, ValueError):
    """A handler's result that is not what its return annotation announces, or has no JSON form."""


class RemoteError(TidingsError):
    """The other side answered a request with an error.

    A handler may raise one of its own: then `code` and `description` reach the requester as they
    are. One that came back to it from a request is a failure like any other.

    Attributes:
        code: what kind of error, in the manner of HTTP: "400" for an input that is not valid,
            "500" for a handler that failed.
        description: what went wrong, for people.
        response: the answer, as a `Message`; None for one that a handler raises.
    """

    def __init__(self, code: str, description: str, response: Any = None) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.response = response


class HandlerTimeoutError(TidingsError, TimeoutError):
    """A handler took longer than the `timeout` of its subscriber."""


class RequestTimeoutError(TidingsError, TimeoutError):
    """Nobody answered a request within its timeout."""


class NoRespondersError(TidingsError):
    """Nobody listens to the address of a request."""


class PublishError(TidingsError):
    """A message that the broker's client refused; the cause says why."""


class StoreError(TidingsError):
    """A store that knows what was handled or who runs a schedule, and does not answer; the cause says why."""


class BrokerConnectionError(TidingsError, ConnectionError):
    """There is no connection to the broker to use."""


class NotConnectedError(BrokerConnectionError):
    """The broker was used before `connect()` or after `stop()`."""


class BrokerRefusedError(BrokerConnectionError):
    """The broker refuses who we are; trying again would not help."""


class ConnectionLostError(BrokerConnectionError):
    """The connection has ended for good: the client gave up to get it back, or was closed by itself."""
