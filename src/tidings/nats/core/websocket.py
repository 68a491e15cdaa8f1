"""NATS through WebSocket (RFC 6455): a transport to the link above it, a protocol to the socket below.

What is written in one go becomes one binary frame, and what frames bring is handed to the link as if it
came from a socket, so a link knows nothing of frames. The rules are kept by the sans-I/O core of
`websockets`, whose masking is in C; the extra ``websocket`` installs it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State
from websockets.uri import WebSocketURI

from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server
from tidings.nats.core.tls import context_of, upgrade
from tidings.nats.core.transport import not_connected, open_stream
from tidings.nats.core.websocket_handshake import Deflate, ascii_host, because, refused, request_headers
from tidings.nats.errors import ConnectionClosedError, WebSocketError

__all__ = ["MAX_FRAME", "WebSocket", "open_websocket"]

MAX_FRAME = 128 * 1024 * 1024
"""Bytes of one frame, decompressed. A server puts all that waits for a client into one: up to its
``max_pending`` (64 MiB by default), and what came last."""
READ_SIZE = 256 * 1024
"""Bytes asked of the socket at once."""

# So much is handed to the link before others get a turn.
_TURN_SIZE = 1024 * 1024
# Bytes of a message that we compress: longer ones are hardly smaller, and the server inflates none beyond
# its max_payload, however many of ours are in it.
_DEFLATE_SIZE = 32 * 1024
# Seconds that the other side has to close what it or we want closed.
_PATIENCE = 1.0

# `websockets` logs headers and frames where its logger is set to DEBUG, and ours hold secrets.
_logger = logging.Logger("tidings.nats.websocket", logging.INFO)
_logger.parent = logging.getLogger("tidings.nats")


async def open_websocket(
    server: Server,
    options: Options,
    protocol: asyncio.BufferedProtocol,
    end: Callable[[Exception], object],
    max_payload: Callable[[], int],
) -> bool:
    """Connect `protocol` to `server` through WebSocket, and TLS below it where that is asked for.

    It returns when the request is sent; the response comes before the server's first words.

    Args:
        end: ends `protocol`; told the reason when the WebSocket fails or the server closes it.
        max_payload: what the server said of it.

    Returns:
        Whether it goes through TLS.

    Raises:
        OSError: it cannot be reached.
        SecureConnFailedError, SecureConnRequiredError: there is no TLS with it.
        InvalidUserCredentialsError: ``ws_connection_headers`` cannot be had or sent.
    """
    headers = await request_headers(options.ws_connection_headers)
    is_secure = server.must_be_secure or options.asks_for_tls
    context = await context_of(options.tls) if is_secure else None
    inflates = max_payload if options.ws_compression else None
    socket = WebSocket(server, protocol, end, inflates, is_secure=is_secure)
    await open_stream(server, socket, options.transport)
    if context is not None:
        await socket.secure(context, options.tls_hostname)
        server.insist_on_tls()
    socket.request(headers)
    return is_secure


class WebSocket(asyncio.Transport, asyncio.BufferedProtocol):
    """One WebSocket: the protocol of a socket, and the transport of `protocol`.

    Args:
        server: what it is connected to.
        protocol: what it carries; told of the connection when there is a socket, so that it can end it.
        end, max_payload: see `open_websocket`; with `max_payload`, permessage-deflate is offered.
        is_secure: whether it is ``wss``.

    Raises:
        OSError: the server's host is no name.
    """

    def __init__(
        self,
        server: Server,
        protocol: asyncio.BufferedProtocol,
        end: Callable[[Exception], object],
        max_payload: Callable[[], int] | None = None,
        *,
        is_secure: bool = False,
    ) -> None:
        super().__init__()
        self._server = server
        self._protocol = protocol
        self._end = end
        self._max_payload = max_payload
        self._wire = ClientProtocol(
            WebSocketURI(is_secure, ascii_host(server), server.port, server.path, ""),
            extensions=[Deflate()] if max_payload is not None else None,
            max_size=(None, MAX_FRAME),  # the frames of a message are handed on as they come
            logger=_logger,
        )
        self._loop = asyncio.get_running_loop()
        self._lower: asyncio.Transport | None = None
        self._bottom: asyncio.Transport | None = None  # the same, or below TLS
        self._view = memoryview(bytearray(READ_SIZE))
        self._incoming: deque[memoryview] = deque()  # what frames brought and the link has not got yet
        self._is_reading = True  # the link takes what comes
        self._is_held = False  # the socket is not read until the link got what waits for it
        self._is_full = False
        self._owed = b""
        self._is_closing = False  # we said that we close
        self._is_leaving = False  # the socket is being closed
        self._is_lost = False
        self._reason: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def secure(self, context: ssl.SSLContext, hostname: str | None) -> None:
        """Go on through TLS. Raises as `upgrade`."""
        self._lower = await upgrade(self._socket(), self, self._server, context, hostname)

    def request(self, headers: Sequence[tuple[str, str]]) -> None:
        """Ask the server for a WebSocket.

        Args:
            headers: names and values that go with the request; they replace our own.
        """
        request = self._wire.connect()
        for name in {name for name, _ in headers}:
            if name in request.headers:
                del request.headers[name]
        for name, value in headers:
            request.headers[name] = value  # adds: names may come several times
        self._wire.send_request(request)
        self._send()

    # The protocol of the socket, called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a socket."""
        self._lower = self._bottom = cast(asyncio.Transport, transport)  # uvloop's is none by its type
        self._protocol.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Take frames apart, answer pings, hand on what they bring."""
        if self._is_leaving:
            return
        self._wire.receive_data(bytes(self._view[:nbytes]))
        for event in self._wire.events_received():
            self._take(event)
        if self._reason is None:
            self._reason = self._failure()
        self._send()
        self._hand_on()

    def eof_received(self) -> bool:
        """The server ended the connection, with or without a close frame before."""
        if self._is_closing or self._is_leaving:
            return False
        self._hand_on(everything=True)
        if self._wire.state is State.CONNECTING:
            self._wire.receive_eof()  # the end of a refusal may be the end of the connection
            if isinstance(self._wire.handshake_exc, InvalidStatus):
                self._reason = self._failure()
        if self._reason is None:
            self._protocol.eof_received()
        else:
            self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._hand_on(everything=True)
        self._incoming.clear()
        if self._reason is not None:
            self._end(self._reason)
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The socket is full."""
        self._is_full = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The socket has room again."""
        self._is_full = False
        owed, self._owed = self._owed, b""
        if self._is_leaving:
            return
        if owed:
            self._socket().write(owed)
        if not self._is_closing:
            self._protocol.resume_writing()

    # The transport of the link

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` in a frame; dropped once either side has closed."""
        if not data or self._wire.state is not State.OPEN or self.is_closing():
            return
        if self._wire.extensions and self._max_payload is not None:
            size = min(self._max_payload(), _DEFLATE_SIZE)
            for start in range(0, len(data), size):
                self._wire.send_binary(data[start : start + size])
        else:
            self._wire.send_binary(data)
        lower = self._socket()
        for frame in self._wire.data_to_send():
            lower.write(frame)

    def is_closing(self) -> bool:
        """Whether nothing is sent any more."""
        return self._is_closing or self._is_leaving or self._lower is None or self._lower.is_closing()

    def close(self) -> None:
        """Send what the socket has not taken yet and close, both sides within a second."""
        if self.is_closing():
            return
        if self._wire.state is not State.OPEN:
            self._leave()
            return
        self._is_closing = True
        self._wire.send_close(CloseCode.NORMAL_CLOSURE)
        lower = self._socket()
        for frame in self._wire.data_to_send():
            lower.write(frame)
        self._incoming.clear()
        self._read_again()
        self._timer = self._loop.call_later(_PATIENCE, self.abort)

    def abort(self) -> None:
        """End the connection now."""
        self._is_leaving = True
        self._incoming.clear()
        if self._lower is not None and not self._is_lost:
            self._lower.abort()

    def pause_reading(self) -> None:
        """Hand nothing more to the link."""
        self._is_reading = False
        self._hold()

    def resume_reading(self) -> None:
        """Hand to the link again."""
        if not self._is_reading:
            self._is_reading = True
            self._loop.call_soon(self._hand_on)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport below knows, as ``ssl_object``."""
        return self._lower.get_extra_info(name, default) if self._lower is not None else default

    def get_write_buffer_size(self) -> int:
        """Bytes, of frames, that the socket has not taken."""
        return self._lower.get_write_buffer_size() if self._lower is not None else 0

    # Between the two

    def _socket(self) -> asyncio.Transport:
        if self._lower is None:
            raise not_connected()
        return self._lower

    def _take(self, event: Event) -> None:
        if not isinstance(event, Frame) or self._reason is not None:
            return  # the response is judged by `_failure`
        if event.opcode is Opcode.TEXT:
            self._reason = WebSocketError(f"{self._server} sent a text frame; NATS is spoken in binary ones")
            self._wire.fail(CloseCode.UNSUPPORTED_DATA, "binary frames only")
        elif event.opcode in (Opcode.BINARY, Opcode.CONT) and event.data and not self._is_closing:
            self._incoming.append(memoryview(event.data))

    def _failure(self) -> Exception | None:
        """Why the connection is over, if it is."""
        wire = self._wire
        if wire.handshake_exc is not None:
            return refused(self._server, wire.handshake_exc)
        if wire.parser_exc is not None:
            is_large = isinstance(wire.parser_exc, PayloadTooBig)
            what = "a frame that is too large" if is_large else "a bad frame"
            return because(WebSocketError(f"{self._server} sent {what}: {wire.parser_exc}"), wire.parser_exc)
        if wire.close_rcvd is not None:
            if self._is_closing:
                self._leave()
                return None
            return ConnectionClosedError(f"{self._server} closed the WebSocket: {wire.close_rcvd}")
        return None

    def _send(self) -> None:
        """Send what the rules ask for: our request, pongs, a close frame."""
        lower = self._socket()
        for frame in self._wire.data_to_send():
            if not frame:
                continue  # the end of the stream, which `_leave` brings about
            if self._is_full:
                # A server that pings and does not read would fill memory with answers; the last one will do
                # (RFC 6455, section 5.5.3).
                self._owed = frame
            else:
                lower.write(frame)

    def _hand_on(self, *, everything: bool = False) -> None:
        """Hand what frames brought to the link; what is too much for one turn waits for the next."""
        left = sum(map(len, self._incoming)) if everything else _TURN_SIZE
        while self._incoming and self._is_reading and left > 0:
            left -= self._hand_on_some()
        if not self._is_reading:
            return
        if self._incoming:
            self._hold()
            self._loop.call_soon(self._hand_on)
        elif self._reason is not None:
            self._leave()
        else:
            self._read_again()

    def _hand_on_some(self) -> int:
        """Fill the link's buffer once; returns with how many bytes."""
        incoming = self._incoming
        buffer = memoryview(self._protocol.get_buffer(-1))
        filled, room = 0, len(buffer)
        while incoming and filled < room:
            data = incoming[0]
            size = min(len(data), room - filled)
            buffer[filled : filled + size] = data[:size]
            filled += size
            if size == len(data):
                incoming.popleft()
            else:
                incoming[0] = data[size:]
        buffer.release()
        self._protocol.buffer_updated(filled)
        return filled

    # The bottom is held, as asyncio's TLS, when it is, keeps the end of the connection to itself.

    def _hold(self) -> None:
        if not self._is_held and self._bottom is not None and not self._bottom.is_closing():
            self._is_held = True
            self._bottom.pause_reading()

    def _read_again(self) -> None:
        if self._is_held and self._bottom is not None and not self._bottom.is_closing():
            self._is_held = False
            self._bottom.resume_reading()

    def _leave(self) -> None:
        """Close the socket, and end it if that takes long."""
        if self._is_leaving or self._is_lost:
            return
        self._is_leaving = True
        self._protocol.pause_writing()
        if self._lower is not None:
            self._lower.close()
            if self._timer is None:
                self._timer = self._loop.call_later(_PATIENCE, self.abort)
