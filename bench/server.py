"""One nats-server for the run: loopback, a port the system picks, stopped by its process id."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT = 10.0  # seconds
STOP_TIMEOUT = 5.0  # seconds
CONFIG = 'listen: "127.0.0.1:-1"\nwebsocket { listen: "127.0.0.1:-1", no_tls: true }\n'


@contextmanager
def nats_server(binary: Path) -> Iterator[Mapping[str, str]]:
    """Run the server for the length of the block; gives its URL for each scheme.

    Raises RuntimeError when the server ends at once or does not listen within START_TIMEOUT.
    """
    with tempfile.TemporaryDirectory(prefix="bench-nats-") as folder:
        config = Path(folder) / "config"
        config.write_text(CONFIG)
        # JetStream stores in files, and syncs them when it likes, as it does unless told otherwise.
        stores = ["-js", "-sd", str(Path(folder) / "store")]
        command = [str(binary), "-c", str(config), "--ports_file_dir", folder, *stores]
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
            found = json.loads(ports.read_text())
            return {"nats": found["nats"][0], "ws": found["websocket"][0]}
        except (FileNotFoundError, ValueError, KeyError):
            time.sleep(0.01)
    log = (folder / "log").read_text(errors="replace")
    raise RuntimeError(f"nats-server did not start listening within {START_TIMEOUT:.0f} s:\n{log}")
