"""Scripted servers: a TCP peer on loopback that does what a test tells it, byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

__all__ = ["INFO", "Deaf", "Garbage", "Peer", "Side", "Silent", "Welcoming", "info_line"]

INFO: dict[str, Any] = {"server_id": "PEER", "version": "2.15.1", "headers": True, "max_payload": 1024 * 1024}


def info_line(**fields: Any) -> bytes:
    """INFO with the usual fields, changed and added to by `fields`."""
    return b"INFO " + json.dumps(INFO | fields).encode() + b"\r\n"


class Side:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.lines: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def line(self) -> bytes:
        """The next line without its CRLF; empty at the end of the connection."""
        line = (await self.reader.readline()).rstrip(b"\r\n")
        self.lines.append(line)
        return line

    async def expect(self, beginning: bytes) -> bytes:
        """The next line, which begins so."""
        line = await self.line()
        assert line.startswith(beginning), f"expected {beginning!r}, got {line!r}"
        return line

    async def greet(self, **info: Any) -> dict[str, Any]:
        """The whole handshake; returns what CONNECT said."""
        await self.send(info_line(**info))
        connect: dict[str, Any] = json.loads((await self.expect(b"CONNECT "))[8:])
        await self.expect(b"PING")
        await self.send(b"PONG\r\n")
        return connect

    async def answer_pings(self) -> None:
        """Read to the end of the connection, and answer each PING."""
        while not self.reader.at_eof():
            if await self.line() == b"PING":
                await self.send(b"PONG\r\n")

    async def ended(self) -> None:
        """Read until the other side ends the connection."""
        while await self.reader.read(65536):
            pass

    def stop_reading(self) -> None:
        """From now on nothing is taken from the socket, so that the other side's fills up."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume_reading(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def cut(self) -> None:
        """End the connection with a reset."""
        self.writer.transport.abort()


Script = Callable[[Side], Awaitable[object]]


class Peer:
    """Listens on a free port; the first connection is given to the first script, and so on.

    The last script serves all further ones. A connection is closed when its script returns; what a
    script raises is raised at the end of the `async with`.
    """

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.sides: list[Side] = []
        self._errors: list[Exception] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()
        if error is None and self._errors:
            raise self._errors[0]

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        side = Side(reader, writer)
        script = self.scripts[min(len(self.sides), len(self.scripts) - 1)]
        self.sides.append(side)
        try:
            await script(side)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass  # the other side went first
        except asyncio.CancelledError:
            pass  # the test is over; streams would log a task that ends cancelled
        except Exception as failure:
            self._errors.append(failure)
        finally:
            side.cut()


class Welcoming:
    """Greets, then answers pings to the end; `then` may do something in between."""

    def __init__(self, then: Script | None = None, **info: Any) -> None:
        self.then = then
        self.info = info

    async def __call__(self, side: Side) -> None:
        await side.greet(**self.info)
        if self.then is not None:
            await self.then(side)
        await side.answer_pings()


class Deaf:
    """Greets, and reads nothing from then on."""

    async def __call__(self, side: Side) -> None:
        await side.greet()
        side.stop_reading()
        await asyncio.get_running_loop().create_future()


class Silent:
    """Says `first` and nothing more, however long one waits."""

    def __init__(self, first: bytes = b"") -> None:
        self.first = first

    async def __call__(self, side: Side) -> None:
        await side.send(self.first)
        await side.ended()


class Garbage:
    """Says `words`, and waits for the other side to hang up."""

    def __init__(self, words: bytes) -> None:
        self.words = words

    async def __call__(self, side: Side) -> None:
        await side.send(self.words)
        await side.ended()
