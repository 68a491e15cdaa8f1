"""The outbox of core NATS: encoded in the thread that publishes, handed over to the connection in bulk."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tidings.nats.errors import MaxPayloadError
from tidings.nats.wire import Encoder
from tidings.pubsub.outbox import LIMIT, Outbox

__all__ = ["EncodedOutbox", "Taken"]

# Bytes of a payload from which it is not copied to the others, but goes to the socket as it is.
_LARGE = 64 * 1024


class Taken(NamedTuple):
    """What was gathered: commands to be written together, how many, and the bytes of their payloads."""

    chunks: list[bytes]
    messages: int
    size: int


class EncodedOutbox(Outbox):
    """Whoever publishes hears at once of what is wrong, and the loop has little to do."""

    def __init__(self, on_first: Callable[[], object], is_emptier: Callable[[], bool]) -> None:
        super().__init__(on_first, is_emptier)
        self._encoder = Encoder()
        self._chunks: list[bytes] = []  # what the encoder had, and large payloads, in order
        self._chunks_size = 0
        self._payloads = 0
        self._taken_messages = 0
        self._taken_payloads = 0

    @property
    def max_payload(self) -> int:
        """Bytes that the server takes in one message."""
        return self._encoder.max_payload

    @max_payload.setter
    def max_payload(self, limit: int) -> None:
        with self._lock:
            self._encoder.max_payload = limit

    def publish(self, topic: str, payload: bytes, timeout: float) -> None:
        """Gather a message; waits for room, at most `timeout` seconds.

        Raises:
            BackpressureError: there was none.
            BadSubjectError, MaxPayloadError: as `Encoder.publish`.
            Exception: what `end` was given.
        """
        size = len(payload)
        deadline: float | None = None
        while True:
            with self._lock:
                if self._size < LIMIT and self._ended is None:
                    is_first = not self._size
                    if size < _LARGE:
                        self._size = self._chunks_size + self._encoder.publish(topic, payload)
                    else:
                        self._add_large(topic, payload)
                    self.published += 1
                    self._payloads += size
                    break
            deadline = self._wait_for_room(timeout, deadline)
        if is_first:
            self._on_first()

    def take_encoded(self) -> Taken | None:
        """Everything gathered; None when there is nothing, until which it is to be called, as `take`."""
        with self._lock:
            if not self._chunks and not len(self._encoder):
                return None
            self._cut()
            chunks, self._chunks = self._chunks, []
            self._size = self._chunks_size = 0
            messages = self.published - self._taken_messages
            payloads = self._payloads - self._taken_payloads
            self._taken_messages, self._taken_payloads = self.published, self._payloads
        self._room.wake()
        return Taken(chunks, messages, payloads)

    def _add_large(self, subject: str, payload: bytes) -> None:
        limit = self._encoder.max_payload
        if len(payload) > limit:
            raise MaxPayloadError(
                f"the payload is {len(payload)} bytes, the server accepts {limit} (max_payload)"
            )
        # An encoder checks the subject and writes the line, in which only the size is another one.
        line = Encoder()
        line.publish(subject, b"")
        head = line.take().removesuffix(b"0\r\n\r\n")
        self._cut()
        self._add(head + b"%d\r\n" % len(payload), payload, b"\r\n")
        self._size = self._chunks_size

    def _cut(self) -> None:
        """Take what the encoder has."""
        if len(self._encoder):
            self._add(self._encoder.take())

    def _add(self, *chunks: bytes) -> None:
        """In one step: nothing that a signal handler publishes may come between them."""
        self._chunks += chunks
        self._chunks_size += sum(map(len, chunks))
