"""`nats.js`: nats-py's JetStream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidings.nats.compat.js import api
    from tidings.nats.compat.js.client import JetStreamContext
    from tidings.nats.compat.js.manager import JetStreamManager

__all__ = ["JetStreamContext", "JetStreamManager", "api"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    # Loaded when they are asked for: `api` alone needs nothing else.
    places = {"JetStreamContext": "client", "JetStreamManager": "manager"}
    if name in places:
        return getattr(import_module(f"{__name__}.{places[name]}"), name)
    if name in ("api", "client", "errors", "kv", "manager", "object_store"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
