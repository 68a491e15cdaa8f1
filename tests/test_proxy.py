"""The faults that tests of the network rely on."""

from __future__ import annotations

import asyncio

import pytest

from tests.peers import Peer, Side
from tests.proxy import Proxy


async def echo(side: Side) -> None:
    while data := await side.reader.read(65536):
        await side.send(data)


class Caller:
    """A connection to the proxy that says things and hears the echo."""

    async def __aenter__(self) -> Caller:
        return self

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    async def connect(self) -> Caller:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        return self

    async def say(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.reader.readexactly(len(data))

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()


async def test_it_forwards_both_ways() -> None:
    async with Peer(echo) as peer, Proxy(peer.url) as proxy, await Caller(proxy).connect() as caller:
        data = bytes(range(256)) * 2000
        assert await caller.say(data) == data
        assert proxy.passed_up == len(data)
        assert proxy.connections == 1


def test_its_url_is_that_of_the_target_elsewhere() -> None:
    proxy = Proxy("nats://user:pass@localhost:4222")
    proxy.port = 5
    assert proxy.url == "nats://user:pass@127.0.0.1:5"


async def test_the_end_of_one_side_ends_the_other() -> None:
    async def one_word(side: Side) -> None:
        await side.send(b"bye")

    async with Peer(one_word) as peer, Proxy(peer.url) as proxy, await Caller(proxy).connect() as caller:
        assert await caller.reader.readexactly(3) == b"bye"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.reader.readexactly(1)


async def test_cut() -> None:
    async with Peer(echo) as peer, Proxy(peer.url) as proxy:
        async with await Caller(proxy).connect() as caller:
            await caller.say(b"1")
            proxy.cut()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await caller.say(b"2")
        async with await Caller(proxy).connect() as caller:
            assert await caller.say(b"3") == b"3"


async def test_away() -> None:
    async with Peer(echo) as peer, Proxy(peer.url) as proxy:
        async with await Caller(proxy).connect() as caller:
            await caller.say(b"1")
            port = proxy.port
            async with proxy.away():
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await caller.say(b"2")
                with pytest.raises(ConnectionRefusedError):
                    await Caller(proxy).connect()
        assert proxy.port == port
        async with await Caller(proxy).connect() as caller:
            assert await caller.say(b"3") == b"3"


@pytest.mark.parametrize("direction", ["both", "up", "down"])
async def test_deaf(direction: str) -> None:
    async with Peer(echo) as peer, Proxy(peer.url) as proxy, await Caller(proxy).connect() as caller:
        await caller.say(b"before")
        with proxy.deaf(direction):  # type: ignore[arg-type]
            hearing = asyncio.create_task(caller.say(b"meanwhile"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await asyncio.shield(hearing)
        assert await hearing == b"meanwhile"


async def test_delayed() -> None:
    async with Peer(echo) as peer, Proxy(peer.url) as proxy, await Caller(proxy).connect() as caller:
        with proxy.delayed(0.02):
            hearing = asyncio.create_task(caller.say(b"late"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await asyncio.shield(hearing)
            assert await hearing == b"late"
        assert await caller.say(b"prompt") == b"prompt"


async def test_a_target_that_is_not_there() -> None:
    async with Peer(echo) as peer:
        url = peer.url
    async with Proxy(url) as proxy, await Caller(proxy).connect() as caller:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await caller.say(b"1")
