from __future__ import annotations

import pytest

from tidings.nats import Client
from tidings.nats.core.options import Options


class SilentClient(Client):
    """Not connected, and makes sure that nothing is sent."""

    def __init__(self) -> None:
        self.options = Options()

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was used: what is refused was not refused first")


@pytest.fixture
def silent() -> Client:
    return SilentClient()
