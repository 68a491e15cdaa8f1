"""Opening the byte stream to one server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from tidings.nats.core.servers import Server

__all__ = ["open_tcp"]

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

# What the transport may hold unsent before it asks us to pause; small writes are gathered before it.
_HIGH_WATER = 1024 * 1024


async def open_tcp(server: Server, make_protocol: Callable[[], ProtocolT]) -> ProtocolT:
    """Connect to `server` over TCP and return the protocol, connected.

    All addresses of the name are tried, IPv6 and IPv4 staggered (RFC 8305).

    Raises:
        OSError: refused, unreachable, or the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    # uvloop tries the addresses one after the other and knows no delay.
    stagger: Any = {"happy_eyeballs_delay": 0.25} if isinstance(loop, asyncio.BaseEventLoop) else {}
    transport: asyncio.Transport
    protocol: ProtocolT
    transport, protocol = await loop.create_connection(make_protocol, server.host, server.port, **stagger)
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    transport.set_write_buffer_limits(high=_HIGH_WATER)
    return protocol
