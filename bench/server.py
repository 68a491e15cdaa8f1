"""One nats-server for the run: loopback, a port the system picks, stopped by its process id."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT = 10.0  # seconds
STOP_TIMEOUT = 5.0  # seconds


@contextmanager
def nats_server(binary: Path) -> Iterator[str]:
    """Run the server for the length of the block; gives its URL.

    Raises RuntimeError when the server ends at once or does not listen within START_TIMEOUT.
    """
    with tempfile.TemporaryDirectory(prefix="bench-nats-") as folder:
        # JetStream stores in files, and syncs them when it likes, as it does unless told otherwise.
        stores = ["-js", "-sd", str(Path(folder) / "store")]
        command = [str(binary), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder, *stores]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield _wait_for_url(process, Path(folder))
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT)


def _wait_for_url(process: subprocess.Popen[bytes], folder: Path) -> str:
    # The server writes this file once it listens.
    ports = folder / f"nats-server_{process.pid}.ports"
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return str(json.loads(ports.read_text())["nats"][0])
        except (FileNotFoundError, ValueError):
            time.sleep(0.01)
    log = (folder / "log").read_text(errors="replace")
    raise RuntimeError(f"nats-server did not start listening within {START_TIMEOUT:.0f} s:\n{log}")
