"""WebSocket in tests: a real server's address, and a scripted peer that speaks frame by frame."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from tests.peers import Peer, Side, info_line
from tidings.nats.server import NatsServer

__all__ = [
    "BINARY",
    "BLOCK",
    "CLOSE",
    "CONT",
    "PING",
    "PONG",
    "TEXT",
    "Web",
    "WebPeer",
    "frame",
    "http",
    "web",
    "ws_url",
]

BLOCK = 'websocket {\n  listen: "127.0.0.1:-1"\n  no_tls: true\n}\n'

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# RFC 6455, section 1.3.
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def ws_url(server: NatsServer, path: str = "", *, port: int = 0) -> str:
    """The WebSocket of a real server, the token in it.

    Args:
        port: of what stands before it.
    """
    listener = server.listeners["websocket"][0]
    scheme, _, where = listener.partition("://")
    token = f"{server.token}@" if server.token else ""
    port = port or int(where.rpartition(":")[2])
    return f"{scheme}://{token}127.0.0.1:{port}{path}"


def frame(opcode: int, data: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as a server sends it (RFC 6455, section 5.2)."""
    first = (fin << 7) | (rsv << 4) | opcode
    if len(data) < 126:
        head = struct.pack("!BB", first, len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, 126, len(data))
    else:
        head = struct.pack("!BBQ", first, 127, len(data))
    return head + data


def http(status: str, body: bytes = b"") -> bytes:
    """A response that refuses."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Web:
    """The server's side of one WebSocket."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.path = ""
        self.headers: list[tuple[str, str]] = []
        self._received = b""

    async def read_request(self) -> None:
        self.path = (await self.side.line()).decode().split(" ")[1]
        while line := await self.side.line():
            name, _, value = line.decode().partition(": ")
            self.headers.append((name.lower(), value))

    async def upgrade(self, *more: str) -> None:
        """Read the request and agree to it; `more` are further header lines."""
        await self.read_request()
        key = dict(self.headers)["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {accept}", *more]
        await self.side.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, *frames: bytes) -> None:
        await self.side.send(b"".join(frames))

    async def say(self, data: bytes) -> None:
        await self.send(frame(BINARY, data))

    async def receive(self) -> tuple[int, bytes]:
        """The opcode and the data of the next frame, which is masked and whole."""
        first, second = await self.side.reader.readexactly(2)
        assert first & 0x80
        assert second & 0x80, "a client masks its frames"
        size = second & 0x7F
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(await self.side.reader.readexactly(width))
        mask = await self.side.reader.readexactly(4)
        data = await self.side.reader.readexactly(size)
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        if first & 0x40:  # compressed: RFC 7692, section 7.2.2
            data = zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")
        return first & 0x0F, data

    async def line(self) -> bytes:
        """The next line of NATS, without its CRLF."""
        while b"\r\n" not in self._received:
            opcode, data = await self.receive()
            if opcode == CLOSE:
                raise EOFError
            assert opcode == BINARY, f"expected NATS, got a frame {opcode}: {data!r}"
            self._received += data
        line, _, self._received = self._received.partition(b"\r\n")
        return line

    async def greet(self, *more: str, **info: Any) -> dict[str, Any]:
        """Both handshakes; returns what CONNECT said."""
        await self.upgrade(*more)
        await self.say(info_line(**info))
        connect: dict[str, Any] = json.loads((await self.line())[8:])
        assert await self.line() == b"PING"
        await self.say(b"PONG\r\n")
        return connect

    async def answer_pings(self) -> None:
        """Answer each PING of NATS, to the end of the connection."""
        while True:
            if await self.line() == b"PING":
                await self.say(b"PONG\r\n")


WebScript = Callable[[Web], Awaitable[object]]


def web(script: WebScript) -> Callable[[Side], Awaitable[object]]:
    """`script` as a script of `Peer`, which ends quietly when the client does."""

    async def run(side: Side) -> None:
        with contextlib.suppress(EOFError):  # asyncio's IncompleteReadError is one
            await script(Web(side))

    return run


class WebPeer(Peer):
    """A `Peer` that speaks WebSocket."""

    def __init__(self, *scripts: WebScript) -> None:
        super().__init__(*map(web, scripts))

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"
