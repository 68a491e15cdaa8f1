"""Real nats-servers as fixtures: one for the session, or a fresh one for a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidings.nats.server import NatsServer


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """The URL, token in it, of a server that all tests of the session share; it syncs lazily."""
    with NatsServer(durability="fast") as server:
        yield server.url


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A server of the test's own, to stop, kill and restart."""
    with NatsServer() as server:
        yield server
