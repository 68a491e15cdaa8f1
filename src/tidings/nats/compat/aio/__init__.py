"""nats-py's core client, by its module's name."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    # With nats-py `import nats` is enough to have them.
    if name in ("client", "errors", "msg", "subscription"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
