"""The configuration of a stream: every field, its default, and what cannot work.

Durations are given as seconds or `timedelta` and read as seconds. Change a config with
``dataclasses.replace(config, max_age=3600)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tidings.nats.jetstream.checks import (
    check_at_least,
    check_metadata,
    check_name,
    check_patterns,
    check_word,
)
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import Seconds, Wire, WithMetadata
from tidings.nats.jetstream.stream_source import StreamSource, SubjectTransform

__all__ = [
    "Compression",
    "ConsumerLimits",
    "Discard",
    "PersistMode",
    "Placement",
    "Republish",
    "Retention",
    "Storage",
    "StreamConfig",
]

Retention = Literal["limits", "interest", "workqueue"]
"""Kept until a limit is reached, until every consumer has acknowledged it, or until one has."""
Discard = Literal["old", "new"]
"""At a limit: remove the oldest message, or refuse the new one."""
Storage = Literal["file", "memory"]
Compression = Literal["none", "s2"]
PersistMode = Literal["default", "async"]
"""``async`` acknowledges before the message is flushed to the file; faster, and a crash can lose it."""

_WORDS: dict[str, tuple[str, ...]] = {
    "retention": ("limits", "interest", "workqueue"),
    "discard": ("old", "new"),
    "storage": ("file", "memory"),
    "compression": ("none", "s2"),
    "persist_mode": ("default", "async"),
}
_AT_LEAST = {
    "max_consumers": -1,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "num_replicas": 1,
    "first_seq": 0,
}
_MAX_REPLICAS = 5


@dataclass(frozen=True, kw_only=True)
class Placement(Wire):
    """Which servers a stream may be on.

    Attributes:
        cluster: name of a cluster.
        tags: tags that each server has.
        preferred: the server that should lead.
    """

    cluster: str = ""
    tags: list[str] = field(default_factory=list)
    preferred: str = ""


@dataclass(frozen=True, kw_only=True)
class Republish(Wire):
    """Messages that are published once more when they are stored (ADR-28).

    Attributes:
        src: which subjects of the stream; wildcards allowed. Empty is all of them.
        dest: the subject that they go to, with the functions of subject mapping.
        headers_only: without the payload, and with its size in ``Nats-Msg-Size``.
    """

    src: str = ""
    dest: str = ""
    headers_only: bool = False


@dataclass(frozen=True, kw_only=True)
class ConsumerLimits(Wire):
    """What consumers of a stream get that do not say, and may not exceed.

    Attributes:
        inactive_threshold: seconds.
        max_ack_pending: messages.
    """

    inactive_threshold: Seconds = Seconds()
    max_ack_pending: int = 0


@dataclass(frozen=True, kw_only=True)
class StreamConfig(WithMetadata):
    """How a stream keeps messages. Sizes in bytes, durations in seconds.

    Attributes:
        name: may not have ``. * > / \\`` or white space.
        description: for people.
        subjects: what it takes, with wildcards; the name alone when it neither mirrors nor sources.
        retention: see `Retention`.
        max_consumers, max_msgs, max_bytes, max_msgs_per_subject, max_msg_size: limits; -1 is none.
        max_age: older messages are removed; None is never.
        discard: see `Discard`.
        discard_new_per_subject: ``max_msgs_per_subject`` refuses the new message too.
        storage: file or memory.
        num_replicas: servers that hold each message, 1 to 5.
        no_ack: publishers get no acknowledgement.
        duplicate_window: how long ``Nats-Msg-Id`` is remembered; None lets the server decide: two minutes, or
            max_age if that is shorter.
        placement: see `Placement`.
        mirror: copy this stream, and take nothing else.
        sources: take messages from these streams as well.
        sealed: nothing can change any more; set by `Stream.seal`.
        deny_delete, deny_purge: refuse to delete messages, or to purge.
        allow_rollup_hdrs: a message with ``Nats-Rollup`` replaces those before it.
        compression: of the file storage.
        first_seq: the number of the first message.
        subject_transform: see `SubjectTransform`.
        republish: see `Republish`.
        allow_direct: messages can be got from every replica (ADR-31).
        mirror_direct: … of the mirrored stream, from this mirror too.
        consumer_limits: see `ConsumerLimits`.
        allow_msg_ttl: a message may say how long it lives (ADR-43).
        subject_delete_marker_ttl: how long a marker stays where the last message of a subject was removed by
            its age.
        allow_msg_counter: subjects are counters (ADR-49).
        allow_atomic: batches that are stored as a whole (ADR-50).
        allow_batched: batches that are stored fast (ADR-50).
        allow_msg_schedules: messages may be published later (ADR-51).
        persist_mode: see `PersistMode`.
        template_owner: the server's, from old times.
    """

    levels: ClassVar[Mapping[str, int | Mapping[str, int]]] = {
        "allow_msg_ttl": 1,
        "subject_delete_marker_ttl": 1,
        "allow_msg_counter": 2,
        "allow_atomic": 2,
        "allow_msg_schedules": 2,
        "persist_mode": 2,
        "allow_batched": 4,
    }
    unsaid: ClassVar[Mapping[str, str]] = {"persist_mode": "default"}

    name: str
    description: str = ""
    subjects: list[str] = field(default_factory=list)
    retention: Retention = "limits"
    max_consumers: int = -1
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: Seconds = Seconds()
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    discard: Discard = "old"
    discard_new_per_subject: bool = False
    storage: Storage = "file"
    num_replicas: int = 1
    no_ack: bool = False
    duplicate_window: Seconds = Seconds()
    placement: Placement | None = None
    mirror: StreamSource | None = None
    sources: list[StreamSource] = field(default_factory=list)
    sealed: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    compression: Compression = "none"
    first_seq: int = 0
    subject_transform: SubjectTransform | None = None
    republish: Republish | None = None
    allow_direct: bool = False
    mirror_direct: bool = False
    consumer_limits: ConsumerLimits | None = None
    allow_msg_ttl: bool = False
    subject_delete_marker_ttl: Seconds = Seconds()
    allow_msg_counter: bool = False
    allow_atomic: bool = False
    allow_batched: bool = False
    allow_msg_schedules: bool = False
    persist_mode: PersistMode = "default"
    template_owner: str = ""

    def check(self) -> None:
        """Refuse what cannot work, before a byte is sent.

        Raises:
            BadNameError: a name that cannot be one.
            ConfigError: a value that cannot be, or two that exclude each other.
        """
        check_name(self.name, "stream")
        check_patterns("subjects", self.subjects)
        for name, words in _WORDS.items():
            check_word(name, getattr(self, name), words)
        check_at_least(self, _AT_LEAST)
        if self.num_replicas > _MAX_REPLICAS:
            raise ConfigError(f"num_replicas is 1 to {_MAX_REPLICAS}, not {self.num_replicas}")
        if self.max_age and self.duplicate_window and self.duplicate_window > self.max_age:
            raise ConfigError(
                f"duplicate_window ({self.duplicate_window} s) cannot exceed max_age ({self.max_age} s)"
            )
        if self.discard_new_per_subject and not (self.discard == "new" and self.max_msgs_per_subject > 0):
            raise ConfigError("discard_new_per_subject needs discard='new' and max_msgs_per_subject")
        if self.allow_rollup_hdrs and self.deny_purge:
            raise ConfigError("allow_rollup_hdrs purges, which deny_purge forbids; give one")
        check_metadata(self.metadata)
        self._check_origins()
        if self.subject_transform is not None:
            self.subject_transform.check("subject_transform")
        if self.republish is not None:
            if not self.republish.dest:
                raise ConfigError("republish.dest is where to publish, and is empty")
            if self.republish.src:
                check_patterns("republish.src", [self.republish.src])

    def _check_origins(self) -> None:
        for source in self.sources:
            source.check("sources")
        if self.mirror is None:
            return
        self.mirror.check("mirror")
        for name in _NOT_IN_A_MIRROR:
            if getattr(self, name):
                raise ConfigError(f"a mirror cannot have {name}: it takes what it mirrors and nothing else")


_NOT_IN_A_MIRROR = (
    "subjects",
    "sources",
    "first_seq",
    "subject_transform",
    "allow_msg_counter",
    "allow_atomic",
    "allow_batched",
    "allow_msg_schedules",
)
