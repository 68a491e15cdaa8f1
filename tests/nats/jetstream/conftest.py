from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def name() -> str:
    """A name for a stream of the test's own, which it can use as the first token of its subjects too."""
    return f"T{os.urandom(6).hex()}"


@pytest.fixture(autouse=True)
def _the_loop_has_nothing_to_complain_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An exception that nobody took, in a task or in a protocol, is only logged by asyncio."""
    yield
    complaints = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.name == "asyncio" and record.levelno >= logging.WARNING
    ]
    assert not complaints
