"""The servers of the blocking face's tests, and backends that are closed after each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .servers import KafkaServer, RedisServer


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with RedisServer() as server:
        yield server.url


@pytest.fixture(scope="session")
def kafka_address() -> Iterator[str]:
    with KafkaServer() as server:
        yield server.address


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of the test's own, that every messaging system takes."""
    cls = request.cls.__name__ if request.cls else "module"
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{cls}.{request.node.name}").strip("-")
