"""The server behind `--embedded`: nats-server with JetStream in a folder of the project's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SERVERS_VARIABLE", "STORE_DIR", "URL_FILE", "embedded_server"]

SERVERS_VARIABLE = "TIDINGS_NATS_SERVERS"
STORE_DIR = Path(".tidings/nats")
URL_FILE = "url"


@contextmanager
def embedded_server(store_dir: Path) -> Iterator[str]:
    """Run a server for the block and name it in TIDINGS_NATS_SERVERS; gives HOST:PORT.

    Brokers that were given no servers read that variable when they connect. The url, with its
    random token, is also left in the file `url` of the folder, readable by this user only, so that
    another shell can reach the server while it runs.
    """
    from tidings.nats.server import NatsServer

    _make_private(store_dir)
    with NatsServer(store_dir) as server:
        url_file = store_dir / URL_FILE
        before = os.environ.get(SERVERS_VARIABLE)
        os.environ[SERVERS_VARIABLE] = server.url
        _write_private(url_file, server.url)
        try:
            yield f"{server.host}:{server.port}"
        finally:
            url_file.unlink(missing_ok=True)
            os.environ.pop(SERVERS_VARIABLE)
            if before is not None:
                os.environ[SERVERS_VARIABLE] = before


def _make_private(folder: Path) -> None:
    """Make the folder, kept out of version control: messages are in it, and a token for a while."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True)
    (folder / ".gitignore").write_text("*\n")


def _write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text + "\n")
