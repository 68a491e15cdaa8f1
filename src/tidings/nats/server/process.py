"""One run of the binary, which ends when this program does, however it ends.

Three processes hang on one pipe. A watcher (a few lines of POSIX sh) reads it; only this program
keeps its write end open. The launcher writes its process id to the watcher and then becomes the
server, so there is no moment in which the server runs and the watcher does not know it. When this
program dies, the kernel closes the write end, the watcher reads end-of-file and stops the server.

The kernel's own way, PR_SET_PDEATHSIG, is Linux only and fires when the *thread* that forked ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ServerProcess"]

logger = logging.getLogger("tidings.nats.server")

_SH = "/bin/sh"

# stdout is the watcher's pipe until exec; the server must not keep it open.
_LAUNCH = 'echo $$; exec "$@" >&2'

# $1: a temporary folder to remove afterwards, or nothing.
_WATCH = """
read -r pid || exit 0
read -r ended && exit 0
kill -TERM "$pid" 2>/dev/null
tries=50
while kill -0 "$pid" 2>/dev/null && [ $tries -gt 0 ]; do
    sleep 0.1 2>/dev/null || sleep 1
    tries=$((tries - 1))
done
kill -KILL "$pid" 2>/dev/null
[ -z "$1" ] || rm -rf -- "$1"
"""

# SIGKILL needs no patience of the server's, only of the kernel's.
_KILL_TIMEOUT = 5.0

_alive: set[ServerProcess] = set()


class ServerProcess:
    """A started server.

    Attributes:
        binary: the program that runs.
        pid: the process id of the server itself.
        ended: set once the server has ended and its watcher is gone too.
        returncode: its exit status after that, negative for a signal.
        announce_end: whether an end is worth an error in the log.
    """

    def __init__(self, command: Sequence[str], *, stderr: Path, lock: int, litter: Path | None) -> None:
        """Starts ``command``, which inherits ``lock``; ``litter`` goes if this program is killed.

        Raises:
            OSError: no process could be made.
        """
        self.binary = command[0]
        self.ended = threading.Event()
        self.returncode: int | None = None
        self.announce_end = False
        read_end, self._write_end = os.pipe()
        _alive.add(self)
        try:
            self._watcher = _start_watcher(read_end, litter)
            try:
                self._server = _start_server(command, self._write_end, stderr, lock)
            except BaseException:
                self._dismiss_watcher()
                raise
        except BaseException:
            self._let_go()
            raise
        finally:
            os.close(read_end)
        self.pid = self._server.pid
        name = f"nats-server-{self.pid}"
        threading.Thread(target=self._see_it_end, name=name, daemon=True).start()

    def stop(self, timeout: float) -> None:
        """Asks the server to end (SIGTERM) and kills it after ``timeout`` seconds."""
        self.announce_end = False
        self._server.terminate()
        if not self.ended.wait(timeout):
            logger.warning("nats-server %d did not stop in %g s and is killed", self.pid, timeout)
            self.kill()

    def kill(self) -> None:
        """Ends the server at once (SIGKILL).

        Raises:
            TimeoutError: the kernel did not let it end.
        """
        self.announce_end = False
        self._server.kill()
        if not self.ended.wait(_KILL_TIMEOUT):
            raise TimeoutError(f"nats-server {self.pid} hangs in the kernel and cannot be killed")

    def _see_it_end(self) -> None:
        self.returncode = self._server.wait()
        self._dismiss_watcher()
        self._let_go()
        if self.announce_end:
            logger.error("nats-server %d ended by itself with status %d", self.pid, self.returncode)
        self.ended.set()

    def _dismiss_watcher(self) -> None:
        # Two lines, as the launcher may have died before it wrote one. No reader: it was killed.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write_end, b"\n\n")
        try:
            self._watcher.wait(_KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._watcher.kill()
            self._watcher.wait()

    def _let_go(self) -> None:
        _alive.discard(self)
        write_end, self._write_end = self._write_end, -1
        if write_end >= 0:
            os.close(write_end)


def _start_watcher(read_end: int, litter: Path | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [_SH, "-c", _WATCH, "nats-server-watcher", str(litter or "")],
        stdin=read_end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # A session of its own: Ctrl-C is for the program, which drains before it stops the server.
        start_new_session=True,
    )


def _start_server(command: Sequence[str], write_end: int, stderr: Path, lock: int) -> subprocess.Popen[bytes]:
    with open(stderr, "wb", opener=_private) as log:
        return subprocess.Popen(
            [_SH, "-c", _LAUNCH, _SH, *command],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=log,
            pass_fds=(lock,),
            umask=0o077,
            start_new_session=True,
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _let_go_of_all() -> None:
    for process in list(_alive):
        process._let_go()


# A forked child would else keep the pipes open, and the servers alive after this program.
os.register_at_fork(after_in_child=_let_go_of_all)
