"""Why a server did not start.

::

    ServerStartError (RuntimeError)
    ├── BinaryNotFoundError    there is no nats-server to run
    ├── FolderInUseError       another server runs on the folder
    ├── DiskFullError          the folder's disk has no room
    ├── PortInUseError         something else listens on the port
    ├── ServerExitedError      the binary ended at once: a bad config, or not a nats-server
    └── StartTimeoutError      it runs, and does not answer
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BinaryNotFoundError",
    "DiskFullError",
    "FolderInUseError",
    "PortInUseError",
    "ServerExitedError",
    "ServerStartError",
    "StartTimeoutError",
]


class ServerStartError(RuntimeError):
    """The server could not be started; the message says why and what to do."""


class BinaryNotFoundError(ServerStartError):
    """No runnable ``nats-server`` binary was found."""


class FolderInUseError(ServerStartError):
    """Another server runs on the folder.

    Attributes:
        folder: the folder both want.
        pid: the process id of the server that has it, None where it is not known.
    """

    def __init__(self, folder: Path, pid: int | None) -> None:
        who = "a nats-server" if pid is None else f"the nats-server with pid {pid}"
        super().__init__(
            f"the folder {folder} is in use by {who}; stop that server, connect to it instead, "
            "or give this one another store_dir"
        )
        self.folder = folder
        self.pid = pid


class DiskFullError(ServerStartError):
    """The disk under the folder has no room for JetStream.

    Attributes:
        folder: the folder of the server.
    """

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"no room on the disk under {folder}: {reason}; free some space there (delete files, "
            "or streams no longer needed), or give a store_dir on another disk"
        )
        self.folder = folder


class PortInUseError(ServerStartError):
    """Something else listens on the port.

    Attributes:
        port: the port that is taken.
    """

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is taken by another program; give another port, or port=0, which picks a free one"
        )
        self.port = port


class ServerExitedError(ServerStartError):
    """The binary ended before it answered.

    Attributes:
        returncode: its exit status, negative for the signal that ended it.
        log: the last lines it wrote, secrets blotted out.
    """

    def __init__(self, message: str, *, returncode: int, log: str) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.log = log


class StartTimeoutError(ServerStartError):
    """The server runs, and did not answer in time; it was stopped.

    Attributes:
        log: the last lines it wrote, secrets blotted out.
    """

    def __init__(self, message: str, *, log: str) -> None:
        super().__init__(message)
        self.log = log
