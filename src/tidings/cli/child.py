"""A process of a service that another one looks after: what runs in it, and its line to that one.

The line is a socket. The parent sends one line of JSON, the `Service`; the child answers `READY` when the
App has started. The end of what the parent sends means: stop. It comes when the parent closes its end, and,
by the kernel, when the parent is gone, however it went; so nothing is left running.
"""

import asyncio
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tidings.app import App

from .exits import Exit, exit_code_of
from .logs import configure_logging
from .service import Service, serve

__all__ = ["PATIENCE", "READY", "main"]

READY = b"ready\n"

PATIENCE = 60.0
"""Seconds that an App has to stop once the parent is gone. A parent that lives ends it earlier."""


def main() -> None:
    """Run the service that the parent names, by the socket whose number is the first argument."""
    with socket.socket(fileno=int(sys.argv[1])) as line:
        line.set_inheritable(False)
        with line.makefile("rb") as lines:
            spec = lines.readline()
        if not spec.endswith(b"\n"):  # the parent is gone
            sys.exit(Exit.OK)
        service = Service.from_json(spec.decode())
        sys.exit(exit_code_of(lambda: _run(service, line)))


def _run(service: Service, line: socket.socket) -> None:
    lifeline = _Lifeline(line)
    configure_logging(service.logs, service.log_number)

    def prepare(app: App, loop: asyncio.AbstractEventLoop) -> None:
        lifeline.loaded()
        app.after_startup(lambda: lifeline.tell(READY))
        # In the next turn of the loop: the App is starting then, and can be asked to exit.
        loop.call_soon(lifeline.attach, lambda: app.exit(abandon_start=True))

    app = serve(service, prepare)
    if app.stopped_by is not None and not lifeline.ended:
        # Somebody meant this process, not the service: the parent shall know it from an `app.exit()`.
        sys.exit(128 + app.stopped_by)


class _Lifeline:
    """Waits for the end of the line in a thread, so that a blocked event loop notices it too."""

    def __init__(self, line: socket.socket) -> None:
        self.ended = False
        self._line = line
        self._loading = True
        self._ask_stop: Callable[[], object] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._wait, name="tidings-lifeline", daemon=True).start()

    def loaded(self) -> None:
        """From now on there is something to stop, by what comes to `attach`."""
        with self._lock:
            self._loading = False

    def tell(self, what: bytes) -> None:
        """Tell the parent, if it is still there."""
        with suppress(OSError):  # `_wait` sees it too
            self._line.sendall(what)

    def attach(self, ask_stop: Callable[[], object]) -> None:
        """Call `ask_stop` when the line ends, or at once where it has."""
        with self._lock:
            self._ask_stop = ask_stop
            ended = self.ended
        if ended:
            ask_stop()

    def _wait(self) -> None:
        with suppress(OSError):
            while self._line.recv(64):
                pass
        with self._lock:
            if self._loading:
                os._exit(Exit.OK)
            self.ended, ask_stop = True, self._ask_stop
        if ask_stop is not None:
            ask_stop()
        time.sleep(PATIENCE)
        os._exit(Exit.APP_FAILED)


if __name__ == "__main__":
    main()
