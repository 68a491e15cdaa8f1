"""Each program of these tests runs on nats-py and on its double, and must see the same."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

ROOTS = {"nats-py": "nats", "compat": "tidings.nats.compat"}


@dataclass(frozen=True)
class Door:
    """One of the two module trees."""

    root: str

    def module(self, path: str = "") -> ModuleType:
        """``nats`` or a module below it, such as ``js.api``."""
        return importlib.import_module(f"{self.root}.{path}" if path else self.root)

    @property
    def errors(self) -> Any:
        """``nats.errors``."""
        return self.module("errors")

    async def connect(self, url: str, **options: Any) -> Any:
        """``nats.connect``."""
        return await self.module().connect(url, **options)


@pytest.fixture(params=ROOTS)
def door(request: pytest.FixtureRequest) -> Door:
    """nats-py, then its double."""
    return Door(ROOTS[request.param])


@pytest.fixture(scope="session")
def doors() -> tuple[Door, Door]:
    """nats-py and its double, for tests that compare them."""
    return Door(ROOTS["nats-py"]), Door(ROOTS["compat"])
