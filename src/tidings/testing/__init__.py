"""Tests of services: without a server on the path that production takes, or on a real one.

::

    async with TestNatsBroker(broker) as br:
        await br.publish({"id": 1}, "orders")
        handler.mock.assert_called_once_with({"id": 1})

The names are loaded when they are first used, so that who tests services on memory loads no NATS.
Fixtures for pytest are in `tidings.testing.fixtures`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import TestApp
    from .clock import ManualClock
    from .faults import Faults
    from .memory import TestMemoryBroker
    from .nats import TestNatsBroker
    from .server import TestServer
    from .watching import Watched

__all__ = ["Faults", "ManualClock", "TestApp", "TestMemoryBroker", "TestNatsBroker", "TestServer", "Watched"]

_HOMES = {
    "Faults": "faults",
    "ManualClock": "clock",
    "TestApp": "app",
    "TestMemoryBroker": "memory",
    "TestNatsBroker": "nats",
    "TestServer": "server",
    "Watched": "watching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
