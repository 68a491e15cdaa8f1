from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.nats.core.gathering import leaves_nothing
from tests.peers import Peer, Silent

from tidings.nats.core import transport
from tidings.nats.core.servers import Server
from tidings.nats.core.transport import is_local, open_tcp

V4, V6 = socket.AF_INET, socket.AF_INET6


class Hello(asyncio.Protocol):
    transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken and refuses connections."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full, so that a further connection is neither taken nor refused."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Names:
    """Has "name" resolve to the given ports of 127.0.0.1, and addresses to themselves."""

    def __init__(self, *ports: int) -> None:
        self.ports = ports

    async def __call__(self, host: str, port: int, **options: Any) -> list[Any]:
        ports = self.ports if host == "name" else [port]
        return [(V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]


async def test_it_connects_and_turns_off_nagle() -> None:
    async with leaves_nothing(), Peer(Silent()) as peer:
        await open_tcp(Server("127.0.0.1", peer.port), protocol := Hello())
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        protocol.transport.abort()


async def test_a_refusal_names_the_address() -> None:
    with closed_port() as port:
        async with leaves_nothing():
            with pytest.raises(ConnectionRefusedError, match=str(port)):
                await open_tcp(Server("127.0.0.1", port), Hello())


async def test_addresses_that_refuse_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as one, closed_port() as other:
        async with leaves_nothing(), Peer(Silent()) as peer:
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(one, other, peer.port))
            await open_tcp(Server("name", 1), protocol := Hello())
            assert protocol.transport.get_extra_info("peername")[1] == peer.port
            protocol.transport.abort()


async def test_an_address_that_hangs_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_STAGGER", 0.01)
    with full_port() as hung:
        async with leaves_nothing(), Peer(Silent()) as peer:
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(hung, hung, peer.port))
            await open_tcp(Server("name", 1), protocol := Hello())
            assert protocol.transport.get_extra_info("peername")[1] == peer.port
            protocol.transport.abort()


async def test_all_addresses_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as one, closed_port() as other:
        async with leaves_nothing():
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(one, other))
            with pytest.raises(ConnectionRefusedError):
                await open_tcp(Server("name", 1), Hello())


@pytest.mark.parametrize("addresses", [1, 3])
async def test_an_address_that_hangs_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch, addresses: int
) -> None:
    monkeypatch.setattr(transport, "_STAGGER", 0.001)
    with full_port() as hung:
        async with leaves_nothing():
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", Names(*[hung] * addresses))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await open_tcp(Server("name", 1), Hello())


@pytest.mark.parametrize("name", ["label..empty", "x" * 64, "\udcff"])
async def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(OSError, match="no host name"):
        await open_tcp(Server(name, 1), Hello())


def test_families_are_tried_in_turn() -> None:
    found: list[Any] = [(V6, 1), (V6, 2), (V6, 3), (V4, 1)]
    assert transport._in_turn(found) == [(V6, 1), (V4, 1), (V6, 2), (V6, 3)]
    assert transport._in_turn(found[:1]) == found[:1]


def test_different_failures_are_all_told() -> None:
    error = transport._all_failed([OSError(111, "refused"), OSError(113, "no route")])
    assert "refused" in str(error)
    assert "no route" in str(error)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::1234", False),
        ("2001:db8::1", False),
    ],
)
def test_a_server_on_this_machine_is_known_by_its_address(host: str, expected: bool) -> None:
    assert is_local(host) is expected
