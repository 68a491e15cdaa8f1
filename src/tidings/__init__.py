"""Event-driven services in Python, from the bytes on a NATS connection to a typed handler.

This is the framework's face; the brokers are in `tidings.brokers`, the NATS client alone is
`tidings.nats`. Names are imported when they are first used, so that who wants the client does not
load the framework.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidings.app import App
    from tidings.messaging.acks import AckMessage, AckPolicy, NackMessage, RejectMessage, SkipMessage
    from tidings.messaging.batch import Batch
    from tidings.messaging.context import ContextRepo
    from tidings.messaging.dedupe import Dedupe
    from tidings.messaging.errors import (
        BrokerConnectionError,
        BrokerRefusedError,
        ConnectionLostError,
        ContextError,
        DecodeError,
        HandlerTimeoutError,
        NoRespondersError,
        NotConnectedError,
        OptionError,
        PublishError,
        RemoteError,
        RequestTimeoutError,
        ResultError,
        SetupError,
        StoreError,
        TidingsError,
        ValidationError,
    )
    from tidings.messaging.exceptions import ExceptionMiddleware
    from tidings.messaging.health import Health, SubscriberHealth
    from tidings.messaging.logs import HandlingFilter, JsonFormatter
    from tidings.messaging.marks import MemoryMarks
    from tidings.messaging.message import Message
    from tidings.messaging.middleware import BaseMiddleware, CallNext, Outgoing
    from tidings.messaging.params import Context, Depends, Header, Logger, NoCast, Path
    from tidings.messaging.response import Response
    from tidings.messaging.retry import Retry
    from tidings.messaging.router import Route, Router

__all__ = [
    "HandlerTimeoutError",
    "Router",
    "Route",
    "Response",
    "Outgoing",
    "CallNext",
    "BaseMiddleware",
    "ExceptionMiddleware",
    "AckMessage",
    "AckPolicy",
    "App",
    "Batch",
    "BrokerConnectionError",
    "BrokerRefusedError",
    "ConnectionLostError",
    "Context",
    "ContextError",
    "ContextRepo",
    "Dedupe",
    "DecodeError",
    "Depends",
    "HandlingFilter",
    "Header",
    "Health",
    "JsonFormatter",
    "Logger",
    "MemoryMarks",
    "Message",
    "NackMessage",
    "NoCast",
    "NoRespondersError",
    "NotConnectedError",
    "OptionError",
    "Path",
    "PublishError",
    "RejectMessage",
    "RemoteError",
    "RequestTimeoutError",
    "ResultError",
    "Retry",
    "SetupError",
    "SkipMessage",
    "StoreError",
    "SubscriberHealth",
    "TidingsError",
    "ValidationError",
]

# The same as the imports above, which a test checks.
_HOMES = {
    "tidings.app": ("App",),
    "tidings.messaging.acks": ("AckMessage", "AckPolicy", "NackMessage", "RejectMessage", "SkipMessage"),
    "tidings.messaging.batch": ("Batch",),
    "tidings.messaging.context": ("ContextRepo",),
    "tidings.messaging.dedupe": ("Dedupe",),
    "tidings.messaging.errors": (
        "BrokerConnectionError",
        "BrokerRefusedError",
        "ConnectionLostError",
        "ContextError",
        "DecodeError",
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
    ),
    "tidings.messaging.exceptions": ("ExceptionMiddleware",),
    "tidings.messaging.health": ("Health", "SubscriberHealth"),
    "tidings.messaging.logs": ("HandlingFilter", "JsonFormatter"),
    "tidings.messaging.marks": ("MemoryMarks",),
    "tidings.messaging.message": ("Message",),
    "tidings.messaging.middleware": ("BaseMiddleware", "CallNext", "Outgoing"),
    "tidings.messaging.params": ("Context", "Depends", "Header", "Logger", "NoCast", "Path"),
    "tidings.messaging.response": ("Response",),
    "tidings.messaging.retry": ("Retry",),
    "tidings.messaging.router": ("Route", "Router"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
