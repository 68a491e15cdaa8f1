"""From a server's URL to a stream of NATS: TCP or what the user brings, and WebSocket over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server
from tidings.nats.core.transport import open_stream
from tidings.nats.errors import MissingExtraError

__all__ = ["dial"]


async def dial(
    server: Server,
    options: Options,
    protocol: asyncio.BufferedProtocol,
    end: Callable[[Exception], object],
    max_payload: Callable[[], int],
) -> bool:
    """Connect `protocol` to `server` as its scheme asks for.

    Args:
        end, max_payload: see `open_websocket`.

    Returns:
        Whether it goes through TLS already; without WebSocket that comes later, if at all.

    Raises:
        OSError, ConnectionError: it cannot be reached.
        MissingExtraError: WebSocket needs the extra ``websocket``.
        SecureConnFailedError, SecureConnRequiredError, InvalidUserCredentialsError: see `open_websocket`.
    """
    if not server.is_websocket:
        await open_stream(server, protocol, options.transport)
        return False
    try:
        from tidings.nats.core.websocket import open_websocket  # here, because it loads `websockets`
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "websockets":
            raise
        raise MissingExtraError(
            f'{server} is a WebSocket, which needs another package: pip install "tidings[websocket]"'
        ) from error
    return await open_websocket(server, options, protocol, end, max_payload)
