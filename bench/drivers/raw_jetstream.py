"""No client at all: a blocking socket that does the least that a JetStream row asks for.

It is the bound that the server sets: nothing is checked, no message is made, and acknowledgements go out with
the next pull.
"""

import json
import re
import socket
from collections.abc import Awaitable
from types import SimpleNamespace
from urllib.parse import urlsplit

MODULE = "socket"

READ = 1 << 20  # bytes
WINDOW = 4000  # publishes under way
STEP = 500  # publishes written together
TIMEOUT = 20.0  # seconds

_ACK_SUBJECT = re.compile(rb"\$JS\.ACK\.[^ ]+")


class Raw:
    """A connection; `inbox` is the subject of all that comes."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox = b"raw.inbox"
        self.read_until(b"\r\n")
        options = {"verbose": False, "pedantic": False, "auth_token": parts.username}
        self.send(b"CONNECT %b\r\nSUB %b 1\r\nPING\r\n" % (json.dumps(options).encode(), self.inbox))
        self.read_until(b"PONG\r\n")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> bytes:
        """What is there; it is not looked for a PING, which comes later than the end of any row."""
        return self._socket.recv(READ)

    def read_until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            data += self.read()
        return data

    async def request(self, subject: str, payload: bytes, timeout: float = TIMEOUT) -> SimpleNamespace:
        """Ask the API; the answer is the JSON of one message."""
        self.send(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), self.inbox, len(payload), payload))
        return SimpleNamespace(data=self.read_until(b"}\r\n").partition(b"\r\n")[2])


async def connect(url: str) -> Raw:
    return Raw(url)


class Publishing:
    """Publishes STEP at a time, and counts the acknowledgements by their lines."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self._gathered: list[bytes] = []
        self._lines_to_come = 0

    async def publish_async(self, subject: str, payload: bytes) -> None:
        line = b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), self.raw.inbox, len(payload), payload)
        self._gathered.append(line)
        if len(self._gathered) == STEP:
            self.raw.send(b"".join(self._gathered))
            self._lines_to_come += 2 * STEP
            self._gathered.clear()
            self.settle(WINDOW - STEP)

    def settle(self, left: int) -> None:
        """Read until so many are under way."""
        while self._lines_to_come > 2 * left:
            self._lines_to_come -= self.raw.read().count(b"\n")


def jetstream(client: Raw) -> Publishing:
    return Publishing(client)


async def acknowledged(js: Publishing) -> None:
    js.settle(0)


class Message:
    """An ack subject, and where its acknowledgement is gathered."""

    __slots__ = ("_acks", "_subject")

    def __init__(self, subject: bytes, acks: list[bytes]) -> None:
        self._subject = subject
        self._acks = acks

    async def ack(self) -> None:
        self._acks.append(b"PUB %b 4\r\n+ACK\r\n" % self._subject)


class Fetching:
    """Pulls from one consumer."""

    def __init__(self, raw: Raw, stream: str, consumer: str) -> None:
        self._raw = raw
        self._pull = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}".encode()
        self._acks: list[bytes] = []

    async def fetch(self, count: int) -> list[Message]:
        body = b'{"batch":%d,"expires":5000000000}' % count
        pull = b"PUB %b %b %d\r\n%b\r\n" % (self._pull, self._raw.inbox, len(body), body)
        self._raw.send(b"".join(self._acks) + pull)
        self._acks.clear()
        data = b""
        while data.count(b"$JS.ACK.") < count or not data.endswith(b"\r\n"):
            data += self._raw.read()
        return [Message(subject, self._acks) for subject in _ACK_SUBJECT.findall(data)]


async def consumer(js: Publishing, stream: str) -> Fetching:
    raw = js.raw
    config = {"stream_name": stream, "config": {"ack_policy": "explicit"}}
    answer = await raw.request(f"$JS.API.CONSUMER.CREATE.{stream}", json.dumps(config).encode())
    return Fetching(raw, stream, json.loads(answer.data)["name"])


def fetch(consumer: Fetching, count: int) -> Awaitable[list[Message]]:
    return consumer.fetch(count)
