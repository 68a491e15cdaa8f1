"""A door for programs that were written for nats-py 2.16.

They run after ``import nats`` became ``import tidings.nats.compat as nats``: the modules below have nats-py's
names, arguments, results and exceptions. What is kept here and nowhere else is what nats-py does and
`tidings.nats` does better; ``docs/nats/coming-from-nats-py.md`` has the table.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

from tidings.nats.compat import errors
from tidings.nats.compat.aio.client import Client as NATS

__all__ = ["NATS", "connect", "errors", "install"]


async def connect(servers: str | list[str] = "nats://localhost:4222", **options: Any) -> NATS:
    """Connect; see `NATS.connect`."""
    nc = NATS()
    await nc.connect(servers, **options)
    return nc


def install() -> None:
    """Have ``import nats``, and what is below it, mean this package in the whole process.

    To be called before anything imports nats-py.

    Raises:
        ImportError: nats-py is imported already, and who did so holds its classes.
    """
    package = sys.modules[__name__]
    if sys.modules.get("nats", package) is not package:
        raise ImportError("nats-py is imported already: call tidings.nats.compat.install() first of all")
    sys.modules["nats"] = package
    # Each under both names: looked up by path, a module would be loaded again, with classes of its own.
    for found in walk_packages(__path__, f"{__name__}."):
        sys.modules["nats" + found.name.removeprefix(__name__)] = import_module(found.name)


def __getattr__(name: str) -> Any:
    # `import nats` makes nats-py's modules attributes; these are loaded when a program asks for them.
    if name in ("js", "micro", "nuid"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
