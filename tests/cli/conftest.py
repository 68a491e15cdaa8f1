"""A folder for the user's modules, and the `tidings` command run in it as a process."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

LIMIT = 30.0  # seconds, for a command to do what it should
COMMAND = [sys.executable, "-c", "from tidings.cli import main; main()"]


class Command:
    """One `tidings …` process; its stderr is read line by line as it comes."""

    def __init__(
        self, args: tuple[str, ...], folder: Path, env: dict[str, str], stdin: bytes, terminal: int | None
    ) -> None:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            self.process = self._popen(args, folder, env, given if terminal is None else terminal)
        self.err = ""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @staticmethod
    def _popen(
        args: tuple[str, ...], folder: Path, env: dict[str, str], stdin: IO[bytes] | int
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *args],
            cwd=folder,
            env=os.environ | env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own, to send it CTRL+C as a terminal does
        )

    def wait_line(self, part: str) -> str:
        """The next line on stderr that holds `part`."""
        while True:
            line = self._lines.get(timeout=LIMIT)
            assert line, f"ended without {part!r}:\n{self.err}"
            if part in line:
                return line

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def end(self) -> int:
        """Wait for the exit code; `err` and the returned text are complete then."""
        code = self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        return code

    def all_ended(self) -> bool:
        """Whether every process that wrote to stderr has ended, the children's children too."""
        self._reader.join(LIMIT)
        return not self._reader.is_alive()

    def out(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        self._reader.join(LIMIT)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.err += line
            self._lines.put(line)
        self._lines.put("")


Start = Callable[..., Command]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the command runs."""
    return tmp_path


@pytest.fixture
def module(folder: Path) -> Callable[[str, str], Path]:
    """Write a module of the user's."""

    def write(name: str, code: str) -> Path:
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start `tidings ARGS…` in the folder; what still runs at the end of the test is ended."""
    with ExitStack() as commands:

        def start(*args: str, stdin: bytes = b"", terminal: int | None = None, **env: str) -> Command:
            command = Command(args, folder, env, stdin, terminal)
            commands.callback(command.close)
            return command

        yield start
