"""Fixtures for pytest. Ask for them in a ``conftest.py``::

    pytest_plugins = ["tidings.testing.fixtures"]

They are no plugin that pytest loads by itself: that would put their names, and the time to import them, into
every project that has tidings installed.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tidings.brokers.memory import MemoryBroker
    from tidings.nats.server import NatsCluster, NatsServer

__all__ = ["memory_broker", "nats_cluster", "nats_server"]


@pytest.fixture
def nats_server() -> "Iterator[NatsServer]":
    """A nats-server of the test's own, with JetStream in a folder of its own; `url` is where it is."""
    from tidings.nats.server import NatsServer

    with NatsServer() as server:
        yield server


@pytest.fixture
def nats_cluster() -> "Iterator[NatsCluster]":
    """Three nats-servers of the test's own, for what happens when one of them goes."""
    from tidings.nats.server import NatsServer

    with NatsServer.cluster(3) as cluster:
        yield cluster


@pytest.fixture
def memory_broker() -> "MemoryBroker":
    """A memory broker of the test's own; the test starts it."""
    from tidings.brokers.memory import MemoryBroker

    return MemoryBroker()
