"""The server behind `--embedded`: nats-server with JetStream in a folder of the project's."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from tidings.nats.server import BinaryNotFoundError, NatsServer, PortInUseError, ServerStartError

from .exits import CommandError, Exit

__all__ = ["SERVERS_VARIABLE", "STORE_DIR", "URL_FILE", "embedded_server"]

SERVERS_VARIABLE = "TIDINGS_NATS_SERVERS"
STORE_DIR = Path(".tidings/nats")
URL_FILE = "url"


@contextmanager
def embedded_server(store_dir: Path, port: int = 0) -> Iterator[str]:
    """Run a server for the block and name it in TIDINGS_NATS_SERVERS; gives HOST:PORT. Port 0 is a free one.

    Brokers that were given no servers read that variable when they are made. The url, with its
    random token, is also left in the file `url` of the folder, readable by this user only, so that
    another shell can reach the server while it runs. CommandError if the server does not start.
    """
    with ExitStack() as exits:
        exits.enter_context(_sigterm_unwinds())
        try:
            _make_private(store_dir)
            server = exits.enter_context(NatsServer(store_dir, port=port))
        except OSError as error:
            raise CommandError(Exit.NO_SERVER, f"--embedded: no folder for it: {error}") from error
        except PortInUseError as error:
            message = (
                f"--port {port}: another program listens there; give another one, or none for a free one"
            )
            raise CommandError(Exit.NO_SERVER, message) from error
        except ServerStartError as error:
            missing = isinstance(error, BinaryNotFoundError)
            code = Exit.NOT_INSTALLED if missing else Exit.NO_SERVER
            raise CommandError(code, f"--embedded: {error}") from error
        exits.enter_context(_variable(SERVERS_VARIABLE, server.url))
        exits.enter_context(_private_file(store_dir / URL_FILE, server.url + "\n"))
        yield f"{server.host}:{server.port}"


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Have a SIGTERM that comes before the service looks for signals leave the block as CTRL+C does."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for the block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextmanager
def _private_file(file: Path, text: str) -> Iterator[None]:
    """A file for the block, which only this user may read."""
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    """Make the folder, kept out of version control: messages are in it, and a token for a while."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True)
    (folder / ".gitignore").write_text("*\n")
