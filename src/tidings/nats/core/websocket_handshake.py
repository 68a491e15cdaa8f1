"""How a WebSocket is opened: the headers of the request, compression, and why a server refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.typing import ExtensionName, ExtensionParameter

from tidings.nats.core.auth import value_of
from tidings.nats.core.servers import Server
from tidings.nats.errors import InvalidUserCredentialsError, WebSocketError

__all__ = ["Deflate", "ascii_host", "because", "refused", "request_headers"]

# RFC 9110, sections 5.1 and 5.5, which leaves more than ASCII to chance.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
# Those that make the handshake (RFC 6455, section 4.1).
_OURS = re.compile(r"upgrade|connection|sec-websocket-.*", re.IGNORECASE)

# Shorter messages grow by being compressed; the server's limit is the same.
_DEFLATE_FROM = 64
# Characters of a refusal's body that an error shows.
_SHOWN = 100


async def request_headers(given: object) -> list[tuple[str, str]]:
    """The headers that ``ws_connection_headers`` asks for, in order.

    Raises:
        InvalidUserCredentialsError: they cannot be had, or cannot stand in a request. The text names a
            header, never its value.
    """
    headers = await value_of("ws_connection_headers", given)
    if headers is None:
        return []
    if not isinstance(headers, Mapping):
        raise InvalidUserCredentialsError(
            f"ws_connection_headers gave {type(headers).__name__}; they are a mapping of names to values"
        )
    return [(name, value) for name, values in headers.items() for value in _checked(name, values)]


def _checked(name: object, values: object) -> Sequence[str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidUserCredentialsError(f"ws_connection_headers: {name!r} is no name of an HTTP header")
    if _OURS.fullmatch(name):
        raise InvalidUserCredentialsError(f"ws_connection_headers: {name} is set by the client")
    listed = [values] if isinstance(values, str) else values
    if not isinstance(listed, Sequence) or not all(
        isinstance(value, str) and _VALUE.fullmatch(value) for value in listed
    ):
        raise InvalidUserCredentialsError(
            f"ws_connection_headers: the value of {name} is no line of ASCII, nor a list of them"
        )
    return listed


def ascii_host(server: Server) -> str:
    """The server's host as the Host header has it. Raises OSError if it is no name."""
    try:
        return server.host if server.host.isascii() else server.host.encode("idna").decode()
    except UnicodeError as error:
        raise OSError(f"{server.host!r} is no host name: {error}") from None


def refused(server: Server, error: Exception) -> WebSocketError:
    """What is raised when the handshake failed with `error`."""
    if not isinstance(error, InvalidStatus):
        cause = f"; {error.__cause__}" if error.__cause__ is not None else ""
        failure = WebSocketError(
            f"{server} does not speak WebSocket: {error}{cause}; the port is that of the server's websocket "
            "block, or of a proxy before it"
        )
    else:
        status = error.response.status_code
        body = bytes(error.response.body or b"").decode("utf-8", "replace").strip()
        said = f" {body[:_SHOWN]!r}" if body else ""
        failure = WebSocketError(f"{server} refuses WebSocket with HTTP status {status}{said}", status)
    return because(failure, error)


def because(failure: WebSocketError, error: Exception) -> WebSocketError:
    """`failure` with `error` as its cause.

    Without the frames of the parser, which hold what was received; they are a generator's, and a look at
    their variables crashes Python 3.13.0 when it is gone.
    """
    failure.__cause__ = error
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return failure


class Deflate(ClientPerMessageDeflateFactory):
    """Offers permessage-deflate as the server does it: each message for itself, short ones as they are."""

    def __init__(self) -> None:
        super().__init__(
            server_no_context_takeover=True,
            client_no_context_takeover=True,
            compress_settings={"level": 1},  # the server's choice too; higher ones cost more than they gain
        )

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Any:
        """The extension that the server agreed to."""
        return _LongOnly(super().process_response_params(params, accepted_extensions))


class _LongOnly(Extension):
    """Leaves short messages uncompressed, which RFC 7692, section 6, allows for each message."""

    name: ExtensionName

    def __init__(self, inner: Extension) -> None:
        self.name = inner.name
        self._inner = inner

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        return self._inner.decode(frame, max_size=max_size)

    def encode(self, frame: Frame) -> Frame:
        return frame if len(frame.data) < _DEFLATE_FROM else self._inner.encode(frame)
