"""Every exception of the NATS client.

::

    Error
    ├── ProtocolError                    the peer sent bytes that are not the NATS protocol
    │   └── WebSocketError               … or not WebSocket, or it refuses to speak it
    ├── BadSubjectError   (ValueError)   a subject that would break the line protocol or names nothing
    ├── BadHeaderError    (ValueError)   a header name or value that would break the header block
    ├── MaxPayloadError   (ValueError)   headers and payload exceed what the server accepts
    ├── TimeoutError      (TimeoutError) nothing came in time
    │   ├── FlushTimeoutError
    │   └── DrainTimeoutError
    ├── NoRespondersError                nobody is subscribed to the subject of a request (status 503)
    ├── SlowConsumerError                a subscription's limit was reached and messages were dropped
    ├── BadSubscriptionError             the subscription is closed, or used in two ways at once
    ├── ServerError                      the server answered -ERR
    │   ├── AuthorizationError           … and refuses who we are
    │   ├── PermissionsError             … and refuses one subject
    │   └── StaleConnectionError         … or we found the other side silent
    ├── MissingExtraError (ImportError)  an extra of tidings is not installed; the text names it
    └── ConnectionError                  (the built-in ConnectionError)
        ├── NoServersError               no server of the pool could be reached; the cause is the last reason
        ├── ConnectionClosedError        the client is closed
        │   └── ServerClosedError        … no, the server closed the connection: why it was lost
        ├── ConnectionDrainingError      the client drains and takes no new work
        ├── ConnectionReconnectingError  the connection is away and the operation cannot wait for it
        ├── OutboundBufferLimitError     the connection is away and the reconnect buffer is full
        ├── PossiblyLostError            the connection broke before a server confirmed what was published
        ├── InvalidUserCredentialsError  our credentials cannot be read; the text names the file
        ├── SecureConnRequiredError      the server insists on TLS, and the transport cannot do it
        ├── SecureConnWantedError        we insist on TLS, and the server has none
        └── SecureConnFailedError        TLS could not be set up; the text says what to do

Names follow nats-py, so that ``except`` clauses move over unchanged.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "AuthorizationError",
    "BadHeaderError",
    "BadSubjectError",
    "BadSubscriptionError",
    "ConnectionClosedError",
    "ConnectionDrainingError",
    "ConnectionError",
    "ConnectionReconnectingError",
    "DrainTimeoutError",
    "Error",
    "FlushTimeoutError",
    "InvalidUserCredentialsError",
    "MaxPayloadError",
    "MissingExtraError",
    "NoRespondersError",
    "NoServersError",
    "OutboundBufferLimitError",
    "PermissionsError",
    "PossiblyLostError",
    "ProtocolError",
    "SecureConnFailedError",
    "SecureConnRequiredError",
    "SecureConnWantedError",
    "ServerClosedError",
    "ServerError",
    "SlowConsumerError",
    "StaleConnectionError",
    "TimeoutError",
    "WebSocketError",
]


class Error(Exception):
    """Root of all errors of `tidings.nats`."""


class ProtocolError(Error):
    """The peer sent bytes that are not the NATS protocol, or that exceed a limit of ours.

    Attributes:
        events: what a parser read before them in the same bytes; empty for an error from elsewhere.
    """

    events: Sequence[Any] = ()


class WebSocketError(ProtocolError):
    """The server, or a proxy before it, refuses WebSocket or breaks its rules (RFC 6455).

    Attributes:
        status: of the HTTP response that refused it; None for what came after it.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class BadSubjectError(Error, ValueError):
    """A subject, queue group or reply that would break the line protocol, or names nothing."""


class BadHeaderError(Error, ValueError):
    """A header name or value that would break the header block (ADR-4)."""


class MaxPayloadError(Error, ValueError):
    """Headers and payload together exceed the server's ``max_payload`` (bytes)."""


class TimeoutError(Error, builtins.TimeoutError):
    """Nothing came within the timeout."""


class FlushTimeoutError(TimeoutError):
    """The server did not confirm a flush within the timeout."""


class DrainTimeoutError(TimeoutError):
    """Draining did not finish within the timeout; what was left is named in the text."""


class NoRespondersError(Error):
    """Nobody is subscribed to the subject of a request (status 503).

    Attributes:
        subject: that of the request.
    """

    def __init__(self, text: str, subject: str = "") -> None:
        super().__init__(text)
        self.subject = subject


class SlowConsumerError(Error):
    """A subscription's pending limit was reached; messages were dropped and counted.

    Attributes:
        subject: what the subscription listens to.
        sid: the subscription's id on this connection.
        dropped: messages dropped by it since it was made.
    """

    def __init__(self, subject: str, sid: int, dropped: int) -> None:
        super().__init__(
            f"slow consumer: the subscription to {subject!r} (sid {sid}) holds as many messages as "
            f"its limits allow; {dropped} dropped so far"
        )
        self.subject = subject
        self.sid = sid
        self.dropped = dropped


class BadSubscriptionError(Error):
    """The subscription is closed, or is used in two ways at once."""


class ServerError(Error):
    """The server answered ``-ERR``; the text is the server's."""


class AuthorizationError(ServerError):
    """The server refuses the credentials, or wants some and got none."""


class PermissionsError(ServerError):
    """The server refuses a publish or a subscription to one subject; the connection lives on.

    Attributes:
        operation: ``"publish"`` or ``"subscription"``; empty when the text does not say.
        subject: what was refused; empty when the text does not say.
        queue_group: of a refused subscription; empty when it is in none.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # Permissions Violation for Subscription to "a.b" using queue "q"
        head, _, rest = text.partition(' to "')
        operation = head.rpartition(" for ")[2].lower()
        self.operation = operation if operation in ("publish", "subscription") else ""
        self.subject, _, rest = rest.partition('"')
        self.queue_group = rest.partition(' using queue "')[2].partition('"')[0]


class StaleConnectionError(ServerError):
    """The other side went silent: pings were not answered."""


class MissingExtraError(Error, ImportError):
    """Something was asked for that needs an extra of tidings; the text says how to install it."""


class ConnectionError(Error, builtins.ConnectionError):
    """There is no connection to use."""


class NoServersError(ConnectionError):
    """No server of the pool could be reached; ``__cause__`` is the last reason.

    Attributes:
        reasons: why, for each server that was tried at `connect`; empty when it was on the way back.
    """

    def __init__(self, text: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.reasons = dict(reasons or {})


class ConnectionClosedError(ConnectionError):
    """The client is closed; make a new one."""


class ServerClosedError(ConnectionClosedError):
    """The server closed the connection: the reason of a loss, or of an attempt to connect that failed."""


class ConnectionDrainingError(ConnectionError):
    """The client drains: it finishes what it has and takes no new work."""


class ConnectionReconnectingError(ConnectionError):
    """The connection is away and the operation cannot wait for it."""


class OutboundBufferLimitError(ConnectionError):
    """The connection is away and the reconnect buffer is full; a message was not taken, or dropped."""


class PossiblyLostError(ConnectionError):
    """The connection broke before a server confirmed what was written to it; nobody knows what arrived.

    Reported to the error callback and as an event. It is not sent again.

    Attributes:
        server: ``nats://host:port`` of the server.
        messages: how many are in doubt.
        bytes: of their headers and payloads.
    """

    def __init__(self, server: str, messages: int, size: int) -> None:
        super().__init__(
            f"{messages} messages ({size} bytes) written to {server} were not confirmed by it before the "
            "connection was lost; they may have arrived or not"
        )
        self.server = server
        self.messages = messages
        self.bytes = size


class SecureConnRequiredError(ConnectionError):
    """The server insists on TLS, and the transport cannot do it."""


class SecureConnWantedError(ConnectionError):
    """We insist on TLS (``tls://`` or a tls option), and the server has none; nothing was sent to it."""


class SecureConnFailedError(ConnectionError):
    """TLS could not be set up; the text says what to do, ``__cause__`` is the reason."""


class InvalidUserCredentialsError(ConnectionError):
    """Our credentials cannot be read or are of the wrong kind; the text names the file, not its content."""
