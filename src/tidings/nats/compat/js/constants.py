"""The names and words of nats-py's JetStream API."""

# ruff: noqa: UP042  # as text a StrEnum would be its value, and nats-py's are not

from __future__ import annotations

import re
from enum import Enum

__all__ = [
    "DEFAULT_PREFIX",
    "INBOX_PREFIX",
    "SCHEDULE_DAILY",
    "SCHEDULE_HOURLY",
    "SCHEDULE_MONTHLY",
    "SCHEDULE_WEEKLY",
    "SCHEDULE_YEARLY",
    "AckPolicy",
    "DeliverPolicy",
    "DiscardPolicy",
    "Header",
    "PersistMode",
    "ReplayPolicy",
    "RetentionPolicy",
    "StatusCode",
    "StorageType",
    "StoreCompression",
    "VALID_BUCKET_RE",
]

DEFAULT_PREFIX = "$JS.API"
VALID_BUCKET_RE = re.compile(r"^[a-zA-Z0-9_-]+$")
INBOX_PREFIX = b"_INBOX."

SCHEDULE_YEARLY = "@yearly"
SCHEDULE_MONTHLY = "@monthly"
SCHEDULE_WEEKLY = "@weekly"
SCHEDULE_DAILY = "@daily"
SCHEDULE_HOURLY = "@hourly"


class Header(str, Enum):
    """Headers that the server reads or writes; as text the header's name, which is what is sent."""

    __str__ = str.__str__
    __format__ = str.__format__  # type: ignore[assignment]

    BATCH_COMMIT = "Nats-Batch-Commit"
    BATCH_ID = "Nats-Batch-Id"
    BATCH_SEQUENCE = "Nats-Batch-Sequence"
    CONSUMER_STALLED = "Nats-Consumer-Stalled"
    DESCRIPTION = "Description"
    EXPECTED_LAST_MSG_ID = "Nats-Expected-Last-Msg-Id"
    EXPECTED_LAST_SEQUENCE = "Nats-Expected-Last-Sequence"
    EXPECTED_LAST_SUBJECT_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
    EXPECTED_STREAM = "Nats-Expected-Stream"
    INCR = "Nats-Incr"
    LAST_CONSUMER = "Nats-Last-Consumer"
    LAST_STREAM = "Nats-Last-Stream"
    MSG_ID = "Nats-Msg-Id"
    MSG_TTL = "Nats-TTL"
    ROLLUP = "Nats-Rollup"
    SCHEDULE = "Nats-Schedule"
    SCHEDULE_NEXT = "Nats-Schedule-Next"
    SCHEDULE_ROLLUP = "Nats-Schedule-Rollup"
    SCHEDULE_SOURCE = "Nats-Schedule-Source"
    SCHEDULE_TARGET = "Nats-Schedule-Target"
    SCHEDULE_TIME_ZONE = "Nats-Schedule-Time-Zone"
    SCHEDULE_TTL = "Nats-Schedule-TTL"
    SCHEDULER = "Nats-Scheduler"
    STATUS = "Status"


class StatusCode(str, Enum):
    """What a status message says."""

    SERVICE_UNAVAILABLE = "503"
    NO_MESSAGES = "404"
    REQUEST_TIMEOUT = "408"
    CONFLICT = "409"
    CONTROL_MESSAGE = "100"


class RetentionPolicy(str, Enum):
    """How long messages stay."""

    LIMITS = "limits"
    INTEREST = "interest"
    WORK_QUEUE = "workqueue"


class StorageType(str, Enum):
    """Where messages are kept."""

    FILE = "file"
    MEMORY = "memory"


class DiscardPolicy(str, Enum):
    """What a full stream does."""

    OLD = "old"
    NEW = "new"


class StoreCompression(str, Enum):
    """How a stream on disk is compressed."""

    NONE = "none"
    S2 = "s2"


class PersistMode(str, Enum):
    """Whether a message is acknowledged before it is on disk."""

    DEFAULT = "default"
    ASYNC = "async"


class AckPolicy(str, Enum):
    """What has to be acknowledged."""

    NONE = "none"
    ALL = "all"
    EXPLICIT = "explicit"
    FLOW_CONTROL = "flow_control"


class DeliverPolicy(str, Enum):
    """Where a consumer begins."""

    ALL = "all"
    LAST = "last"
    NEW = "new"
    BY_START_SEQUENCE = "by_start_sequence"
    BY_START_TIME = "by_start_time"
    LAST_PER_SUBJECT = "last_per_subject"


class ReplayPolicy(str, Enum):
    """How fast a consumer delivers what was stored before."""

    INSTANT = "instant"
    ORIGINAL = "original"
