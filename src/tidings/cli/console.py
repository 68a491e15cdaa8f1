"""The console of `tidings dev`: commands typed into its terminal while the service runs there.

::

    2026-01-31 12:00:17,149 INFO     - app started, press CTRL+C to exit
    request orders.get {"id": 1}
    2026-01-31 12:00:31,020 INFO     - orders.get           | 0fd3e176-1 - handled in 0.47 ms
    {"id": 1, "state": "paid"}

They are those of the shell, sent to the embedded server.
"""

import errno
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from .dlq import dlq
from .exits import Exit, exit_code_of
from .sending import publish, request

__all__ = ["arguments", "console", "run_line"]

_COMMANDS = ("publish", "request", "dlq")
_JSON_LAST = re.compile(r"([^'\"]*?\s)([{\[].*)")
_BACKGROUND = 1.0  # seconds between two looks whether the terminal is ours again

_typer = typer.Typer(name="tidings", add_completion=False, pretty_exceptions_enable=False)
_typer.command()(publish)
_typer.command()(request)
_typer.add_typer(dlq)


@contextmanager
def console() -> Iterator[bool]:
    """Run the commands that are typed while the block runs; gives whether there is a terminal for them."""
    if not sys.stdin.isatty():
        yield False
        return
    # A process in the background that reads would be stopped, and the service with it; now it is told.
    before = signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    ended = threading.Event()
    # Nobody can wake a thread that reads from a terminal: it ends with the process.
    threading.Thread(target=_read, args=(ended,), name="tidings-console", daemon=True).start()
    try:
        yield True
    finally:
        ended.set()
        signal.signal(signal.SIGTTIN, before)


def _read(ended: threading.Event) -> None:
    typed = b""
    while not ended.is_set():
        try:
            # Not by `sys.stdin`, whose lock the thread would hold when the interpreter ends.
            read = os.read(sys.stdin.fileno(), 4096)
        except OSError as error:
            if error.errno == errno.EIO and not ended.wait(_BACKGROUND):
                continue
            return
        if not read:
            return
        *lines, typed = (typed + read).split(b"\n")
        for line in lines:
            if not ended.is_set():
                run_line(os.fsdecode(line).strip())


def run_line(line: str) -> int:
    """Run what was typed; an error is told on stderr. Gives the `Exit` code, which nobody needs but tests."""
    try:
        args = arguments(line)
    except ValueError as error:  # of quotes
        print(f"tidings: {error} in {line!r}", file=sys.stderr)
        return Exit.USAGE
    if not args:
        return Exit.OK
    if args[0] not in (*_COMMANDS, "--help"):
        here = ", ".join(_COMMANDS)
        print(f"tidings: no command {args[0]!r} here: {here} and help", file=sys.stderr)
        return Exit.USAGE
    try:
        return exit_code_of(lambda: _typer(args, prog_name="tidings"))
    except SystemExit as end:  # how typer ends, after its own messages
        return end.code if isinstance(end.code, int) else Exit.APP_FAILED


def arguments(line: str) -> list[str]:
    """The arguments of a line: quoted as for a shell, but JSON that comes last needs no quotes.

    The name of the command before them may be left in: what is typed is often copied from a shell.
    ValueError for quotes without an end.
    """
    found = _JSON_LAST.fullmatch(line)
    args = [*shlex.split(found[1]), found[2]] if found else shlex.split(line)
    if args[:1] == ["tidings"]:
        del args[0]
    return ["--help"] if args == ["help"] else args
