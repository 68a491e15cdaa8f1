"""What the server tells about streams, consumers and accounts. Durations in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tidings.nats.jetstream.consumer_config import ConsumerConfig
from tidings.nats.jetstream.fields import Seconds, Wire
from tidings.nats.jetstream.stream_config import StreamConfig
from tidings.nats.jetstream.stream_source import External, SubjectTransform

__all__ = [
    "AccountInfo",
    "AccountLimits",
    "ApiStats",
    "ClusterInfo",
    "ConsumerInfo",
    "ConsumerPause",
    "ConsumerReset",
    "LostData",
    "PeerInfo",
    "PriorityGroupState",
    "SequenceInfo",
    "SourceInfo",
    "StreamAlternate",
    "StreamInfo",
    "StreamState",
    "Tier",
]


@dataclass(frozen=True, kw_only=True)
class PeerInfo(Wire):
    """A server that holds a replica, and is not the leader.

    Attributes:
        name: of the server.
        current: it has all that the leader has.
        offline: it cannot be reached.
        active: seconds since the leader heard of it.
        lag: operations that it is behind.
        observer: it cannot become the leader.
        peer: its id.
    """

    name: str = ""
    current: bool = False
    offline: bool = False
    active: Seconds = Seconds()
    lag: int = 0
    observer: bool = False
    peer: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterInfo(Wire):
    """Where a stream or consumer lives.

    Attributes:
        name: of the cluster; empty when the server is in none.
        raft_group: of its replicas.
        leader: name of the server that leads; empty while there is none.
        leader_since: since when.
        system_account: replicated in the system account.
        traffic_account: the account in which it is replicated.
        replicas: the other servers.
    """

    name: str = ""
    raft_group: str = ""
    leader: str = ""
    leader_since: datetime | None = None
    system_account: bool = False
    traffic_account: str = ""
    replicas: list[PeerInfo] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class LostData(Wire):
    """Messages that a damaged file no longer has: their sequences, and their bytes."""

    msgs: list[int] = field(default_factory=list)
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class StreamState(Wire):
    """What a stream holds.

    Attributes:
        messages, bytes: how much.
        first_seq, last_seq: sequences of the first and the last message.
        first_ts, last_ts: when they were stored; None when there are none.
        consumer_count: consumers of the stream.
        num_subjects: different subjects.
        subjects: messages by subject, where they were asked for.
        num_deleted: messages missing between the first and the last.
        deleted: their sequences, where they were asked for.
        lost: see `LostData`.
    """

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    first_ts: datetime | None = None
    last_seq: int = 0
    last_ts: datetime | None = None
    consumer_count: int = 0
    num_subjects: int = 0
    subjects: dict[str, int] = field(default_factory=dict)
    num_deleted: int = 0
    deleted: list[int] = field(default_factory=list)
    lost: LostData | None = None


@dataclass(frozen=True, kw_only=True)
class SourceInfo(Wire):
    """How far a mirror or source is.

    Attributes:
        name: of the other stream.
        lag: messages behind.
        active: seconds since it was last heard of; None when it never was.
        external: where it is.
        filter_subject, subject_transforms: as configured.
        error: why it does not work.
    """

    name: str = ""
    lag: int = 0
    active: Seconds = Seconds()
    external: External | None = None
    filter_subject: str = ""
    subject_transforms: list[SubjectTransform] = field(default_factory=list)
    error: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StreamAlternate(Wire):
    """A stream with the same messages, the nearest first: a mirror, or what is mirrored."""

    name: str = ""
    domain: str = ""
    cluster: str = ""


@dataclass(frozen=True, kw_only=True)
class StreamInfo(Wire):
    """A stream: its config, what it holds, where it lives.

    Attributes:
        config: see `StreamConfig`.
        created: when it was made.
        state: see `StreamState`.
        cluster: see `ClusterInfo`.
        mirror: how far the mirror is, where it is one.
        sources: how far each source is.
        alternates: see `StreamAlternate`.
        ts: when the server said this.
        did_create: this answers a request to make it (nats-server 2.15 says so of one that was there, too).
    """

    config: StreamConfig
    created: datetime | None = None
    state: StreamState = field(default_factory=StreamState)
    cluster: ClusterInfo | None = None
    mirror: SourceInfo | None = None
    sources: list[SourceInfo] = field(default_factory=list)
    alternates: list[StreamAlternate] = field(default_factory=list)
    ts: datetime | None = None
    did_create: bool = False


@dataclass(frozen=True, kw_only=True)
class SequenceInfo(Wire):
    """A place in a consumer: its count of deliveries, the sequence in the stream, when it came there."""

    consumer_seq: int = 0
    stream_seq: int = 0
    last_active: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PriorityGroupState(Wire):
    """A priority group, and the client that is pinned to it, if one is (ADR-42)."""

    group: str = ""
    pinned_client_id: str = ""
    pinned_ts: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ConsumerInfo(Wire):
    """A consumer: its config, how far it is, where it lives.

    Attributes:
        stream_name, name: what it is called.
        created: when it was made.
        config: see `ConsumerConfig`.
        delivered: the last message that was delivered.
        ack_floor: up to here all is acknowledged.
        num_ack_pending: messages delivered and not acknowledged.
        num_redelivered: … of those, delivered more than once.
        num_waiting: pulls that wait.
        num_pending: messages that are still to be delivered.
        cluster: see `ClusterInfo`.
        push_bound: somebody listens to the deliver subject.
        paused: it is paused now.
        pause_remaining: for so many seconds more.
        ts: when the server said this.
        priority_groups: see `PriorityGroupState`.
    """

    stream_name: str
    name: str
    created: datetime | None = None
    config: ConsumerConfig = field(default_factory=lambda: ConsumerConfig())
    delivered: SequenceInfo = field(default_factory=SequenceInfo)
    ack_floor: SequenceInfo = field(default_factory=SequenceInfo)
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0
    num_pending: int = 0
    cluster: ClusterInfo | None = None
    push_bound: bool = False
    paused: bool = False
    pause_remaining: Seconds = Seconds()
    ts: datetime | None = None
    priority_groups: list[PriorityGroupState] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ConsumerReset(ConsumerInfo):
    """A consumer after it was reset, and the stream sequence that it goes on from."""

    reset_seq: int = 0


@dataclass(frozen=True, kw_only=True)
class ConsumerPause(Wire):
    """Whether a consumer is paused, until when, and for how many seconds more."""

    paused: bool = False
    pause_until: datetime | None = None
    pause_remaining: Seconds = Seconds()


@dataclass(frozen=True, kw_only=True)
class AccountLimits(Wire):
    """What an account may have; -1 is no limit.

    Attributes:
        max_memory, max_storage: bytes of streams in memory and in files.
        max_streams, max_consumers: how many.
        max_ack_pending: unacknowledged messages of a consumer.
        memory_max_stream_bytes, storage_max_stream_bytes: of one stream.
        max_bytes_required: each stream must have ``max_bytes``.
    """

    max_memory: int = -1
    max_storage: int = -1
    max_streams: int = -1
    max_consumers: int = -1
    max_ack_pending: int = -1
    memory_max_stream_bytes: int = -1
    storage_max_stream_bytes: int = -1
    max_bytes_required: bool = False


@dataclass(frozen=True, kw_only=True)
class ApiStats(Wire):
    """Requests of an account to the API.

    Attributes:
        level: the API level of the server that answered (ADR-44).
        total: requests.
        errors: … that were answered with an error.
        inflight: … that are being answered.
    """

    level: int = 0
    total: int = 0
    errors: int = 0
    inflight: int = 0


@dataclass(frozen=True, kw_only=True)
class Tier(Wire):
    """What an account uses and may have, as a whole or of one tier (``R1``, ``R3``).

    Attributes:
        memory, storage: bytes in use.
        reserved_memory, reserved_storage: bytes that streams with ``max_bytes`` have claimed.
        streams, consumers: how many there are.
        limits: see `AccountLimits`.
    """

    memory: int = 0
    storage: int = 0
    reserved_memory: int = 0
    reserved_storage: int = 0
    streams: int = 0
    consumers: int = 0
    limits: AccountLimits = field(default_factory=AccountLimits)


@dataclass(frozen=True, kw_only=True)
class AccountInfo(Tier):
    """What an account uses and may have.

    Attributes:
        domain: the JetStream domain that answered; empty when it has none.
        api: see `ApiStats`.
        tiers: use and limits by tier; empty for an account without tiers.
    """

    domain: str = ""
    api: ApiStats = field(default_factory=ApiStats)
    tiers: dict[str, Tier] = field(default_factory=dict)
