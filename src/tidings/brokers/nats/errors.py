"""The client's errors as the framework's: the one table."""

from tidings.messaging.errors import (
    BrokerConnectionError,
    BrokerRefusedError,
    NoRespondersError,
    NotConnectedError,
    PublishError,
    RequestTimeoutError,
    SetupError,
    TidingsError,
)
from tidings.nats import errors as nats

__all__ = ["TABLE", "translated"]

# The first row whose type an error has; every row stands before those of its base types.
TABLE: tuple[tuple[type[nats.Error], type[TidingsError]], ...] = (
    (nats.AuthorizationError, BrokerRefusedError),
    (nats.ConnectionClosedError, NotConnectedError),
    (nats.ConnectionError, BrokerConnectionError),
    (nats.StaleConnectionError, BrokerConnectionError),
    (nats.TimeoutError, RequestTimeoutError),
    (nats.NoRespondersError, NoRespondersError),
    (nats.BadSubscriptionError, SetupError),
    (nats.MissingExtraError, SetupError),
    (nats.Error, PublishError),
)


def translated(error: nats.Error) -> TidingsError:
    """The framework's error for the client's, to be raised from it."""
    for theirs, ours in TABLE:
        if isinstance(error, theirs):
            return ours(_text(error))
    raise AssertionError("the last row is the root of the client's errors")


def _text(error: nats.Error) -> str:
    """Without an address that the framework names itself."""
    if isinstance(error, nats.NoServersError) and len(error.reasons) == 1:
        return next(iter(error.reasons.values()))
    return str(error)
