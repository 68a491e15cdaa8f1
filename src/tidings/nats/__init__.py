"""An asyncio client for NATS.

::

    from tidings.nats import connect

    async with await connect("nats://localhost:4222") as client:
        await client.publish("greet.joe", b"hello")
"""

from typing import TYPE_CHECKING, Any

from tidings.nats.client import Client, connect
from tidings.nats.core import events
from tidings.nats.core.creds import RawCredentials
from tidings.nats.core.inbox_requests import ReplyStream
from tidings.nats.core.options import Options
from tidings.nats.core.stats import ConnectedServer, Stats
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.tls import TLSOptions
from tidings.nats.errors import (
    AuthorizationError,
    BadHeaderError,
    BadSubjectError,
    BadSubscriptionError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    Error,
    FlushTimeoutError,
    InvalidUserCredentialsError,
    MaxPayloadError,
    MissingExtraError,
    NoRespondersError,
    NoServersError,
    OutboundBufferLimitError,
    PermissionsError,
    PossiblyLostError,
    ProtocolError,
    SecureConnFailedError,
    SecureConnRequiredError,
    SecureConnWantedError,
    ServerClosedError,
    ServerError,
    SlowConsumerError,
    StaleConnectionError,
    TimeoutError,
    WebSocketError,
)
from tidings.nats.version import __version__
from tidings.nats.wire import Headers, Msg

if TYPE_CHECKING:
    from tidings.nats.core.connect_options import ConnectOptions

__all__ = [
    "AuthorizationError",
    "BadHeaderError",
    "BadSubjectError",
    "BadSubscriptionError",
    "Client",
    "ConnectOptions",
    "ConnectedServer",
    "ConnectionClosedError",
    "ConnectionDrainingError",
    "ConnectionError",
    "ConnectionReconnectingError",
    "DrainTimeoutError",
    "Error",
    "FlushTimeoutError",
    "Headers",
    "InvalidUserCredentialsError",
    "MaxPayloadError",
    "MissingExtraError",
    "Msg",
    "NoRespondersError",
    "NoServersError",
    "Options",
    "OutboundBufferLimitError",
    "PermissionsError",
    "PossiblyLostError",
    "ProtocolError",
    "RawCredentials",
    "SecureConnFailedError",
    "ReplyStream",
    "SecureConnRequiredError",
    "SecureConnWantedError",
    "ServerClosedError",
    "ServerError",
    "SlowConsumerError",
    "StaleConnectionError",
    "Stats",
    "Subscription",
    "TLSOptions",
    "TimeoutError",
    "WebSocketError",
    "__version__",
    "connect",
    "events",
]


def __getattr__(name: str) -> Any:
    """Load what only annotations name when it is asked for: the import is quick without it."""
    if name != "ConnectOptions":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tidings.nats.core.connect_options import ConnectOptions

    return ConnectOptions
