"""What servers answer about JetStream; see `tidings.nats.system.types`."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = [
    "ApiStats",
    "JetStreamAccount",
    "JetStreamConfig",
    "JetStreamStats",
    "JetStreamVarz",
    "Jsz",
    "MetaCluster",
    "RaftPeer",
    "StreamDetail",
]


class ApiStats(TypedDict, total=False):
    """The JetStream API: its level, requests, errors."""

    level: int
    total: int
    errors: int
    inflight: int


class RaftPeer(TypedDict, total=False):
    """A peer of a RAFT group; `active` in nanoseconds."""

    name: str
    peer: str
    current: bool
    offline: bool
    observer: bool
    active: int
    lag: int


class MetaCluster(TypedDict, total=False):
    """The group of servers that leads JetStream."""

    name: str
    leader: str
    peer: str
    replicas: list[RaftPeer]
    cluster_size: int
    quorum_needed: int
    pending: int
    pending_requests: int
    pending_infos: int
    snapshot: dict[str, Any]


class JetStreamConfig(TypedDict, total=False):
    """How JetStream is set up; sizes in bytes."""

    max_memory: int
    max_storage: int
    sync_interval: int
    store_dir: str
    domain: str
    unique_tag: str
    compress_ok: bool
    strict: bool
    sync_always: bool


class JetStreamStats(TypedDict, total=False):
    """What JetStream uses; sizes in bytes."""

    memory: int
    storage: int
    reserved_memory: int
    reserved_storage: int
    accounts: int
    ha_assets: int
    api: ApiStats


class JetStreamVarz(TypedDict, total=False):
    """JetStream of a server."""

    config: JetStreamConfig
    stats: JetStreamStats
    meta: MetaCluster
    limits: dict[str, Any]


class StreamDetail(TypedDict, total=False):
    """A stream on a server, and its consumers; config and state as in JetStream."""

    name: str
    created: str
    stream_raft_group: str
    cluster: dict[str, Any]
    config: dict[str, Any]
    state: dict[str, Any]
    mirror: dict[str, Any]
    sources: list[dict[str, Any]]
    consumer_detail: list[dict[str, Any]]
    direct_consumer_detail: list[dict[str, Any]]
    consumer_raft_groups: list[dict[str, Any]]


class JetStreamAccount(TypedDict, total=False):
    """JetStream of an account on a server."""

    name: str
    id: str
    memory: int
    storage: int
    reserved_memory: int
    reserved_storage: int
    accounts: int
    ha_assets: int
    api: ApiStats
    stream_detail: list[StreamDetail]


class Jsz(TypedDict, total=False):
    """JetStream of a server."""

    server_id: str
    now: str
    disabled: bool
    config: JetStreamConfig
    limits: dict[str, Any]
    api: ApiStats
    meta_cluster: MetaCluster
    account_details: list[JetStreamAccount]
    memory: int
    storage: int
    reserved_memory: int
    reserved_storage: int
    accounts: int
    ha_assets: int
    streams: int
    streams_leader: int
    consumers: int
    consumers_leader: int
    messages: int
    bytes: int
    total: int
