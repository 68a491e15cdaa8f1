"""What a message can ask of its stream: the options of a publish, and the headers they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypedDict

from tidings.nats.jetstream.checks import check_literal, check_sequence
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.schedules import Schedule
from tidings.nats.jetstream.ttl import Ttl, ttl_text
from tidings.nats.wire import HeaderInput, Headers

__all__ = ["LEVELS", "PublishOptions", "publish_headers"]

MSG_ID: Final = "Nats-Msg-Id"
EXPECTED_STREAM: Final = "Nats-Expected-Stream"
EXPECTED_LAST_SEQ: Final = "Nats-Expected-Last-Sequence"
EXPECTED_LAST_SUBJECT_SEQ: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_LAST_SUBJECT_SEQ_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
EXPECTED_LAST_MSG_ID: Final = "Nats-Expected-Last-Msg-Id"
TTL: Final = "Nats-TTL"
ROLLUP: Final = "Nats-Rollup"
TRACE_DEST: Final = "Nats-Trace-Dest"
BATCH_ID: Final = "Nats-Batch-Id"
BATCH_SEQUENCE: Final = "Nats-Batch-Sequence"
BATCH_COMMIT: Final = "Nats-Batch-Commit"


class PublishOptions(TypedDict, total=False):
    """What a message asks of its stream, as keyword arguments; None asks for nothing.

    Attributes:
        msg_id: stored once, however often it is published with this id within the ``duplicate_window`` of
            the stream; the acknowledgement of the others has ``duplicate``.
        expected_stream: the stream that it must go to.
        expected_last_seq: the sequence that the stream's last message must have; 0 is an empty stream.
        expected_last_subject_seq: that of the last message of the subject; 0 is a subject without one.
        expected_last_subject_seq_subject: the subject for this, which may have wildcards, in the place of
            that of the message.
        expected_last_msg_id: the ``msg_id`` of the stream's last message.
        ttl: when the stream shall delete it, see `Ttl` (ADR-43); the stream needs ``allow_msg_ttl``.
        rollup: delete all that was stored before it: ``"sub"`` of the same subject, ``"all"`` of the stream;
            the stream needs ``allow_rollup_hdrs``.
        schedule: publish it later, or again and again (ADR-51); the stream needs ``allow_msg_schedules``.
        trace_dest: a subject where the servers report which way the message took (ADR-41).
    """

    msg_id: str | None
    expected_stream: str | None
    expected_last_seq: int | None
    expected_last_subject_seq: int | None
    expected_last_subject_seq_subject: str | None
    expected_last_msg_id: str | None
    ttl: Ttl | None
    rollup: Literal["sub", "all"] | None
    schedule: Schedule | None
    trace_dest: str | None


LEVELS: Final = {"ttl": 1, "schedule": 2, "expected_last_subject_seq_subject": 2}
"""The API level that an option takes: an older server would store the message and ignore the header."""


def publish_headers(headers: HeaderInput | None, options: Mapping[str, Any]) -> HeaderInput | None:
    """The caller's `headers`, and with them those that `options` ask for.

    Raises:
        ConfigError: a value that makes no sense.
        TypeError: an option that there is not.
    """
    if len(options) == 1 and not headers and (msg_id := options.get("msg_id")) is not None:
        return {MSG_ID: _text("msg_id", msg_id)}  # what most ask for
    asked: dict[str, str] = {}
    for name, value in options.items():
        if value is None:
            if name not in _HEADERS and name != "schedule":
                raise _unknown(name)
        elif name == "schedule":
            asked |= _schedule_headers(value)
        elif (known := _HEADERS.get(name)) is not None:
            asked[known[0]] = known[1](name, value)
        else:
            raise _unknown(name)
    if EXPECTED_LAST_SUBJECT_SEQ_SUBJECT in asked and EXPECTED_LAST_SUBJECT_SEQ not in asked:
        raise ConfigError("expected_last_subject_seq_subject says for which subject, and needs the sequence")
    if not asked:
        return headers
    if not headers:
        return asked
    if type(headers) is dict:
        return {**headers, **asked}
    merged = Headers(headers)
    merged.update(asked)
    return merged


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} is a text that is not empty, not {value!r}")
    return value


def _number(name: str, value: object) -> str:
    return str(check_sequence(name, value, 0))  # 0 says that there is none yet


def _ttl(name: str, value: Any) -> str:
    return ttl_text(value, name)


def _rollup(name: str, value: object) -> str:
    if value not in ("sub", "all"):
        raise ConfigError(f'{name} is "sub" or "all", not {value!r}')
    return str(value)


def _subject(name: str, value: object) -> str:
    check_literal(name, value)
    return str(value)


def _schedule_headers(value: object) -> dict[str, str]:
    if not isinstance(value, Schedule):
        raise ConfigError(f"schedule is a Schedule, not {value!r}")
    return value.headers()


# The option → its header, and what checks the value and writes it.
_HEADERS: dict[str, tuple[str, Callable[[str, Any], str]]] = {
    "msg_id": (MSG_ID, _text),
    "expected_stream": (EXPECTED_STREAM, _text),
    "expected_last_seq": (EXPECTED_LAST_SEQ, _number),
    "expected_last_subject_seq": (EXPECTED_LAST_SUBJECT_SEQ, _number),
    "expected_last_subject_seq_subject": (EXPECTED_LAST_SUBJECT_SEQ_SUBJECT, _text),
    "expected_last_msg_id": (EXPECTED_LAST_MSG_ID, _text),
    "ttl": (TTL, _ttl),
    "rollup": (ROLLUP, _rollup),
    "trace_dest": (TRACE_DEST, _subject),
}


def _unknown(name: str) -> TypeError:
    known = ", ".join(PublishOptions.__annotations__)
    return TypeError(f"{name!r} is no option of a publish; there are {known}")
