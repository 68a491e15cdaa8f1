"""Where the snippets of the talk run: `NatsBroker()` of each finds the server of the tests."""

import pytest


@pytest.fixture(autouse=True)
def servers(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a `NatsBroker` that is told no servers connects to."""
    monkeypatch.setenv("TIDINGS_NATS_SERVERS", nats_url)
