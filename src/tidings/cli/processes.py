"""A child process as its parent sees it."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .child import READY
from .service import Service

__all__ = ["Child", "how_it_ended", "signals_to"]


class Child:
    """One process of a service.

    Attributes:
        service: what it runs.
        ready_at: when its App had started, by the clock of the loop; None before.
    """

    def __init__(
        self,
        service: Service,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_ready: Callable[["Child"], object],
    ) -> None:
        self.service = service
        self.ready_at: float | None = None
        self._on_ready = on_ready
        self._process = process
        self._line = writer
        self._listening = asyncio.create_task(self._listen(reader))

    @classmethod
    async def start(
        cls, service: Service, on_ready: Callable[["Child"], object] = lambda child: None
    ) -> "Child":
        """Start one. It is a session of its own, so that CTRL+C reaches the parent alone.

        Args:
            service: what it runs.
            on_ready: called with it when its App has started.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # a module of the user's shall not come before one of ours
                    "-m",
                    "tidings.cli.child",
                    str(theirs.fileno()),
                    service.target,  # for who looks at the list of processes
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                writer.close()
                raise
        writer.write(service.to_json().encode() + b"\n")
        return cls(service, process, reader, writer, on_ready)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end; gives its exit code, 128 + n for one that signal n ended."""
        code = await self._process.wait()
        self._line.close()  # a process that it made may hold the other end still
        await self._listening
        return code if code >= 0 else 128 - code

    def ask_stop(self) -> None:
        """Ask it to stop gracefully; asking twice is as good as once."""
        self._line.close()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            async for line in reader:
                if line == READY:
                    self.ready_at = asyncio.get_running_loop().time()
                    self._on_ready(self)


def how_it_ended(code: int) -> str:
    """What an exit code says, in words."""
    try:
        return f"was ended by {signal.Signals(code - 128).name}"
    except ValueError:
        return f"ended with exit code {code}"


@contextmanager
def signals_to(
    first: Callable[[signal.Signals], object], second: Callable[[signal.Signals], object]
) -> Iterator[None]:
    """Call `first` at the first SIGINT or SIGTERM of the block, and `second` at those after it."""
    loop = asyncio.get_running_loop()
    signalled = False

    def handle(number: signal.Signals) -> None:
        nonlocal signalled
        call = second if signalled else first
        signalled = True
        call(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
