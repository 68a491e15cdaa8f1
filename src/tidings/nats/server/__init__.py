"""Runs a ``nats-server`` binary: the embedded default, servers for tests, a local cluster.

::

    with NatsServer() as server:              # or: async with NatsServer() as server
        ...connect(server.url)...

The server listens on loopback only, behind a random token, with JetStream in a folder, and ends
with this program: at ``stop()``, at interpreter exit, and when the program is killed by SIGKILL.
It needs a POSIX system (``fcntl`` and ``/bin/sh``).
"""

from __future__ import annotations

from tidings.nats.server.errors import (
    BinaryNotFoundError,
    DiskFullError,
    FolderInUseError,
    PortInUseError,
    ServerExitedError,
    ServerStartError,
    StartTimeoutError,
)
from tidings.nats.server.options import ServerOptions
from tidings.nats.server.server import NatsCluster, NatsServer

__all__ = [
    "BinaryNotFoundError",
    "DiskFullError",
    "FolderInUseError",
    "NatsCluster",
    "NatsServer",
    "PortInUseError",
    "ServerExitedError",
    "ServerOptions",
    "ServerStartError",
    "StartTimeoutError",
]
