"""What we say → bytes of the protocol, gathered until they are taken for the socket.

The readable reference; `_speedups` holds the same class compiled. Whatever the caller gives is checked
before a byte is written, so that a refused call leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidings.nats.errors import BadSubjectError, Error, MaxPayloadError, OutboundBufferLimitError
from tidings.nats.wire.headers import HeaderInput, encode_headers
from tidings.nats.wire.subjects import check_pattern, check_queue, check_subject, check_word

__all__ = ["Encoder"]

# Subjects repeat; their checked bytes are kept, and all forgotten when they grow too many.
_KNOWN_SUBJECTS = 1024


class Encoder:
    """Gathers commands to be written together.

    Args:
        on_first: called when the first bytes are gathered after `take`; arms the flush.
        max_payload: bytes of headers and payload that the server accepts (INFO ``max_payload``).
        max_control_line: bytes of a command line that the server accepts (its default is 4,096).
        skip_subject_validation: of what is published refuse only subjects that would break the protocol.

    Attributes:
        max_payload: see above; the server may change it.
        headers_supported: whether the server takes HPUB (INFO ``headers``).
        max_pending: bytes of publishes held; one that would exceed it is refused. 0 is no limit.
        refusal: makes the error that `publish` raises, when publishing is over; None while it is open.
        messages: publishes gathered so far.
        message_bytes: of their headers and payloads.
    """

    def __init__(
        self,
        on_first: Callable[[], object] | None = None,
        *,
        max_payload: int = 1024 * 1024,
        max_control_line: int = 4096,
        skip_subject_validation: bool = False,
    ) -> None:
        self.max_payload = max_payload
        self.headers_supported = True
        self.max_pending = 0
        self.refusal: Callable[[], Exception] | None = None
        self.messages = 0
        self.message_bytes = 0
        self._on_first = on_first
        self._max_control_line = max_control_line
        self._check = check_word if skip_subject_validation else check_subject
        self._chunks: list[bytes] = []
        self._control: list[int] = []  # which chunks are not publishes
        self._size = 0
        self._known: dict[str, bytes] = {}

    def __len__(self) -> int:
        """Bytes gathered and not taken."""
        return self._size

    def publish(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        reply: str | None = "",
        headers: HeaderInput | None = None,
    ) -> int:
        """Gather ``PUB``, or ``HPUB`` with headers; returns the bytes now gathered.

        Raises:
            BadSubjectError, BadHeaderError, MaxPayloadError: refused as given, nothing was gathered.
            OutboundBufferLimitError: `max_pending` would be exceeded.
            Error: what `refusal` makes.
            TypeError: the payload is neither bytes-like nor ``str``.
        """
        if self.refusal is not None:
            raise self.refusal()
        line = self._known.get(subject) or self._know(subject)
        if reply:
            self._check(reply, "reply subject")
            line += reply.encode("utf-8", "surrogateescape") + b" "
        block = self._header_block(headers) if headers else b""
        data = as_bytes(payload)
        size = len(block) + len(data)
        line = b"H%b%d %d\r\n" % (line, len(block), size) if block else b"%b%d\r\n" % (line, size)
        if size > self.max_payload:
            raise MaxPayloadError(
                f"headers and payload are {size} bytes, the server accepts {self.max_payload} (max_payload)"
            )
        if len(line) - 2 > self._max_control_line:
            raise BadSubjectError(
                f"subject and reply make a line of {len(line) - 2} bytes, "
                f"the server accepts {self._max_control_line}"
            )
        chunk = b"".join((line, block, data, b"\r\n"))
        if 0 < self.max_pending < self._size + len(chunk):
            raise OutboundBufferLimitError(
                f"{self._size} bytes wait for the connection to come back, the limit is {self.max_pending}"
            )
        self.messages += 1
        self.message_bytes += size
        return self._gather(chunk)

    def subscribe(self, sid: int, subject: str, queue: str = "") -> int:
        """Gather ``SUB``. Raises BadSubjectError for a subject or queue group that cannot stand in it."""
        return self._gather_control(sub_line(sid, subject, queue, self._max_control_line))

    def unsubscribe(self, sid: int, limit: int = 0) -> int:
        """Gather ``UNSUB``; with `limit`, the server ends it after that many messages in all."""
        return self._gather_control(unsub_line(sid, limit))

    def ping(self) -> int:
        """Gather ``PING``."""
        return self._gather_control(b"PING\r\n")

    def pong(self) -> int:
        """Gather ``PONG``."""
        return self._gather_control(b"PONG\r\n")

    def connect(self, options: dict[str, Any]) -> int:
        """Gather ``CONNECT`` with `options` as JSON."""
        return self._gather_control(connect_line(options))

    def take(self) -> bytes:
        """Everything gathered, to be written now."""
        data = b"".join(self._chunks)
        self.clear()
        return data

    def drop_control(self) -> None:
        """Forget all but the publishes: other commands belong to the connection they were made for."""
        control = set(self._control)
        self._chunks = [chunk for i, chunk in enumerate(self._chunks) if i not in control]
        self._size = sum(map(len, self._chunks))
        self._control.clear()

    def clear(self) -> None:
        """Forget everything gathered."""
        self._chunks.clear()
        self._control.clear()
        self._size = 0

    def _know(self, subject: str) -> bytes:
        self._check(subject, "subject")
        line = b"PUB " + subject.encode("utf-8", "surrogateescape") + b" "
        if len(line) < self._max_control_line:
            if len(self._known) >= _KNOWN_SUBJECTS:
                self._known.clear()
            self._known[subject] = line
        return line

    def _header_block(self, headers: HeaderInput) -> bytes:
        if not self.headers_supported:
            raise Error("the server does not take headers (INFO headers:false)")
        return encode_headers(headers)

    def _gather(self, chunk: bytes) -> int:
        first = not self._chunks
        self._chunks.append(chunk)
        self._size += len(chunk)
        if first and self._on_first is not None:
            self._on_first()
        return self._size

    def _gather_control(self, chunk: bytes) -> int:
        self._control.append(len(self._chunks))
        return self._gather(chunk)


def as_bytes(payload: bytes | bytearray | memoryview | str) -> bytes | bytearray:
    """The payload as something with a length in bytes; ``str`` as UTF-8."""
    if isinstance(payload, bytes | bytearray):
        return payload
    if isinstance(payload, str):
        return payload.encode()
    try:
        return bytes(memoryview(payload))
    except TypeError:
        raise TypeError(
            f"a payload is bytes, a buffer or str, not {type(payload).__name__}: encode it first"
        ) from None


def sub_line(sid: int, subject: str, queue: str, max_control_line: int) -> bytes:
    """``SUB``. Raises BadSubjectError for a subject or queue group that cannot stand in it."""
    check_pattern(subject)
    if queue:
        check_queue(queue)
        line = f"SUB {subject} {queue} {sid}\r\n".encode("utf-8", "surrogateescape")
    else:
        line = f"SUB {subject} {sid}\r\n".encode("utf-8", "surrogateescape")
    if len(line) - 2 > max_control_line:
        raise BadSubjectError(
            f"subject and queue group make a line of {len(line) - 2} bytes, "
            f"the server accepts {max_control_line}"
        )
    return line


def unsub_line(sid: int, limit: int) -> bytes:
    """``UNSUB``, with the number of messages after which the server ends the subscription, if any."""
    return b"UNSUB %d %d\r\n" % (sid, limit) if limit > 0 else b"UNSUB %d\r\n" % sid


def connect_line(options: dict[str, Any]) -> bytes:
    """``CONNECT`` with its JSON."""
    import json  # here, because it takes a tenth of the client's import

    return b"CONNECT %b\r\n" % json.dumps(options, separators=(",", ":")).encode()
