"""The memory broker handles messages once, as every broker does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.brokers.deduping import Deduplicating
from tidings.brokers.memory import MemoryBroker, MemoryServer


class TestMemory(Deduplicating):
    @pytest.fixture(autouse=True)
    def _server(self) -> None:
        self.server = MemoryServer()

    def broker(self, **options: Any) -> MemoryBroker:
        return MemoryBroker(self.server, **options)
