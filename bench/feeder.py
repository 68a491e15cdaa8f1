"""Feeds a service under test: a process of its own that sends prebuilt PUB bytes over a raw socket.

usage: python -m bench.feeder URL SUBJECT PAYLOAD

Each byte on standard input is leave to send STEP messages more, so that what is under way stays
below every limit; at the end of the input the feeder ends.
"""

import os
import socket
import sys
from urllib.parse import urlsplit

STEP = 200  # messages a leave
TIMEOUT = 10.0  # seconds


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
    chunk = b"PUB %b %d\r\n%b\r\n" % (subject, len(payload), payload) * STEP
    link = connect(url)
    while leaves := os.read(sys.stdin.fileno(), 4096):
        link.sendall(chunk * len(leaves))


if __name__ == "__main__":
    main()
