from __future__ import annotations

import os

import pytest


@pytest.fixture
def name() -> str:
    """A name for a stream or a bucket of the test's own."""
    return f"C{os.urandom(6).hex()}"
