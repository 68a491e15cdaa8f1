"""nats-py's exceptions: its names, its texts, its tree.

Each is ours of the same name as well, where there is one, so that ``except`` clauses of either kind work. The
text is the one that programs match; what went wrong in detail is the ``__cause__``.
"""

# ruff: noqa: D101  # their texts say what they are

from __future__ import annotations

from typing import Any, ClassVar

from tidings.nats import errors as native
from tidings.nats.jetstream import errors as jetstream

__all__ = [
    "AuthorizationError",
    "BadHeaderError",
    "BadSubjectError",
    "BadSubscriptionError",
    "BadTimeoutError",
    "ConnectionClosedError",
    "ConnectionDrainingError",
    "ConnectionReconnectingError",
    "DrainTimeoutError",
    "Error",
    "FlushTimeoutError",
    "InvalidCallbackTypeError",
    "InvalidUserCredentialsError",
    "JsonParseError",
    "MaxPayloadError",
    "MsgAlreadyAckdError",
    "NoRespondersError",
    "NoServersError",
    "NotJSMessageError",
    "OutboundBufferLimitError",
    "ProtocolError",
    "SecureConnFailedError",
    "SecureConnRequiredError",
    "SecureConnWantedError",
    "ServerNotInPoolError",
    "SlowConsumerError",
    "StaleConnectionError",
    "TimeoutError",
    "UnexpectedEOF",
]


class Error(native.Error):
    """Base of all."""

    text: ClassVar[str] = ""

    def __init__(self, *args: Any) -> None:
        Exception.__init__(self, *args)  # whatever arguments the class of ours takes

    def __str__(self) -> str:
        return self.text or Exception.__str__(self)


class TimeoutError(Error, native.TimeoutError):
    text = "nats: timeout"


class FlushTimeoutError(TimeoutError, native.FlushTimeoutError):
    text = "nats: flush timeout"


class DrainTimeoutError(TimeoutError, native.DrainTimeoutError):
    text = "nats: draining connection timed out"


class NoRespondersError(Error, native.NoRespondersError):
    text = "nats: no responders available for request"


class StaleConnectionError(Error, native.StaleConnectionError):
    text = "nats: stale connection"


class UnexpectedEOF(StaleConnectionError):
    text = "nats: unexpected EOF"


class OutboundBufferLimitError(Error, native.OutboundBufferLimitError):
    text = "nats: outbound buffer limit exceeded"


class ConnectionClosedError(Error, native.ConnectionClosedError):
    text = "nats: connection closed"


class SecureConnRequiredError(Error, native.SecureConnRequiredError):
    text = "nats: secure connection required"


class SecureConnWantedError(Error, native.SecureConnWantedError):
    text = "nats: secure connection not available"


class SecureConnFailedError(Error, native.SecureConnFailedError):
    text = "nats: secure connection failed"


class BadSubscriptionError(Error, native.BadSubscriptionError):
    text = "nats: invalid subscription"


class BadSubjectError(Error, native.BadSubjectError):
    text = "nats: invalid subject"


class BadHeaderError(Error, native.BadHeaderError):
    """A header that cannot be sent.

    Attributes:
        key: its name, where that is known.
    """

    def __init__(self, key: str = "") -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"nats: invalid header: {self.key!r}" if self.key else "nats: invalid header"


class SlowConsumerError(Error, native.SlowConsumerError):
    """A subscription dropped messages.

    Attributes:
        subject, sid, sub: of the subscription.
        reply: always empty: a drop is told of once, and not for each message.
    """

    def __init__(self, subject: str, reply: str, sid: int, sub: Any) -> None:
        super().__init__(subject, reply, sid, sub)
        self.subject = subject
        self.reply = reply
        self.sid = sid
        self.sub = sub

    def __str__(self) -> str:
        return (
            f"nats: slow consumer, messages dropped subject: {self.subject}, sid: {self.sid}, sub: {self.sub}"
        )


class BadTimeoutError(Error):
    text = "nats: timeout invalid"


class AuthorizationError(Error, native.AuthorizationError):
    text = "nats: authorization failed"


class NoServersError(Error, native.NoServersError):
    text = "nats: no servers available for connection"


class JsonParseError(Error):
    text = "nats: connect message, json parse err"


class MaxPayloadError(Error, native.MaxPayloadError):
    text = "nats: maximum payload exceeded"


class ConnectionDrainingError(Error, native.ConnectionDrainingError):
    text = "nats: connection draining"


class ConnectionReconnectingError(Error, native.ConnectionReconnectingError):
    text = "nats: connection reconnecting"


class InvalidUserCredentialsError(Error, native.InvalidUserCredentialsError):
    text = "nats: invalid user credentials"


class InvalidCallbackTypeError(Error):
    text = "nats: callbacks must be coroutine functions"


class ProtocolError(Error, native.ProtocolError):
    text = "nats: protocol error"


class ServerNotInPoolError(Error):
    text = "nats: selected server is not in the pool"


class NotJSMessageError(Error, jetstream.NotJSMessageError):
    text = "nats: not a JetStream message"


class MsgAlreadyAckdError(Error, jetstream.MsgAlreadyAckdError):
    def __init__(self, msg: Any = None) -> None:
        super().__init__(msg)
        self._msg = msg

    def __str__(self) -> str:
        return f"nats: message was already acknowledged: {self._msg}"
