"""The table of the client's errors."""

from inspect import isclass

import pytest

from tidings.brokers.nats.errors import TABLE, translated
from tidings.messaging.errors import (
    BrokerConnectionError,
    BrokerRefusedError,
    NoRespondersError,
    NotConnectedError,
    PublishError,
    RequestTimeoutError,
)
from tidings.nats import errors as nats


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (nats.AuthorizationError("x"), BrokerRefusedError),
        (nats.NoServersError("x"), BrokerConnectionError),
        (nats.ConnectionClosedError("x"), NotConnectedError),
        (nats.ConnectionReconnectingError("x"), BrokerConnectionError),
        (nats.TimeoutError("x"), RequestTimeoutError),
        (nats.NoRespondersError("x"), NoRespondersError),
        (nats.MaxPayloadError("x"), PublishError),
        (nats.BadSubjectError("x"), PublishError),
    ],
)
def test_an_error_is_the_frameworks_own(theirs: nats.Error, ours: type[Exception]) -> None:
    found = translated(theirs)
    assert type(found) is ours
    assert str(found) == str(theirs)


def test_every_error_of_the_client_has_a_row() -> None:
    for name in nats.__all__:
        theirs = getattr(nats, name)
        assert isclass(theirs)
        assert any(issubclass(theirs, row) for row, _ in TABLE)


def test_no_row_hides_one_below_it() -> None:
    for place, (row, _) in enumerate(TABLE):
        assert not any(issubclass(row, above) for above, _ in TABLE[:place])
