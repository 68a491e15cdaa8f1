"""`nats.aio.errors`: the old names of the exceptions, each a subclass of the new one, as in nats-py."""

# ruff: noqa: D101  # the names are nats-py's

from __future__ import annotations

from tidings.nats.compat import errors

__all__ = [
    "ErrAuthorization",
    "ErrBadSubject",
    "ErrBadSubscription",
    "ErrBadTimeout",
    "ErrConnectionClosed",
    "ErrConnectionDraining",
    "ErrConnectionReconnecting",
    "ErrDrainTimeout",
    "ErrInvalidCallbackType",
    "ErrInvalidUserCredentials",
    "ErrJsonParse",
    "ErrMaxPayload",
    "ErrNoServers",
    "ErrSecureConnFailed",
    "ErrSecureConnRequired",
    "ErrSecureConnWanted",
    "ErrSlowConsumer",
    "ErrStaleConnection",
    "ErrTimeout",
    "NatsError",
]


class NatsError(errors.Error): ...


class ErrConnectionClosed(errors.ConnectionClosedError): ...


class ErrDrainTimeout(errors.DrainTimeoutError): ...


class ErrInvalidUserCredentials(errors.InvalidUserCredentialsError): ...


class ErrInvalidCallbackType(errors.InvalidCallbackTypeError): ...


class ErrConnectionReconnecting(errors.ConnectionReconnectingError): ...


class ErrConnectionDraining(errors.ConnectionDrainingError): ...


class ErrMaxPayload(errors.MaxPayloadError): ...


class ErrStaleConnection(errors.StaleConnectionError): ...


class ErrJsonParse(errors.JsonParseError): ...


class ErrSecureConnRequired(errors.SecureConnRequiredError): ...


class ErrSecureConnWanted(errors.SecureConnWantedError): ...


class ErrSecureConnFailed(errors.SecureConnFailedError): ...


class ErrBadSubscription(errors.BadSubscriptionError): ...


class ErrBadSubject(errors.BadSubjectError): ...


class ErrSlowConsumer(errors.SlowConsumerError): ...


class ErrTimeout(errors.TimeoutError): ...


class ErrBadTimeout(errors.BadTimeoutError): ...


class ErrAuthorization(errors.AuthorizationError): ...


class ErrNoServers(errors.NoServersError): ...
