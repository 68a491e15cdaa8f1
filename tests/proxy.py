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


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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
        self._reaching: set[asyncio.Task[tuple[_Stream, _Stream]]] = set()
        self._listener: socket.socket | None = None
        self._cuts = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_listening()
        self.cut()
        if self._reaching:  # cancelled now, they would leave their sockets open
            await asyncio.wait(self._reaching)
        for _ in range(2):  # who waited for them takes and ends them
            await asyncio.sleep(0)
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
        self._cuts += 1
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
        self._stop_listening()
        self.cut()
        try:
            yield
        finally:
            self._listen()

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

    # Not by asyncio's server: it leaves sockets open that it accepts while it is closed.

    def _listen(self) -> None:
        self._listener = listener = socket.create_server(("127.0.0.1", self.port))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock, _ = listener.accept()
            reaching = asyncio.ensure_future(self._reach(sock))
            self._reaching.add(reaching)
            reaching.add_done_callback(self._reaching.discard)
            task = asyncio.ensure_future(self._forward(reaching, self._cuts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reach(self, sock: socket.socket) -> tuple[_Stream, _Stream]:
        """Both sides of a connection that came as `sock`."""
        sock.setblocking(False)
        below = await asyncio.open_connection(sock=sock)
        try:
            return below, await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            below[1].transport.abort()
            raise

    async def _forward(self, reaching: asyncio.Task[tuple[_Stream, _Stream]], cuts: int) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            (reader, writer), (upper_reader, upper) = await asyncio.shield(reaching)
            pair = (writer, upper)
            self._pairs.add(pair)
            try:
                if self._listener is not None and cuts == self._cuts:  # not cut before it stood
                    await self._pump_both((reader, writer), (upper_reader, upper))
            finally:
                self._pairs.discard(pair)
                for end in pair:
                    end.transport.abort()

    async def _pump_both(self, below: _Stream, above: _Stream) -> None:
        """Until one side ends."""
        pumps = [
            asyncio.ensure_future(self._pump(below[0], above[1], self._up)),
            asyncio.ensure_future(self._pump(above[0], below[1], self._down)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if way.delay:
                    await asyncio.sleep(way.delay)
                await way.open.wait()
                writer.write(data)
                way.passed += len(data)
                await writer.drain()
