"""The configuration of a consumer: every field, its default, and what cannot work.

Durations are given as seconds or `timedelta` and read as seconds. Change a config with
``dataclasses.replace(config, max_deliver=5)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from tidings.nats.jetstream.checks import (
    check_at_least,
    check_literal,
    check_metadata,
    check_name,
    check_patterns,
    check_word,
)
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import Seconds, SecondsList, WithMetadata

__all__ = ["AckPolicy", "ConsumerConfig", "DeliverPolicy", "PriorityPolicy", "ReplayPolicy"]

DeliverPolicy = Literal["all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"]
"""Which message is the first."""
AckPolicy = Literal["explicit", "none", "all", "flow_control"]
"""Each message is acknowledged, none, one stands for those before it, or flow control does it (push only)."""
ReplayPolicy = Literal["instant", "original"]
"""As fast as they are taken, or at the pace at which they were published."""
PriorityPolicy = Literal["none", "overflow", "pinned_client", "prioritized"]
"""Which of several pullers gets messages (ADR-42)."""

_WORDS: dict[str, tuple[str, ...]] = {
    "deliver_policy": ("all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"),
    "ack_policy": ("explicit", "none", "all", "flow_control"),
    "replay_policy": ("instant", "original"),
    "priority_policy": ("none", "overflow", "pinned_client", "prioritized"),
}
_AT_LEAST = {
    "opt_start_seq": 0,
    "max_deliver": -1,
    "rate_limit_bps": 0,
    "max_waiting": 0,
    "max_ack_pending": -1,
    "max_batch": 0,
    "max_bytes": 0,
    "num_replicas": 0,
}
_ONLY_PULL = ("max_waiting", "max_batch", "max_expires", "max_bytes", "priority_groups", "priority_timeout")
_ONLY_PUSH = ("deliver_group", "flow_control", "idle_heartbeat", "rate_limit_bps")
_STARTS = {"by_start_sequence": "opt_start_seq", "by_start_time": "opt_start_time"}
_GROUP = re.compile(r"[A-Za-z0-9/_=-]{1,16}")
_LEAST_HEARTBEAT = 0.1  # seconds


@dataclass(frozen=True, kw_only=True)
class ConsumerConfig(WithMetadata):
    """What a consumer delivers, and how. Durations in seconds, sizes in bytes.

    One with a ``deliver_subject`` is a push consumer, any other is pulled from.

    Attributes:
        name: may not have ``. * > / \\`` or white space; the server's choice when empty.
        durable_name: the name of one that stays when nobody uses it.
        description: for people.
        deliver_policy: see `DeliverPolicy`.
        opt_start_seq, opt_start_time: where to begin, with the deliver policies by_start_sequence and
            by_start_time.
        ack_policy: see `AckPolicy`.
        ack_wait: a message that is not acknowledged for so long is delivered again; None is 30.
        max_deliver: how often a message is delivered at the most; -1 is no limit.
        backoff: waits between deliveries, one after the other, in the place of ``ack_wait``.
        filter_subject, filter_subjects: only messages on this subject, or one of these; wildcards allowed.
        replay_policy: see `ReplayPolicy`.
        rate_limit_bps: bits a second (push).
        sample_freq: share of acknowledgements that the server reports, as ``"50%"``.
        max_waiting: pulls that may wait at once; 0 is 512.
        max_ack_pending: messages that may be unacknowledged at once; 0 is 1000, -1 is no limit.
        flow_control: the server waits until we are through with what it sent (push).
        idle_heartbeat: the server sends a sign of life when there is nothing else for so long (push).
        headers_only: without the payloads; their size is in ``Nats-Msg-Size``.
        max_batch, max_expires, max_bytes: the most that one pull may ask for; 0 or None is no limit.
        inactive_threshold: it is deleted when nobody uses it for so long.
        num_replicas: servers that hold its state; 0 is as the stream.
        mem_storage: its state is in memory.
        deliver_subject: where it pushes to.
        deliver_group: queue group that shares the pushed messages.
        pause_until: nothing is delivered before (ADR-26 calls it paused).
        priority_groups: names of groups of pullers (ADR-42); at present one.
        priority_policy: see `PriorityPolicy`.
        priority_timeout: how long a pinned client may be silent.
    """

    levels: ClassVar[Mapping[str, int | Mapping[str, int]]] = {
        "pause_until": 1,
        "priority_groups": 1,
        "priority_policy": {"overflow": 1, "pinned_client": 1, "prioritized": 2},
        "priority_timeout": 1,
        "ack_policy": {"flow_control": 4},
    }
    unsaid: ClassVar[Mapping[str, str]] = {"priority_policy": "none"}

    name: str = ""
    durable_name: str = ""
    description: str = ""
    deliver_policy: DeliverPolicy = "all"
    opt_start_seq: int = 0
    opt_start_time: datetime | None = None
    ack_policy: AckPolicy = "explicit"
    ack_wait: Seconds = Seconds()
    max_deliver: int = -1
    backoff: SecondsList = SecondsList()
    filter_subject: str = ""
    filter_subjects: list[str] = field(default_factory=list)
    replay_policy: ReplayPolicy = "instant"
    rate_limit_bps: int = 0
    sample_freq: str = ""
    max_waiting: int = 0
    max_ack_pending: int = 0
    flow_control: bool = False
    idle_heartbeat: Seconds = Seconds()
    headers_only: bool = False
    max_batch: int = 0
    max_expires: Seconds = Seconds()
    max_bytes: int = 0
    inactive_threshold: Seconds = Seconds()
    num_replicas: int = 0
    mem_storage: bool = False
    deliver_subject: str = ""
    deliver_group: str = ""
    pause_until: datetime | None = None
    priority_groups: list[str] = field(default_factory=list)
    priority_policy: PriorityPolicy = "none"
    priority_timeout: Seconds = Seconds()

    @property
    def filters(self) -> list[str]:
        """The subjects of ``filter_subject`` or ``filter_subjects``; empty for all of the stream's."""
        return [self.filter_subject] if self.filter_subject else list(self.filter_subjects)

    def check(self) -> None:
        """Refuse what cannot work, before a byte is sent.

        Raises:
            BadNameError: a name that cannot be one.
            ConfigError: a value that cannot be, or two that exclude each other.
        """
        for name in filter(None, (self.name, self.durable_name)):
            check_name(name, "consumer")
        if self.name and self.durable_name and self.name != self.durable_name:
            raise ConfigError(f"name {self.name!r} and durable_name {self.durable_name!r} differ; give one")
        for field_name, words in _WORDS.items():
            check_word(field_name, getattr(self, field_name), words)
        check_at_least(self, _AT_LEAST)
        if self.filter_subject and self.filter_subjects:
            raise ConfigError("filter_subject and filter_subjects are given; put all into filter_subjects")
        check_patterns("filter_subject", self.filters)
        check_metadata(self.metadata)
        self._check_start()
        if self.deliver_subject:
            self._check_push()
        else:
            self._check_pull()
        self._check_redelivery()

    def _check_start(self) -> None:
        for policy, name in _STARTS.items():
            if (self.deliver_policy == policy) != bool(getattr(self, name)):
                raise ConfigError(f"deliver_policy {policy!r} and {name} go together: give both or neither")
        if self.deliver_policy == "last_per_subject" and not self.filters:
            raise ConfigError("deliver_policy 'last_per_subject' needs a filter_subject; '>' is all of them")

    def _check_push(self) -> None:
        check_literal("deliver_subject", self.deliver_subject)
        for name in _ONLY_PULL:
            if getattr(self, name):
                raise ConfigError(f"{name} is for pull consumers; this one has a deliver_subject")
        if self.flow_control and not self.idle_heartbeat:
            raise ConfigError("flow_control needs idle_heartbeat, to notice what was lost")
        if self.idle_heartbeat and self.idle_heartbeat < _LEAST_HEARTBEAT:
            raise ConfigError(f"idle_heartbeat is at least {_LEAST_HEARTBEAT} s, not {self.idle_heartbeat}")

    def _check_pull(self) -> None:
        for name in _ONLY_PUSH:
            if getattr(self, name):
                raise ConfigError(f"{name} is for push consumers; this one has no deliver_subject")
        if (self.priority_policy == "none") != (not self.priority_groups):
            raise ConfigError("priority_policy and priority_groups go together: give both or neither")
        for group in self.priority_groups:
            if not isinstance(group, str) or not _GROUP.fullmatch(group):
                raise ConfigError(f"a priority group is 1 to 16 of A-Z a-z 0-9 - _ / =, not {group!r}")
        if self.priority_timeout and self.priority_policy != "pinned_client":
            raise ConfigError("priority_timeout is for priority_policy='pinned_client'")

    def _check_redelivery(self) -> None:
        if 0 <= self.max_deliver < len(self.backoff):
            raise ConfigError(
                f"max_deliver {self.max_deliver} is less than the {len(self.backoff)} of backoff"
            )
        if self.ack_policy == "flow_control":
            if not (self.deliver_subject and self.flow_control and self.max_ack_pending > 0):
                raise ConfigError(
                    "ack_policy 'flow_control' needs deliver_subject, flow_control and max_ack_pending"
                )
            if self.ack_wait or self.backoff or self.max_deliver != -1:
                raise ConfigError("ack_policy 'flow_control' goes without ack_wait, backoff and max_deliver")
