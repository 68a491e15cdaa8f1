"""The memory broker does what every broker does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.brokers.conformance import Answering, Conformance, Retrying, Settling
from tidings.brokers.memory import MemoryBroker, MemoryServer


class TestMemory(Conformance, Answering, Retrying, Settling):
    @pytest.fixture(autouse=True)
    def _server(self) -> None:
        self.server = MemoryServer()

    def broker(self, **options: Any) -> MemoryBroker:
        return MemoryBroker(self.server, **options)
