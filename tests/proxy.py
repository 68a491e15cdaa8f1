"""A TCP proxy on loopback that makes network faults a `with`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

__all__ = ["Proxy"]

Direction = Literal["both", "up", "down"]


class _Way:
    """One direction of all connections: open or shut, and how late."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0
        self.passed = 0


class Proxy:
    """Forwards every connection to `target`, a URL with a host and a port.

    Up is from the client to the server, down the way back. `url` is `target` with the proxy's address
    in place of the server's.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._up, self._down = _Way(), _Way()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_listening()
        self.cut()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def url(self) -> str:
        user, at, _ = self._target.netloc.rpartition("@")
        return f"{self._target.scheme}://{user}{at}127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._pairs)

    @property
    def passed_up(self) -> int:
        """Bytes that went from clients to the server."""
        return self._up.passed

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""
        for pair in list(self._pairs):
            for writer in pair:
                writer.transport.abort()

    def slip_in(self, data: bytes, direction: Literal["up", "down"] = "down") -> None:
        """Send bytes of our own on every connection, between what passes."""
        for client_side, server_side in self._pairs:
            (client_side if direction == "down" else server_side).write(data)

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Reset every connection and refuse new ones, until the end of the block."""
        await self._stop_listening()
        self.cut()
        try:
            yield
        finally:
            await self._listen()

    @contextlib.contextmanager
    def deaf(self, direction: Direction = "both") -> Iterator[None]:
        """Let nothing pass, on old connections and new ones; it arrives after the block."""
        ways = self._ways(direction)
        for way in ways:
            way.open.clear()
        try:
            yield
        finally:
            for way in ways:
                way.open.set()

    @contextlib.contextmanager
    def delayed(self, seconds: float, direction: Direction = "both") -> Iterator[None]:
        """Hold each chunk back for so long."""
        ways = self._ways(direction)
        for way in ways:
            way.delay = seconds
        try:
            yield
        finally:
            for way in ways:
                way.delay = 0.0

    def _ways(self, direction: Direction) -> list[_Way]:
        return {"up": [self._up], "down": [self._down], "both": [self._up, self._down]}[direction]

    async def _listen(self) -> None:
        # In two steps, the first without a turn of the loop: cancelled in between, it is known and closed.
        listener = socket.create_server(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._accept, sock=listener, start_serving=False)
        self.port = listener.getsockname()[1]
        await self._server.start_serving()

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # the loop lets go of the port in its next turn

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        upper: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError, asyncio.CancelledError):
            upper_reader, upper = await asyncio.open_connection(self._target.hostname, self._target.port)
            pair = (writer, upper)
            self._pairs.add(pair)
            pumps = [
                asyncio.ensure_future(self._pump(reader, upper, self._up)),
                asyncio.ensure_future(self._pump(upper_reader, writer, self._down)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                self._pairs.discard(pair)
        for end in (writer, upper):
            if end is not None:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if way.delay:
                    await asyncio.sleep(way.delay)
                await way.open.wait()
                writer.write(data)
                way.passed += len(data)
                await writer.drain()
