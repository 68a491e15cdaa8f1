"""A door for programs that were written for nats-py 2.16.

They run after ``import nats`` became ``import tidings.nats.compat as nats``: the modules below have nats-py's
names, arguments, results and exceptions. What is kept here and nowhere else is what nats-py does and
`tidings.nats` does better; ``docs/nats/coming-from-nats-py.md`` has the table.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tidings.nats.compat import errors
from tidings.nats.compat.aio.client import Client as NATS

__all__ = ["NATS", "connect", "errors"]


async def connect(servers: str | list[str] = "nats://localhost:4222", **options: Any) -> NATS:
    """Connect; see `NATS.connect`."""
    nc = NATS()
    await nc.connect(servers, **options)
    return nc


def __getattr__(name: str) -> Any:
    # `nats.js.api` is there after ``import nats`` alone; here it is loaded when it is asked for.
    if name in ("js", "micro", "nuid"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
