"""The nats-servers of the run: loopback, ports the system picks, stopped by their process ids."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import Authority

START_TIMEOUT = 10.0  # seconds
STOP_TIMEOUT = 5.0  # seconds


PLAIN = 'listen: "127.0.0.1:-1"\nwebsocket { listen: "127.0.0.1:-1", no_tls: true }\n'
# On a server of its own: one that takes TLS and plain connections on one port looks at each before it
# greets it.
ENCRYPTED = 'listen: "127.0.0.1:-1"\ntls {{ cert_file: "{files.cert}", key_file: "{files.key}" }}\n'
# … and one for streams, which cost a server even where none of them takes what is published.
STORING = 'listen: "127.0.0.1:-1"\n'
# … and one that takes the frame of a camera.
LARGE = 'listen: "127.0.0.1:-1"\nmax_payload: 8MB\n'


@dataclass(frozen=True)
class Servers:
    """Where to connect to.

    `ca_file` holds the authority of the TLS listener; every client trusts it that is started with it in
    SSL_CERT_FILE, which OpenSSL reads.
    """

    urls: Mapping[str, str]  # by scheme
    ca_file: Path


@contextmanager
def nats_servers(binary: Path) -> Iterator[Servers]:
    """Run the servers for the length of the block.

    Raises RuntimeError when one ends at once or does not listen within START_TIMEOUT.
    """
    with tempfile.TemporaryDirectory(prefix="bench-tls-") as folder:
        authority = Authority(Path(folder))
        encrypted = ENCRYPTED.format(files=authority.issue("127.0.0.1"))
        with (
            _listeners(binary, PLAIN) as plain,
            _listeners(binary, encrypted) as secure,
            _listeners(binary, STORING, stores=True) as storing,
            _listeners(binary, LARGE) as large,
        ):
            urls = {
                "nats": plain["nats"],
                "ws": plain["websocket"],
                "tls": secure["nats"],
                "jetstream": storing["nats"],
                "large": large["nats"],
            }
            yield Servers(urls, authority.ca)


@contextmanager
def _listeners(binary: Path, text: str, *, stores: bool = False) -> Iterator[Mapping[str, str]]:
    """One server with `text` as its config; gives the URL of each listener by its kind.

    With `stores` it has JetStream in files, and syncs them when it likes, as it does unless told otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="bench-nats-") as folder:
        config = Path(folder) / "config"
        config.write_text(text)
        command = [str(binary), "-c", str(config), "--ports_file_dir", folder]
        if stores:
            command += ["-js", "-sd", str(Path(folder) / "store")]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield _wait_for_urls(process, Path(folder))
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT)


def _wait_for_urls(process: subprocess.Popen[bytes], folder: Path) -> Mapping[str, str]:
    # The server writes this file once it listens.
    ports = folder / f"nats-server_{process.pid}.ports"
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return {kind: str(urls[0]) for kind, urls in json.loads(ports.read_text()).items() if urls}
        except (FileNotFoundError, ValueError):
            time.sleep(0.01)
    log = (folder / "log").read_text(errors="replace")
    raise RuntimeError(f"nats-server did not start listening within {START_TIMEOUT:.0f} s:\n{log}")
