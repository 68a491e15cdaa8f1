"""The folder a server lives in: who has it, whether there is room, what was written there."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidings.nats.server.errors import DiskFullError, FolderInUseError, ServerStartError

__all__ = [
    "RunLog",
    "lock_folder",
    "note_pid",
    "open_folder",
    "probe_room",
    "using",
    "write_private",
]

# A stream's first block and its state fit in; with less, JetStream starts and refuses to store.
MIN_FREE = 1024 * 1024
# A program that was killed and started anew finds the server of its last life still shutting down.
LOCK_PATIENCE = 2.0
_POLL = 0.02
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Says of any OSError inside that it is the folder's, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFullError(folder, f"{error.strerror}") from error
        raise ServerStartError(
            f"the folder {folder} cannot be used: {error.strerror}; "
            "give a store_dir that this user can make and write"
        ) from error


def open_folder(folder: Path | None) -> Path:
    """Makes ``folder`` and its parents where missing, closed to other users; None: a temporary one.

    Raises:
        ServerStartError: it cannot be made, or is not a folder.
    """
    with using(folder or Path(tempfile.gettempdir())):
        if folder is None:
            return Path(tempfile.mkdtemp(prefix="tidings-nats-"))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def lock_folder(folder: Path, patience: float) -> int:
    """Takes the folder's lock and returns its file descriptor.

    The lock (flock) belongs to the open file, so it lasts until the last process that inherited the
    descriptor has ended: hand it to the server and close it here. ``patience`` is in seconds.

    Raises:
        FolderInUseError: another server has it.
        ServerStartError: the lock file cannot be written.
    """
    deadline = time.monotonic() + min(patience, LOCK_PATIENCE)
    with using(folder):
        lock = os.open(folder / "nats-server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(lock):
            if time.monotonic() >= deadline:
                raise FolderInUseError(folder, _pid_in(lock))
            time.sleep(_POLL)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_in(lock: int) -> int | None:
    text = os.pread(lock, 20, 0).strip()
    return int(text) if text.isdigit() else None


def note_pid(lock: int, pid: int) -> None:
    """Writes into the lock file who has the folder."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{pid}\n".encode(), 0)


def probe_room(folder: Path) -> None:
    """Checks by writing that the disk has room; asking the file system would miss quotas.

    Raises:
        DiskFullError: it has not.
        ServerStartError: the folder cannot be written.
    """
    probe = folder / ".room"
    with using(folder):
        try:
            write_private(probe, bytes(MIN_FREE))
        finally:
            probe.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only this user can read, also where one with wider rights was there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)


class RunLog:
    """What one run of the server wrote: its stderr, and its log file from where the run began."""

    def __init__(self, folder: Path, secret: str | None) -> None:
        self.stderr = folder / "nats-server.err"
        self._log = folder / "nats-server.log"
        self._secret = secret
        self._start = self._log.stat().st_size if self._log.exists() else 0

    def lines(self) -> list[str]:
        """The last lines, oldest first, the secret blotted out."""
        text = _tail(self._log, self._start) + "\n" + _tail(self.stderr, 0)
        if self._secret:
            text = text.replace(self._secret, "<token>")
        return [line.strip() for line in text.splitlines() if line.strip()]


def _tail(path: Path, start: int, limit: int = 8192) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A log shorter than at our start was rotated: all of it is ours.
            file.seek(max(start if start <= size else 0, size - limit))
            return file.read(limit).decode(errors="replace")
    except OSError:
        return ""
