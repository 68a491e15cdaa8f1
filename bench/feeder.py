"""Feeds a service under test: a process of its own that sends prebuilt PUB bytes over a raw socket.

usage: python -m bench.feeder URL SUBJECT PAYLOAD [SUBJECTS]

Each byte on standard input is leave to send STEP messages more, so that what is under way stays
below every limit; at the end of the input the feeder ends. With SUBJECTS they
go to SUBJECT.0, SUBJECT.1 and so on up to that many (a multiple of STEP), in turn.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from urllib.parse import urlsplit

STEP = 200  # messages a leave
TIMEOUT = 10.0  # seconds


@contextmanager
def running(url: str, subject: str, payload: str, subjects: int = 0) -> Iterator[int]:
    """A feeder while the block lasts; gives the file descriptor that takes the leaves."""
    command = [
        sys.executable,
        "-m",
        "bench.feeder",
        url,
        subject,
        payload,
        *([str(subjects)] if subjects else []),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    try:
        yield process.stdin.fileno()
    finally:
        process.kill()
        process.wait(TIMEOUT)


def connect(url: str) -> socket.socket:
    """A raw connection on which the server has answered our PING."""
    where = urlsplit(url)
    link = socket.create_connection((where.hostname, where.port), TIMEOUT)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(b'CONNECT {"verbose":false}\r\n')
    receive_until(link, b"PONG\r\n", 1, ask=b"PING\r\n")
    return link


def receive_until(link: socket.socket, text: bytes, count: int, ask: bytes = b"") -> None:
    """Send `ask`, then read until `text` has come `count` times.

    Raises TimeoutError when it does not come, ConnectionError when the server hangs up.
    """
    link.sendall(ask)
    data = b""
    while data.count(text) < count:
        more = link.recv(64 * 1024)
        if not more:
            raise ConnectionError("nats-server closed a raw connection of the benchmark")
        data += more


def main() -> None:
    url, subject, payload = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
    spread = [b"%b.%d" % (subject, number) for number in range(int(sys.argv[4]))] if sys.argv[4:] else []
    commands = [b"PUB %b %d\r\n%b\r\n" % (each, len(payload), payload) for each in spread or [subject] * STEP]
    chunks = cycle(b"".join(commands[at : at + STEP]) for at in range(0, len(commands), STEP))
    link = connect(url)
    while leaves := os.read(sys.stdin.fileno(), 4096):
        link.sendall(b"".join(islice(chunks, len(leaves))))


if __name__ == "__main__":
    main()
