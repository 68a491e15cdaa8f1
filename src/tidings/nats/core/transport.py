"""Opening the byte stream to one server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from tidings.nats.core.options import Transport
from tidings.nats.core.servers import Server
from tidings.nats.errors import ConnectionError, Error

__all__ = ["is_local", "not_connected", "open_stream", "open_tcp"]

# What `getaddrinfo` returns for an address: family, type, protocol, canonical name, address.
Address: TypeAlias = "tuple[int, int, int, str, tuple[Any, ...]]"

# What the transport may hold unsent before it asks us to pause; small writes are gathered before it.
_HIGH_WATER = 1024 * 1024
# For a server on this machine, which no delay has to be bridged to: left to itself the kernel's buffer
# grows to many MiB that no cache holds, and the server spends a fifth more on each large message.
_LOCAL_RECEIVE_BUFFER = 256 * 1024
# How long an address has before the next one is tried beside it: RFC 8305, section 5.
_STAGGER = 0.25


async def open_stream(
    server: Server, protocol: asyncio.BufferedProtocol, transport: Transport | None = None
) -> None:
    """Connect `protocol` to `server` by `transport`, over TCP where that is None.

    Raises:
        OSError, ConnectionError: it cannot be reached.
    """
    if transport is None:
        await open_tcp(server, protocol)
        return
    try:
        await transport(server.host, server.port, protocol)
    except (OSError, Error):
        raise
    except Exception as error:  # a proxy's library has errors of its own
        raise ConnectionError(f"transport cannot connect to {server}: {error!r}") from error


def not_connected() -> TypeError:
    """What is raised when ``transport`` returned and did not do its work."""
    return TypeError(
        "transport returned and has not connected the protocol it was given; await "
        "loop.create_connection(lambda: protocol, …), or call protocol.connection_made(transport)"
    )


async def open_tcp(server: Server, protocol: asyncio.BaseProtocol) -> None:
    """Connect `protocol` to `server` over TCP.

    All addresses of the name are tried, IPv6 and IPv4 in turn and staggered (RFC 8305). It is done here
    because asyncio's own way leaves a socket open when it is cancelled, and uvloop has none.

    Raises:
        OSError: refused, unreachable, or the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or longer than 63 characters
        raise OSError(f"{server.host!r} is no host name: {error}") from None
    sock = await _connect_any(_in_turn(found))
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if is_local(sock.getpeername()[0]):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LOCAL_RECEIVE_BUFFER)
        transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    transport.set_write_buffer_limits(high=_HIGH_WATER)


def is_local(address: str) -> bool:
    """Whether `address` is one of this machine's own."""
    return address == "::1" or address.startswith(("127.", "::ffff:127."))


def _in_turn(addresses: Sequence[Address]) -> list[Address]:
    """The addresses, the family of the first and the other in turn (RFC 8305, section 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    other = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, other)) if address]


async def _connect_any(addresses: Sequence[Address]) -> socket.socket:
    """A socket connected to the first address that answers. Raises OSError when none does."""
    if len(addresses) == 1:
        return await _connect(addresses[0])
    tries: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        for count, address in enumerate(addresses, 1):
            tries.add(asyncio.ensure_future(_connect(address)))
            if winner := await _first(tries, errors, _STAGGER if count < len(addresses) else None):
                tries.discard(winner)
                return winner.result()
        raise _all_failed(errors)
    finally:
        for late in tries:
            late.add_done_callback(_close_late)
            late.cancel()


async def _first(
    tries: set[asyncio.Task[socket.socket]], errors: list[OSError], patience: float | None
) -> asyncio.Task[socket.socket] | None:
    """The first of `tries` to succeed; None when one failed or `patience` is over and more can be tried."""
    while tries:
        done, _ = await asyncio.wait(tries, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            if error is None:
                return task
            if not isinstance(error, OSError):
                raise error
            errors.append(error)
            tries.discard(task)
        if patience is not None:
            break
    return None


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and not task.exception():
        task.result().close()


async def _connect(address: Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _all_failed(errors: Sequence[OSError]) -> OSError:
    if len({error.errno for error in errors}) == 1:
        return errors[0]
    return OSError("; ".join(str(error) for error in errors))
