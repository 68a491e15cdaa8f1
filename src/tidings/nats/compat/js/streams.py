"""The types of nats-py's JetStream API that are about streams and the account."""

# ruff: noqa: D101, RUF012  # the server's names; tables that nobody changes

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from tidings.nats.compat.js.base import Base
from tidings.nats.compat.js.constants import (
    DiscardPolicy,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StoreCompression,
)

__all__ = [
    "APIStats",
    "AccountInfo",
    "AccountLimits",
    "ClusterInfo",
    "ExternalStream",
    "LostStreamData",
    "PeerInfo",
    "Placement",
    "PubAck",
    "RawStreamMsg",
    "RePublish",
    "StreamConfig",
    "StreamConsumerLimits",
    "StreamConsumerSource",
    "StreamInfo",
    "StreamPurgeRequest",
    "StreamSource",
    "StreamSourceInfo",
    "StreamState",
    "StreamsListIterator",
    "SubjectTransform",
    "Tier",
]


@dataclass
class PubAck(Base):
    stream: str
    seq: int
    domain: str | None = None
    duplicate: bool | None = None
    batch_id: str | None = None
    batch_size: int | None = None
    val: str | None = None

    @classmethod
    def from_response(cls, resp: dict[str, Any]) -> Self:
        """Read from what the server answered."""
        return super().from_response({_ACK_NAMES.get(name, name): value for name, value in resp.items()})

    def as_dict(self) -> dict[str, object]:
        """What the server answered."""
        theirs = {ours: name for name, ours in _ACK_NAMES.items()}
        return {theirs.get(name, name): value for name, value in super().as_dict().items()}


_ACK_NAMES = {"batch": "batch_id", "count": "batch_size"}


@dataclass
class Placement(Base):
    cluster: str | None = None
    tags: list[str] | None = None


@dataclass
class ExternalStream(Base):
    api: str
    deliver: str | None = None


@dataclass
class StreamConsumerSource(Base):
    name: str
    deliver_subject: str


@dataclass
class RePublish(Base):
    src: str | None = None
    dest: str | None = None
    headers_only: bool | None = None


@dataclass
class SubjectTransform(Base):
    src: str
    dest: str


@dataclass
class StreamSource(Base):
    times = frozenset({"opt_start_time"})
    nested = {
        "external": ExternalStream,
        "subject_transforms": SubjectTransform,
        "consumer": StreamConsumerSource,
    }

    name: str
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    filter_subject: str | None = None
    external: ExternalStream | None = None
    subject_transforms: list[SubjectTransform] | None = None
    consumer: StreamConsumerSource | None = None


@dataclass
class StreamSourceInfo(Base):
    name: str
    lag: int | None = None
    active: int | None = None
    error: dict[str, Any] | None = None


@dataclass
class LostStreamData(Base):
    msgs: list[int] | None = None
    bytes: int | None = None


@dataclass
class StreamState(Base):
    nested = {"lost": LostStreamData}

    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    consumer_count: int
    deleted: list[int] | None = None
    num_deleted: int | None = None
    lost: LostStreamData | None = None
    subjects: dict[str, int] | None = None


@dataclass
class StreamConsumerLimits(Base):
    seconds = frozenset({"inactive_threshold"})

    inactive_threshold: float | None = None
    max_ack_pending: int | None = None


@dataclass
class StreamConfig(Base):
    """The config of a stream; times in seconds."""

    seconds = frozenset({"max_age", "duplicate_window", "subject_delete_marker_ttl"})
    zeroed = frozenset({"max_age", "duplicate_window"})
    nested = {
        "placement": Placement,
        "mirror": StreamSource,
        "sources": StreamSource,
        "republish": RePublish,
        "subject_transform": SubjectTransform,
        "consumer_limits": StreamConsumerLimits,
    }

    name: str | None = None
    description: str | None = None
    subjects: list[str] | None = None
    retention: RetentionPolicy | None = None
    max_consumers: int | None = None
    max_msgs: int | None = None
    max_bytes: int | None = None
    discard: DiscardPolicy | None = DiscardPolicy.OLD
    discard_new_per_subject: bool = False
    max_age: float | None = None
    max_msgs_per_subject: int = -1
    max_msg_size: int | None = -1
    storage: StorageType | None = None
    num_replicas: int | None = None
    no_ack: bool = False
    template_owner: str | None = None
    duplicate_window: float = 0
    placement: Placement | None = None
    mirror: StreamSource | None = None
    sources: list[StreamSource] | None = None
    sealed: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    allow_rollup_hdrs: bool = False
    first_seq: int | None = None
    republish: RePublish | None = None
    subject_transform: SubjectTransform | None = None
    allow_direct: bool | None = None
    mirror_direct: bool | None = None
    compression: StoreCompression | None = None
    allow_msg_ttl: bool | None = None
    allow_msg_schedules: bool | None = None
    allow_atomic: bool | None = None
    allow_batched: bool | None = None
    allow_msg_counter: bool | None = None
    persist_mode: PersistMode | None = None
    metadata: dict[str, str] | None = None
    consumer_limits: StreamConsumerLimits | None = None
    subject_delete_marker_ttl: float | None = None

    def as_dict(self) -> dict[str, object]:
        """What is sent to the server. Raises ValueError for what cannot be."""
        if self.compression and self.compression not in list(StoreCompression):
            raise ValueError(f"nats: invalid store compression type: {self.compression}")
        if self.metadata and not isinstance(self.metadata, dict):
            raise ValueError("nats: invalid metadata format")
        written = super().as_dict()
        if not (self.subject_delete_marker_ttl or 0) > 0:  # 0 is not "none" to the server
            written.pop("subject_delete_marker_ttl", None)
        return written


@dataclass
class PeerInfo(Base):
    name: str | None = None
    current: bool | None = None
    offline: bool | None = None
    active: int | None = None
    lag: int | None = None


@dataclass
class ClusterInfo(Base):
    times = frozenset({"leader_since"})
    nested = {"replicas": PeerInfo}

    leader: str | None = None
    name: str | None = None
    replicas: list[PeerInfo] | None = None
    raft_group: str | None = None
    leader_since: datetime | None = None
    traffic_acc: str | None = None


@dataclass
class StreamInfo(Base):
    times = frozenset({"created"})
    nested = {
        "config": StreamConfig,
        "state": StreamState,
        "mirror": StreamSourceInfo,
        "sources": StreamSourceInfo,
        "cluster": ClusterInfo,
    }

    config: StreamConfig
    state: StreamState
    mirror: StreamSourceInfo | None = None
    sources: list[StreamSourceInfo] | None = None
    cluster: ClusterInfo | None = None
    did_create: bool | None = None
    created: datetime | None = None


class StreamsListIterator:
    """The streams of one page of a list."""

    def __init__(self, offset: int, total: int, streams: list[dict[str, Any]]) -> None:
        self.offset = offset
        self.total = total
        self.streams = streams
        self._left = iter(streams)

    def __iter__(self) -> Iterator[StreamInfo]:
        return self

    def __next__(self) -> StreamInfo:
        return StreamInfo.from_response(next(self._left))


@dataclass
class StreamPurgeRequest(Base):
    seq: int | None = None
    filter: str | None = None
    keep: int | None = None


@dataclass
class RawStreamMsg(Base):
    """A message as it is stored."""

    times = frozenset({"time"})

    subject: str | None = None
    seq: int | None = None
    data: bytes | None = None
    hdrs: bytes | None = None
    headers: dict[str, str] | None = None
    stream: str | None = None
    time: datetime | None = None

    @property
    def sequence(self) -> int | None:
        """The same as `seq`."""
        return self.seq

    @property
    def header(self) -> dict[str, str] | None:
        """The same as `headers`."""
        return self.headers


@dataclass
class AccountLimits(Base):
    max_memory: int
    max_storage: int
    max_streams: int
    max_consumers: int
    max_ack_pending: int
    memory_max_stream_bytes: int
    storage_max_stream_bytes: int
    max_bytes_required: bool


@dataclass
class Tier(Base):
    nested = {"limits": AccountLimits}

    memory: int
    storage: int
    streams: int
    consumers: int
    limits: AccountLimits


@dataclass
class APIStats(Base):
    total: int
    errors: int
    level: int | None = None


@dataclass
class AccountInfo(Base):
    nested = {"limits": AccountLimits, "api": APIStats}

    memory: int
    storage: int
    streams: int
    consumers: int
    limits: AccountLimits
    api: APIStats
    domain: str | None = None
    tiers: dict[str, Tier] | None = None

    @classmethod
    def from_response(cls, resp: dict[str, Any]) -> Self:
        """Read from what the server answered."""
        info = super().from_response(resp)
        if info.tiers:
            info.tiers = {name: Tier.from_response(tier) for name, tier in resp["tiers"].items()}
        return info
