"""What a stream answers to a publish."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import api_error
from tidings.nats.wire import HeaderInput

__all__ = ["AckParser", "FailedPublish", "PubAck", "pub_ack"]

# So many streams are known by heart; one more, and all are learned anew.
_MOST_STREAMS = 256


@dataclass(slots=True)
class PubAck:
    """The stream has the message, on disk or in memory as it is configured.

    Attributes:
        stream: the name of the stream.
        seq: the sequence of the message in it; of a duplicate, that of the one stored before.
        domain: the JetStream domain of the stream, where it is in one.
        duplicate: it was there before, by its ``msg_id``; nothing was stored now.
        val: the value of the counter with this increment in it (ADR-49).
        batch_id: the batch that this commits (ADR-50).
        batch_size: how many messages of it were stored; of a fast batch that may have gaps, how far it came.
    """

    stream: str
    seq: int
    domain: str | None = None
    duplicate: bool = False
    val: int | None = None
    batch_id: str | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class FailedPublish:
    """An async publish that was not acknowledged, for the error handler, which may publish it again.

    Attributes:
        subject: where it went.
        payload: its payload.
        headers: its headers, those that its options became among them.
    """

    subject: str
    payload: bytes | str
    headers: HeaderInput | None


def pub_ack(fields: dict[str, Any]) -> PubAck:
    """The acknowledgement in a JSON object that is no error.

    Raises:
        ProtocolError: it is none.
    """
    stream, seq = fields.get("stream"), fields.get("seq")
    if "error" in fields or not isinstance(stream, str) or type(seq) is not int:
        raise ProtocolError(f"a stream acknowledged with {fields!r:.120}")
    value = fields.get("val")
    try:
        return PubAck(
            stream,
            seq,
            fields.get("domain"),
            fields.get("duplicate") is True,
            None if value is None else int(value),
            fields.get("batch"),
            fields.get("count"),
        )
    except (TypeError, ValueError, OverflowError):
        raise ProtocolError(f"a counter's value is {value!r:.80}") from None


class AckParser:
    """Reads acknowledgements, the usual ones without parsing JSON.

    All that a stream sends for plain publishes begin alike and end with the sequence::

        {"stream":"ORDERS","seq":4711}

    So what stands before the number is learned, for each stream, from the first one that is read as JSON.

    Attributes:
        known: the bytes before the sequence → stream and domain.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[str, str | None]] = {}

    def parse(self, data: bytes) -> PubAck:
        """The acknowledgement in `data`.

        Raises:
            ApiError: it is a refusal, as a subclass that says which.
            ProtocolError: it is neither.
        """
        at = data.rfind(b":") + 1
        known = self.known.get(data[:at])
        if known is not None:
            try:
                return PubAck(known[0], int(data[at:-1]), known[1])
            except ValueError:
                pass  # broken, which JSON tells better
        try:
            return self._learn(data, at)
        except RecursionError:  # whoever is subscribed to the message's subject can answer it
            raise ProtocolError(f"a stream acknowledged with {data[:80]!r}") from None

    def _learn(self, data: bytes, at: int) -> PubAck:
        try:
            fields = json.loads(data)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise ProtocolError(f"a stream acknowledged with {data[:80]!r}")
        refusal = fields.get("error")
        if isinstance(refusal, dict):
            raise api_error(refusal)
        ack = pub_ack(fields)
        # Nothing but these may be in it, and the sequence last.
        if fields.keys() <= {"stream", "seq", "domain"} and data[at:] == b"%d}" % ack.seq:
            if len(self.known) >= _MOST_STREAMS:
                self.known.clear()
            self.known[data[:at]] = (ack.stream, ack.domain)
        return ack
