"""Free ports, and whether a server answers on its own."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tidings.nats.server.errors import (
    DiskFullError,
    PortInUseError,
    ServerExitedError,
    ServerStartError,
    StartTimeoutError,
)
from tidings.nats.server.folder import RunLog
from tidings.nats.server.options import HOST
from tidings.nats.server.process import ServerProcess

__all__ = ["Listeners", "forget_listeners", "free_port", "illness", "wait_until_ready"]

Listeners = Mapping[str, Sequence[str]]

# Below what kernels give to outgoing connections (Linux from 32768, macOS from 49152): one of those
# may take a port while its server is down, even a client that dials the port and reaches itself.
_FREE_PORTS = range(20_000, 32_768)

_POLL = 0.005
_QUOTED_LINES = 5
_NO_ROOM = ("no space left on device", "disk quota exceeded")
_PORT_TAKEN = re.compile(r":(\d+): bind: address already in use")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, for now."""
    for _ in range(100):
        port = _FREE_PORTS[secrets.randbelow(len(_FREE_PORTS))]
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerStartError(f"no free port found from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1}")


def forget_listeners(folder: Path) -> None:
    """Removes the ports files that killed servers left behind."""
    for path in folder.glob("*.ports"):
        path.unlink(missing_ok=True)


def wait_until_ready(
    process: ServerProcess, folder: Path, log: RunLog, deadline: float, *, greets: bool
) -> Listeners:
    """Waits until the server listens and, where it ``greets``, sends INFO; returns its addresses.

    ``deadline`` is a time of the monotonic clock. The ports file carries the server's process id:
    another server, which won the port, is not taken for this one.

    Raises:
        DiskFullError, PortInUseError, ServerExitedError: it ended; its log told why.
        StartTimeoutError: the deadline passed.
    """
    while True:
        if process.ended.wait(_POLL):
            raise _why_it_ended(process, folder, log.lines())
        listeners = _read_listeners(folder, process.pid)
        if listeners and _answers(_port_of(listeners["nats"][0]), greets=greets):
            return listeners
        if time.monotonic() >= deadline:
            raise _why_it_is_late(process, folder, log.lines())


def _read_listeners(folder: Path, pid: int) -> Listeners | None:
    """What the server says it listens on, None while it has not said (or is writing it)."""
    for path in folder.glob(f"*_{pid}.ports"):
        try:
            listeners = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return listeners if isinstance(listeners, dict) and listeners.get("nats") else None
    return None


def _port_of(url: str) -> int:
    return urlsplit(url).port or 0


def _answers(port: int, *, greets: bool) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            return not greets or connection.recv(5) == b"INFO "
    except OSError:
        return False


def _why_it_ended(process: ServerProcess, folder: Path, lines: list[str]) -> ServerStartError:
    for line in lines:
        if any(sign in line for sign in _NO_ROOM):
            return DiskFullError(folder, line)
        if taken := _PORT_TAKEN.search(line):
            return PortInUseError(int(taken[1]))
    log = _excerpt(lines)
    returncode = process.returncode or 0
    how = f"status {returncode}" if returncode >= 0 else f"signal {-returncode}"
    return ServerExitedError(
        f"{process.binary} ended at once with {how}; check that it is a nats-server, "
        f"and the config given. Its last lines:\n{log}",
        returncode=returncode,
        log=log,
    )


def _why_it_is_late(process: ServerProcess, folder: Path, lines: list[str]) -> ServerStartError:
    for line in lines:
        if any(sign in line for sign in _NO_ROOM):
            return DiskFullError(folder, line)
    log = _excerpt(lines)
    return StartTimeoutError(
        f"{process.binary} runs and does not answer; check that it is a nats-server, or give "
        f"start() a longer timeout where it recovers much data. Its last lines:\n{log}",
        log=log,
    )


def _excerpt(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines[-_QUOTED_LINES:]) or "  (it wrote nothing)"


def illness(listeners: Listeners, timeout: float) -> str | None:
    """Why the server is not healthy, as its monitoring port says; None where it is.

    ``timeout`` is in seconds.
    """
    connection = http.client.HTTPConnection(HOST, _port_of(listeners["monitoring"][0]), timeout=timeout)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        return None if answer.status == http.HTTPStatus.OK else text
    except (OSError, http.client.HTTPException) as error:
        return f"no answer from /healthz: {error}"
    finally:
        connection.close()
