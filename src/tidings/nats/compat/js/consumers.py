"""The types of nats-py's JetStream API that are about consumers."""

# ruff: noqa: D101, RUF012  # the server's names; tables that nobody changes

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from tidings.nats.compat.js.base import Base
from tidings.nats.compat.js.constants import AckPolicy, DeliverPolicy, ReplayPolicy
from tidings.nats.compat.js.streams import ClusterInfo

__all__ = ["ConsumerConfig", "ConsumerInfo", "ConsumerPause", "ConsumerReset", "SequenceInfo"]


@dataclass
class ConsumerConfig(Base):
    """The config of a consumer; times in seconds."""

    seconds = frozenset({"ack_wait", "idle_heartbeat", "inactive_threshold", "backoff"})
    zeroed = frozenset({"ack_wait", "idle_heartbeat", "inactive_threshold"})
    times = frozenset({"opt_start_time"})

    name: str | None = None
    durable_name: str | None = None
    description: str | None = None
    deliver_policy: DeliverPolicy | None = DeliverPolicy.ALL
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    ack_policy: AckPolicy | None = AckPolicy.EXPLICIT
    ack_wait: float | None = None
    max_deliver: int | None = None
    backoff: list[float] | None = None
    filter_subject: str | None = None
    filter_subjects: list[str] | None = None
    replay_policy: ReplayPolicy | None = ReplayPolicy.INSTANT
    rate_limit_bps: int | None = None
    sample_freq: str | None = None
    max_waiting: int | None = None
    max_ack_pending: int | None = None
    flow_control: bool | None = None
    idle_heartbeat: float | None = None
    headers_only: bool | None = None
    deliver_subject: str | None = None
    deliver_group: str | None = None
    inactive_threshold: float | None = None
    num_replicas: int | None = None
    mem_storage: bool | None = None
    metadata: dict[str, str] | None = None
    pause_until: str | None = None


@dataclass
class SequenceInfo(Base):
    times = frozenset({"last_active"})

    consumer_seq: int
    stream_seq: int
    last_active: datetime | None = None


@dataclass
class ConsumerInfo(Base):
    times = frozenset({"created"})
    nested = {
        "delivered": SequenceInfo,
        "ack_floor": SequenceInfo,
        "config": ConsumerConfig,
        "cluster": ClusterInfo,
    }

    name: str
    stream_name: str
    config: ConsumerConfig
    created: datetime
    delivered: SequenceInfo | None = None
    ack_floor: SequenceInfo | None = None
    num_ack_pending: int | None = None
    num_redelivered: int | None = None
    num_waiting: int | None = None
    num_pending: int | None = None
    cluster: ClusterInfo | None = None
    push_bound: bool | None = None
    paused: bool | None = None
    pause_remaining: str | None = None


@dataclass
class ConsumerPause(Base):
    paused: bool
    pause_until: str | None = None
    pause_remaining: str | None = None


@dataclass
class ConsumerReset(Base):
    info: ConsumerInfo
    reset_seq: int

    @classmethod
    def from_response(cls, resp: dict[str, Any]) -> Self:
        """Read from what the server answered."""
        return cls(ConsumerInfo.from_response(resp), resp["reset_seq"])
