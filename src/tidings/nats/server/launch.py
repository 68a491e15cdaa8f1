"""From options to a server that answers: the steps of one start, in order."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tidings.nats.server.errors import PortInUseError, ServerStartError
from tidings.nats.server.folder import (
    RunLog,
    lock_folder,
    note_pid,
    probe_room,
    using,
    write_private,
)
from tidings.nats.server.options import ServerOptions, config_text, find_binary
from tidings.nats.server.process import ServerProcess
from tidings.nats.server.readiness import (
    Listeners,
    forget_listeners,
    free_port,
    wait_until_ready,
)

__all__ = ["Run", "launch"]

# Between our look and the server's bind another program may take a free port; twice is bad luck.
_PORT_TRIES = 5


@dataclass(frozen=True)
class Run:
    """A server that runs: its process, its port, and all it listens on."""

    process: ServerProcess
    port: int
    listeners: Listeners


def launch(options: ServerOptions, folder: Path, port: int, timeout: float) -> Run:
    """Starts a server in ``folder`` (which exists) on ``port``, or on a free one for 0.

    ``timeout`` is in seconds. Where it raises, nothing is left running.

    Raises:
        ServerStartError: it could not be started; the subclass and the message say why.
    """
    deadline = time.monotonic() + timeout
    binary = find_binary(options.binary)
    for _ in range(_PORT_TRIES - 1):
        chosen = port or free_port()
        try:
            return _launch_on(chosen, binary, options, folder, deadline)
        except PortInUseError as error:
            if port or error.port != chosen:
                raise
    return _launch_on(port or free_port(), binary, options, folder, deadline)


def _launch_on(port: int, binary: Path, options: ServerOptions, folder: Path, deadline: float) -> Run:
    log = RunLog(folder, options.token)
    process = _spawn(port, binary, options, folder, log, deadline)
    # Under this option the server waits for the client's TLS handshake and greets after it.
    greets = "handshake_first" not in options.config
    try:
        listeners = wait_until_ready(process, folder, log, deadline, greets=greets)
    except BaseException:
        process.kill()
        raise
    process.announce_end = True
    return Run(process, port, listeners)


def _spawn(
    port: int,
    binary: Path,
    options: ServerOptions,
    folder: Path,
    log: RunLog,
    deadline: float,
) -> ServerProcess:
    lock = lock_folder(folder, patience=deadline - time.monotonic())
    try:
        probe_room(folder)
        config = folder / "nats-server.conf"
        with using(folder):
            forget_listeners(folder)
            write_private(config, config_text(options, folder, port).encode())
        try:
            process = ServerProcess(
                [str(binary), "-c", str(config)],
                stderr=log.stderr,
                lock=lock,
                litter=folder if options.store_dir is None else None,
            )
        except OSError as error:
            raise ServerStartError(f"{binary} could not be started: {error}") from error
        note_pid(lock, process.pid)
        return process
    finally:
        os.close(lock)
