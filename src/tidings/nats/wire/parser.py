"""Bytes of the server → messages on their routes, and control events.

The readable reference; `_speedups` holds the same class compiled. Nothing here knows a socket: the
reader asks for a buffer, fills it, and says how much it filled (the shape of asyncio's
BufferedProtocol), or feeds bytes it has.

The protocol is lines ended by CRLF; after MSG and HMSG follow a payload of the announced length and
one more CRLF. Verbs may be in any case (NATS protocol, "Protocol conventions").
"""

from __future__ import annotations

from typing import Any

from tidings.nats.errors import ProtocolError
from tidings.nats.wire.events import Err, Event, Info, Ok, Ping, Pong
from tidings.nats.wire.message import Route

__all__ = ["MAX_CONTROL_LINE", "MAX_HEADERS", "MAX_PAYLOAD", "READ_SIZE", "Parser"]

READ_SIZE = 256 * 1024
"""Bytes asked of the socket at once."""
MAX_CONTROL_LINE = 1024 * 1024
"""An INFO with thousands of connect_urls is long; the Go client grows without limit, this one stops here."""
MAX_PAYLOAD = 64 * 1024 * 1024
"""The server's own ceiling for max_payload."""
MAX_HEADERS = 1024 * 1024
"""Bytes of one header block."""


class Parser:
    """Turns what the server sends into messages on `routes` and a list of events.

    Args:
        max_control_line: bytes of a line.
        max_payload: bytes of headers and payload together.
        max_headers: bytes of a header block.

    Attributes:
        routes: subscription id → where its messages go. A message without a route is skipped.
        unrouted: how many messages were skipped.
        messages: how many came, those skipped included.
        message_bytes: of their headers and payloads.
    """

    def __init__(
        self,
        *,
        max_control_line: int = MAX_CONTROL_LINE,
        max_payload: int = MAX_PAYLOAD,
        max_headers: int = MAX_HEADERS,
    ) -> None:
        self.routes: dict[int, Route] = {}
        self.unrouted = 0
        self.messages = 0
        self.message_bytes = 0
        self._max_control_line = max_control_line
        self._max_payload = max_payload
        self._max_headers = max_headers
        self._use(bytearray(READ_SIZE))
        self._start = 0  # the first byte not yet parsed
        self._end = 0  # one past the last byte received
        self._scanned = 0  # no line end stands before this one
        self._body: tuple[bytes, bytes, int, int, int] | None = None  # the message whose payload is awaited
        self._touched: list[Route] = []
        self._error: str | None = None

    def get_buffer(self, sizehint: int = -1) -> memoryview:
        """Where the next bytes go; never empty."""
        missing = max(self._needed() - (self._end - self._start), 1)
        room = len(self._buffer) - self._end
        # A read into the last few bytes would cost as much as one into many.
        if self._start and (self._start == self._end or room < max(missing, READ_SIZE // 4)):
            self._move_to_front()
        if len(self._buffer) - self._end < missing:
            self._grow(self._end + missing)
        return self._view[self._end :]

    def buffer_updated(self, size: int) -> list[Event]:
        """Parse after `size` bytes were written into the last buffer; returns the control events.

        Messages are on their routes; `take_touched` tells which.

        Raises:
            ProtocolError: this is not the protocol, or a limit was exceeded. What came before stays
                delivered, its events are those of the error, and every later call raises again.
        """
        if self._error is not None:
            raise ProtocolError(self._error)
        if not 0 <= size <= len(self._buffer) - self._end:
            raise ValueError("more bytes than the buffer holds")
        self._end += size
        events: list[Event] = []
        try:
            while self._payload() if self._body is not None else self._line(events):
                pass
        except ProtocolError as error:
            self._error = str(error)
            error.events = events
            raise
        return events

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Parse bytes that are already at hand. Raises like `buffer_updated`."""
        events: list[Event] = []
        view = memoryview(data).cast("B")
        while len(view):
            target = self.get_buffer()
            size = min(len(target), len(view))
            target[:size] = view[:size]
            target.release()
            view = view[size:]
            events += self.buffer_updated(size)
        return events

    def take_touched(self) -> list[Route]:
        """The routes that got messages since the last call and want to be woken; other callbacks are due."""
        touched, self._touched = self._touched, []
        wanting = []
        for route in touched:
            route.touched = False
            if route.wants_wake or route.calls is None:
                wanting.append(route)
            else:
                route.calls.add(route)
        return wanting

    def _needed(self) -> int:
        """How many bytes the item at `_start` takes in all, as far as is known."""
        return self._body[4] + 2 if self._body is not None else 1

    def _use(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._view = memoryview(buffer)  # takes bytes out in one copy, where a slice would make two

    def _move_to_front(self) -> None:
        size = self._end - self._start
        self._buffer[:size] = self._buffer[self._start : self._end]
        self._scanned -= self._start
        self._start, self._end = 0, size
        if len(self._buffer) > READ_SIZE >= max(size, self._needed()):
            self._use(self._buffer[:READ_SIZE])  # a large message passed; give its memory back

    def _grow(self, size: int) -> None:
        # A new buffer, never a resize: somebody may still hold a view of the old one.
        larger = bytearray(max(size, min(2 * len(self._buffer), size + READ_SIZE)))
        larger[: self._end] = self._buffer[: self._end]
        self._use(larger)

    def _line(self, events: list[Event]) -> bool:
        """Parse one line; False when more bytes are needed."""
        at = self._buffer.find(b"\n", max(self._scanned, self._start), self._end)
        if (at if at >= 0 else self._end) - self._start > self._max_control_line:
            raise ProtocolError(f"a protocol line exceeds {self._max_control_line} bytes")
        if at < 0:
            self._scanned = self._end
            return False
        if at == self._start or self._buffer[at - 1] != 13:
            raise ProtocolError("a protocol line ends with CRLF, this one with LF alone")
        line = self._view[self._start : at - 1].tobytes()
        self._start = self._scanned = at + 1
        # Not bytes.split(): that splits at VT and FF too, which the server lets a subject hold.
        words = [word for word in line.replace(b"\t", b" ").split(b" ") if word]
        verb = words[0].upper() if words and line[0] > 32 else b""
        if verb == b"MSG":
            self._announce(words[1:], line, with_headers=False)
        elif verb == b"HMSG":
            self._announce(words[1:], line, with_headers=True)
        else:
            events.append(control_event(line))
        return True

    def _announce(self, args: list[bytes], line: bytes, with_headers: bool) -> None:
        """``MSG subject sid [reply] size`` or ``HMSG subject sid [reply] header-size size``."""
        sizes = 2 if with_headers else 1
        if not 2 + sizes <= len(args) <= 3 + sizes:
            raise ProtocolError(f"wrong number of arguments: {line[:80]!r}")
        sid = _number(args[1], line)
        size = _number(args[-1], line)
        header_size = _number(args[-2], line) if with_headers else 0
        if size > self._max_payload:
            raise ProtocolError(f"a message of {size} bytes exceeds the limit of {self._max_payload}")
        if header_size > min(size, self._max_headers):
            raise ProtocolError(f"a header block of {header_size} bytes: {line[:80]!r}")
        reply = args[2] if len(args) == 3 + sizes else b""
        self._body = (args[0], reply, sid, header_size if with_headers else -1, size)

    def _payload(self) -> bool:
        """Take the payload that the last line announced; False when more bytes are needed."""
        assert self._body is not None
        subject, reply, sid, header_size, size = self._body
        end = self._start + size
        if self._end < end + 2:
            return False
        if self._buffer[end : end + 2] != b"\r\n":
            raise ProtocolError(f"the payload of {size} bytes is not followed by CRLF")
        route = self.routes.get(sid)
        if route is None:
            self.unrouted += 1
        else:
            body = self._start + max(header_size, 0)
            message = route.message_type(
                subject.decode("utf-8", "surrogateescape"),
                reply.decode("utf-8", "surrogateescape"),
                self._view[body:end].tobytes(),
                header_block=self._view[self._start : body].tobytes() if header_size >= 0 else None,
                sid=sid,
                owner=route.owner,
            )
            route.put(message)
            if not route.touched:
                route.touched = True
                self._touched.append(route)
        self.messages += 1
        self.message_bytes += size
        self._body = None
        self._start = self._scanned = end + 2
        return True


def _number(digits: bytes, line: bytes) -> int:
    # Nine digits hold every legal size and keep a hostile number from costing anything.
    if not digits.isdigit() or len(digits) > 9:
        raise ProtocolError(f"not a number in {line[:80]!r}")
    return int(digits)


def control_event(line: bytes) -> Event:
    """The event that a line other than MSG and HMSG stands for. Raises ProtocolError for none."""
    verb, _, rest = line.replace(b"\t", b" ").partition(b" ")
    match verb.upper():
        case b"PING":
            return Ping()
        case b"PONG":
            return Pong()
        case b"+OK":
            return Ok()
        case b"-ERR":
            return Err(rest.strip().strip(b"'").decode("utf-8", "replace"))
        case b"INFO":
            return Info(_info_fields(rest))
    raise ProtocolError(f"unknown protocol line {line[:80]!r}")


def _info_fields(text: bytes) -> dict[str, Any]:
    import json  # here, because it takes a tenth of the client's import

    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError(f"INFO does not carry JSON: {text[:80]!r}") from None
    if not isinstance(fields, dict):
        raise ProtocolError(f"INFO carries a JSON object, not {text[:80]!r}")
    return fields
