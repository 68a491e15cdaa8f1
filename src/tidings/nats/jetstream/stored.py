"""Messages as a stream has stored them: one by one, by the API or directly from a replica (ADR-31)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import has_wildcard
from tidings.nats.jetstream.errors import api_error
from tidings.nats.jetstream.times import parse_time
from tidings.nats.wire import Headers, Msg, parse_headers

__all__ = ["StoredMsg", "direct_msg", "get_by_api", "get_directly", "is_status", "status_error"]

# What the server adds to a message that it gives away directly.
_STREAM = "Nats-Stream"
_SUBJECT = "Nats-Subject"
_SEQUENCE = "Nats-Sequence"
_TIME = "Nats-Time-Stamp"
_NUM_PENDING = "Nats-Num-Pending"
_LAST_SEQUENCE = "Nats-Last-Sequence"
_ADDED = (_STREAM, _SUBJECT, _SEQUENCE, _TIME)
_ADDED_IN_BATCH = (*_ADDED, _NUM_PENDING, _LAST_SEQUENCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMsg:
    """A message of a stream.

    Attributes:
        stream: the name of the stream.
        subject: what it was published to.
        seq: its sequence in the stream.
        data: the payload.
        headers: as they were published.
        time: when it was stored.
    """

    stream: str
    subject: str
    seq: int
    data: bytes = b""
    headers: Headers = field(default_factory=Headers)
    time: datetime | None = None


async def get_by_api(api: Api, stream: str, request: Mapping[str, Any]) -> StoredMsg:
    """Ask the leader of the stream: what it gives is the newest there is.

    Raises:
        MessageNotFoundError: there is no such message.
    """
    answer = await api.request(f"STREAM.MSG.GET.{stream}", request)
    found: Any = answer.get("message")
    try:
        headers = base64.b64decode(found.get("hdrs") or "", validate=True)
        return StoredMsg(
            stream=stream,
            subject=str(found["subject"]),
            seq=int(found["seq"]),
            data=base64.b64decode(found.get("data") or "", validate=True),
            headers=Headers(parse_headers(headers)[2]) if headers else Headers(),
            time=parse_time(found.get("time") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise ProtocolError(f"the JetStream API answered no message: {answer!r:.200}") from error


async def get_directly(api: Api, stream: str, request: Mapping[str, Any]) -> StoredMsg:
    """Ask whoever has a replica; it may be a moment behind the leader.

    Raises:
        MessageNotFoundError: there is no such message.
        JetStreamUnavailableError: the stream does not allow it, or there is none.
    """
    subject = request.get("last_by_subj")
    if subject and not has_wildcard(subject):  # in the subject, so that permissions can tell
        answer = await api.ask(f"DIRECT.GET.{stream}.{subject}")
    else:
        answer = await api.ask(f"DIRECT.GET.{stream}", json.dumps(request).encode())
    if is_status(answer):
        raise status_error(answer, f"DIRECT.GET.{stream}")
    return direct_msg(answer)


def is_status(answer: Msg) -> bool:
    """Whether the server says something; a stored message may have a status line of its own."""
    return answer.status != 0 and _SEQUENCE not in answer.headers


def status_error(answer: Msg, request: str) -> Exception:
    """The exception for a status that came in the place of a message."""
    err_code = 10037 if answer.status == 404 else 0
    error = {"code": answer.status, "err_code": err_code, "description": answer.status_text}
    return api_error(error, request)


def direct_msg(answer: Msg, *, in_batch: bool = False) -> StoredMsg:
    """The message that a replica gave, without the headers that it added.

    Raises:
        ProtocolError: it lacks them, or they cannot be read.
    """
    headers = answer.headers
    added = {name: _take_last(headers, name) for name in (_ADDED_IN_BATCH if in_batch else _ADDED)}
    try:
        return StoredMsg(
            stream=added[_STREAM],
            subject=added[_SUBJECT],
            seq=int(added[_SEQUENCE]),
            data=answer.data,
            headers=headers,
            time=parse_time(added[_TIME]),
        )
    except ValueError as error:
        raise ProtocolError(f"a stored message came without its sequence: {added!r:.200}") from error


def _take_last(headers: Headers, name: str) -> str:
    """Take out the last value of `name`: one before it was published with the message."""
    values = headers.get_all(name)
    if not values:
        return ""
    del headers[name]
    for value in values[:-1]:
        headers.add(name, value)
    return values[-1]
