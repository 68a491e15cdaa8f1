"""`transport=`: a server in the same process, and dialers that go through a proxy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Side, Welcoming, info_line
from tests.websocket import BLOCK, ws_url

from tidings.nats import (
    Client,
    ConnectionError,
    NoServersError,
    SecureConnRequiredError,
    TLSOptions,
    connect,
)
from tidings.nats.server import NatsServer

QUICK: dict[str, Any] = {"reconnect_time_wait": 0.01, "reconnect_jitter": 0, "max_reconnect_attempts": -1}


class Memory(asyncio.Transport):
    """Carries bytes to `take`, and from `give`, without a socket."""

    def __init__(self, protocol: asyncio.BufferedProtocol, take: Callable[[bytes], None]) -> None:
        super().__init__()
        self.protocol = protocol
        self.take = take
        self.lost = False
        protocol.connection_made(self)

    def give(self, data: bytes) -> None:
        while data and not self.lost:
            buffer = memoryview(self.protocol.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.protocol.buffer_updated(size)
            data = data[size:]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.take(bytes(data))

    def is_closing(self) -> bool:
        return self.lost

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing waits here to be read."""

    resume_reading = pause_reading

    def abort(self) -> None:
        if not self.lost:
            self.lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    close = abort


class Fake:
    """A NATS server of one subject, in memory: what is published comes back."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.dialled: list[tuple[str, int]] = []
        self.memory: Memory | None = None

    async def __call__(self, host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
        self.dialled.append((host, port))
        self.memory = Memory(protocol, self.take)
        self.memory.give(info_line())

    def take(self, data: bytes) -> None:
        assert self.memory is not None
        for line in data.split(b"\r\n"):
            self.lines.append(line)
            if line == b"PING":
                self.memory.give(b"PONG\r\n")
            elif line == b"hello":
                self.memory.give(b"MSG a 1 5\r\nhello\r\n")


async def test_a_server_in_memory() -> None:
    fake, back = Fake(), Gathered()
    async with leaves_nothing():
        client = await connect("nats://in.process:7", transport=fake, reconnected_cb=back, **QUICK)
        sub = await client.subscribe("a")
        await client.publish("a", b"hello")
        assert (await sub.next_msg(timeout=10)).data == b"hello"
        assert fake.memory is not None
        fake.memory.abort()
        await back.reach()
        await client.publish("a", b"hello")
        assert (await sub.next_msg(timeout=10)).data == b"hello"
        await client.drain(10)
    assert fake.dialled == [("in.process", 7)] * 2
    assert client.is_closed


async def test_a_server_at_the_other_end_of_a_pair_of_sockets() -> None:
    serving: list[asyncio.Task[None]] = []

    async def serve(sock: socket.socket) -> None:
        side = Side(*await asyncio.open_connection(sock=sock))
        await Welcoming()(side)
        side.writer.close()
        await side.writer.wait_closed()

    async def dial(host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
        ours, theirs = socket.socketpair()
        serving.append(asyncio.ensure_future(serve(theirs)))
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)

    client = await connect("nats://anything", transport=dial)
    assert await client.rtt() < 10
    await client.close()
    await asyncio.wait(serving)


@asynccontextmanager
async def http_proxy() -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy for CONNECT (RFC 9110, section 9.3.6): its port, and what was asked of it."""
    asked: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(request.splitlines()[0])
        host, _, port = request.split(" ")[1].rpartition(":")
        if host == "forbidden":
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        upper_reader, upper = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            await asyncio.gather(pump(reader, upper), pump(upper_reader, writer), return_exceptions=True)
        finally:
            writer.transport.abort()
            upper.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=10)


class ProxyRefused(Exception):
    """As the library of a proxy has it: no OSError."""


def through(proxy_port: int) -> Any:
    """A transport through an HTTP proxy."""

    async def dial(host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, ("127.0.0.1", proxy_port))
            await loop.sock_sendall(sock, f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows is the server's
                answer += await loop.sock_recv(sock, 1) or b"\r\n\r\n"
            if b" 200 " not in answer.splitlines()[0]:
                raise ProxyRefused(answer.decode())
            await loop.create_connection(lambda: protocol, sock=sock)
        except BaseException:
            sock.close()
            raise

    return dial


async def talks(client: Client) -> None:
    sub = await client.subscribe("talk")
    await client.publish("talk", b"x" * 100_000)
    assert (await sub.next_msg(timeout=10)).data == b"x" * 100_000


@pytest.fixture
def trust(tmp_path: Path) -> tuple[str, TLSOptions]:
    """A tls block of a server, and what trusts it."""
    authority = Authority(tmp_path)
    certificate = authority.issue("127.0.0.1")
    block = f'tls {{ cert_file: "{certificate.cert}", key_file: "{certificate.key}" }}\n'
    return block, TLSOptions(ca_file=authority.ca)


class TestThroughAProxy:
    async def test_nats(self, nats_url: str) -> None:
        back = Gathered()
        async with leaves_nothing(), http_proxy() as (port, asked):
            client = await connect(nats_url, transport=through(port), reconnected_cb=back, **QUICK)
            await talks(client)
            await client.force_reconnect()
            await back.reach()
            await client.drain(10)
        where = nats_url.rpartition("@")[2]
        assert asked == [f"CONNECT {where} HTTP/1.1"] * 2

    async def test_tls(self, trust: tuple[str, TLSOptions]) -> None:
        block, tls = trust
        with NatsServer(jetstream=False, config=block) as server:
            async with leaves_nothing(), http_proxy() as (port, asked):
                url = server.url.replace("nats://", "tls://")
                async with await connect(url, transport=through(port), tls=tls) as client:
                    await talks(client)
                assert len(asked) == 1

    @pytest.mark.parametrize("secure", [False, True])
    async def test_websocket(self, trust: tuple[str, TLSOptions], secure: bool) -> None:
        block, tls = trust
        config = BLOCK.replace("no_tls: true", block) if secure else BLOCK
        options: dict[str, Any] = {"tls": tls} if secure else {}
        with NatsServer(jetstream=False, config=config) as server:
            async with leaves_nothing(), http_proxy() as (port, asked):
                async with await connect(ws_url(server), transport=through(port), **options) as client:
                    await talks(client)
                assert len(asked) == 1

    async def test_it_refuses(self) -> None:
        """What its library raises is one more reason why a server cannot be reached."""
        async with leaves_nothing(), http_proxy() as (port, _):
            with pytest.raises(NoServersError, match="403 Forbidden") as caught:
                await connect("nats://forbidden", transport=through(port))
            assert isinstance(caught.value.__cause__, ConnectionError)
            assert isinstance(caught.value.__cause__.__cause__, ProxyRefused)

    async def test_it_refuses_later(self, nats_url: str) -> None:
        """A client that is reconnecting goes on trying."""
        refusals = Gathered()
        async with leaves_nothing(), http_proxy() as (port, _):
            dial, refuses = through(port), False

            async def moody(host: str, where: int, protocol: asyncio.BufferedProtocol) -> None:
                if refuses:
                    refusals()
                    raise ProxyRefused
                await dial(host, where, protocol)

            client = await connect(nats_url, transport=moody, **QUICK)
            refuses = True
            await client.force_reconnect()
            await refusals.reach(3)
            assert client.is_reconnecting
            refuses = False
            await eventually(lambda: client.is_connected)
            await client.drain(10)


class TestMistakes:
    @pytest.mark.parametrize("scheme", ["nats", "ws"])
    async def test_one_that_connects_nothing(self, scheme: str) -> None:
        async def idle(host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
            pass

        async with leaves_nothing():
            with pytest.raises(TypeError, match="has not connected the protocol"):
                await connect(f"{scheme}://anything", transport=idle)

    async def test_one_that_takes_too_long(self) -> None:
        async def slow(host: str, port: int, protocol: asyncio.BufferedProtocol) -> None:
            await asyncio.get_running_loop().create_future()

        async with leaves_nothing():
            with pytest.raises(NoServersError, match=r"within 0\.05 s"):
                await connect("nats://anything", transport=slow, connect_timeout=0.05)

    async def test_one_that_cannot_be_encrypted(self) -> None:
        async with leaves_nothing():
            with pytest.raises(SecureConnRequiredError, match="Memory"):
                await connect("wss://anything", transport=Fake())

    def test_one_that_cannot_be_called(self) -> None:
        with pytest.raises(TypeError, match="transport is a function"):
            asyncio.run(connect(transport="socks5://localhost"))  # type: ignore[arg-type]


class TestUvloop:
    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(main(), 30))

    def test_through_a_proxy(self, nats_url: str) -> None:
        async def main() -> None:
            async with http_proxy() as (port, _), await connect(nats_url, transport=through(port)) as client:
                await talks(client)

        self.run(main)

    def test_in_memory(self) -> None:
        async def main() -> None:
            async with await connect("nats://x", transport=Fake()) as client:
                sub = await client.subscribe("a")
                await client.publish("a", b"hello")
                assert (await sub.next_msg(timeout=10)).data == b"hello"

        self.run(main)
