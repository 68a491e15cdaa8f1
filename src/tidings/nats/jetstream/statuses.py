"""The statuses that a consumer sends in the place of messages, and what each means for a pull.

`STATUSES` is the whole of it: the first row whose code and text fit counts (ADR-13, ADR-37, ADR-42).
"""

from __future__ import annotations

import enum
import re
import sys
from typing import NamedTuple

from tidings.nats.errors import ProtocolError
from tidings.nats.jetstream.errors import (
    ConsumerDeletedError,
    ConsumerIsPushError,
    PullError,
    PullInterruptedError,
    PullRefusedError,
    TooManyPullsError,
)
from tidings.nats.wire import Msg

__all__ = ["STATUSES", "Status", "Verdict", "batch_limit_in", "limit_in", "pending_in", "read_status"]


class Verdict(enum.Enum):
    """What a status means for the pull that it answers."""

    ALIVE = "the pull stands"
    EMPTY = "the pull is over: there is no message now"
    OVER = "the pull is over: its time is up, or it has what it could get"
    VOID = "all pulls of this reader are void: pull again"
    BUSY = "the pull is refused for now: pull again in a while"
    ABSENT = "nobody took the pull: see whether the consumer is still there"
    REFUSED = "the pull is refused, and so will be any other like it"
    GONE = "there is nothing to pull from any more"


class Status(NamedTuple):
    """A row of the table.

    Attributes:
        code: of the status; 0 stands for any.
        text: how its text begins, in lower case.
        verdict: see `Verdict`.
        error: what a caller gets who has to hear of it.
    """

    code: int
    text: str
    verdict: Verdict
    error: type[PullError] = PullError


STATUSES = (
    Status(100, "", Verdict.ALIVE),
    Status(404, "", Verdict.EMPTY),
    Status(408, "requests pending", Verdict.EMPTY),  # no_wait, while others wait
    Status(408, "", Verdict.OVER),
    Status(409, "batch completed", Verdict.OVER),
    Status(409, "message size exceeds maxbytes", Verdict.OVER, PullRefusedError),
    Status(409, "leadership change", Verdict.VOID, PullInterruptedError),
    Status(409, "server shutdown", Verdict.VOID, PullInterruptedError),
    Status(423, "", Verdict.VOID, PullInterruptedError),
    Status(409, "exceeded maxwaiting", Verdict.BUSY, TooManyPullsError),
    Status(409, "exceeded max", Verdict.REFUSED, PullRefusedError),
    Status(409, "consumer deleted", Verdict.GONE, ConsumerDeletedError),
    Status(409, "consumer is push based", Verdict.GONE, ConsumerIsPushError),
    Status(400, "", Verdict.GONE, PullRefusedError),
    Status(503, "", Verdict.ABSENT),
    Status(0, "", Verdict.BUSY),  # what a newer server may come to say
)

PIN_MISMATCH = 423

_LIMIT = re.compile(r" of (\S+)$")
_PART = re.compile(r"([\d.]+)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def read_status(message: Msg) -> tuple[Status, int, str] | None:
    """The row for `message`, its code and its text; None when it is no status."""
    try:
        code, text = message.status, message.status_text
    except ProtocolError:
        return None  # somebody else wrote to our inbox
    if not code:
        return None
    beginning = text.lower()
    row = next(each for each in STATUSES if each.code in (code, 0) and beginning.startswith(each.text))
    return row, code, text


def pending_in(message: Msg) -> tuple[int, int] | None:
    """Messages and bytes that the pull that is over was still to get; None when the status does not say."""
    headers = message.headers
    try:
        messages, size = int(headers["Nats-Pending-Messages"]), int(headers.get("Nats-Pending-Bytes", "0"))
    except (KeyError, ValueError):
        return None
    return max(messages, 0), max(size, 0)


def limit_in(text: str) -> float | None:
    """The number or duration (in seconds) at the end of ``Exceeded MaxRequest… of …``."""
    found = _LIMIT.search(text)
    if found is None:
        return None
    value = found[1]
    if value.isdecimal() and len(value) < 20:  # 64 bits
        return float(value)
    parts = _PART.findall(value)
    try:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None
    except ValueError:  # with two points, say
        return None


def batch_limit_in(text: str) -> int:
    """The messages that a pull may ask for, when `text` tells of that limit; no limit otherwise."""
    limit = limit_in(text) if "maxrequestbatch" in text.lower() else None
    return sys.maxsize if limit is None else max(int(limit), 1)
