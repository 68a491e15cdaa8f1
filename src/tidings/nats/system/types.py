"""What servers answer, as they answer it: the JSON objects of their monitoring.

The names are the server's, so that its documentation holds (docs.nats.io, "Monitoring"). No key is always
there; what a newer server sends beyond these is in the object all the same. Times are text of RFC 3339,
durations nanoseconds where they are numbers.
"""

from __future__ import annotations

from typing import Any, TypedDict

from tidings.nats.system.jetstream_types import JetStreamVarz

__all__ = [
    "AccountDetail",
    "AccountStat",
    "AccountStatz",
    "Accountz",
    "ConnInfo",
    "Connz",
    "Gatewayz",
    "Healthz",
    "HealthzError",
    "LeafInfo",
    "Leafz",
    "RouteInfo",
    "Routez",
    "Statsz",
    "SubDetail",
    "Subsz",
    "Traffic",
    "UserInfo",
    "Varz",
]


class Traffic(TypedDict, total=False):
    """Messages and bytes; of an account also by the kind of peer."""

    msgs: int
    bytes: int
    gateways: dict[str, int]
    routes: dict[str, int]
    leafs: dict[str, int]


class Varz(TypedDict, total=False):
    """A server: what it is, how it is set up, what it did."""

    server_id: str
    server_name: str
    version: str
    git_commit: str
    go: str
    name: str
    host: str
    ip: str
    http_host: str
    http_base_path: str
    start: str
    now: str
    uptime: str
    config_load_time: str
    config_digest: str
    system_account: str
    proto: int
    port: int
    max_connections: int
    max_subscriptions: int
    ping_interval: int
    ping_max: int
    http_port: int
    https_port: int
    auth_timeout: int
    max_control_line: int
    max_payload: int
    max_pending: int
    tls_timeout: int
    write_deadline: int
    mem: int
    cores: int
    gomaxprocs: int
    gomemlimit: int
    connections: int
    total_connections: int
    routes: int
    remotes: int
    leafnodes: int
    in_msgs: int
    in_bytes: int
    in_client_msgs: int
    in_client_bytes: int
    out_msgs: int
    out_bytes: int
    out_client_msgs: int
    out_client_bytes: int
    slow_consumers: int
    stale_connections: int
    stalled_clients: int
    subscriptions: int
    cpu: float
    auth_required: bool
    tls_required: bool
    tls_verify: bool
    tls_ocsp_peer_verify: bool
    connect_urls: list[str]
    ws_connect_urls: list[str]
    trusted_operators_jwt: list[str]
    tags: list[str]
    cluster: dict[str, Any]
    gateway: dict[str, Any]
    leaf: dict[str, Any]
    mqtt: dict[str, Any]
    websocket: dict[str, Any]
    metadata: dict[str, Any]
    jetstream: JetStreamVarz
    http_req_stats: dict[str, int]
    slow_consumer_stats: dict[str, int]
    stale_connection_stats: dict[str, int]
    disk_io_wait_stats: dict[str, int]
    feature_flags: dict[str, bool]
    trusted_operators_claim: list[Any]
    ocsp_peer_cache: dict[str, Any]
    pinned_account_fails: int


class SubDetail(TypedDict, total=False):
    """A subscription."""

    account: str
    account_tag: str
    subject: str
    qgroup: str
    sid: str
    msgs: int
    max: int
    cid: int


class ConnInfo(TypedDict, total=False):
    """A connection of a client, or of a leaf node."""

    cid: int
    port: int
    pending_bytes: int
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    stalls: int
    subscriptions: int
    kind: str
    type: str
    ip: str
    start: str
    last_activity: str
    stop: str
    reason: str
    rtt: str
    uptime: str
    idle: str
    name: str
    lang: str
    version: str
    tls_version: str
    tls_cipher_suite: str
    authorized_user: str
    account: str
    jwt: str
    issuer_key: str
    name_tag: str
    mqtt_client: str
    tls_first: bool
    subscriptions_list: list[str]
    subscriptions_list_detail: list[SubDetail]
    tls_peer_certs: list[dict[str, Any]]
    tags: list[str]
    proxy: dict[str, Any]


class Connz(TypedDict, total=False):
    """Connections of a server."""

    server_id: str
    now: str
    num_connections: int
    total: int
    offset: int
    limit: int
    connections: list[ConnInfo]


class RouteInfo(TypedDict, total=False):
    """A route to another server."""

    rid: int
    port: int
    pending_size: int
    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    subscriptions: int
    remote_id: str
    remote_name: str
    ip: str
    start: str
    last_activity: str
    rtt: str
    uptime: str
    idle: str
    account: str
    compression: str
    did_solicit: bool
    is_configured: bool
    subscriptions_list: list[str]
    subscriptions_list_detail: list[SubDetail]


class Routez(TypedDict, total=False):
    """Routes of a server."""

    server_id: str
    server_name: str
    now: str
    num_routes: int
    routes: list[RouteInfo]


class Gatewayz(TypedDict, total=False):
    """Gateways of a server, to other clusters."""

    server_id: str
    now: str
    name: str
    host: str
    port: int
    outbound_gateways: dict[str, Any]
    inbound_gateways: dict[str, list[Any]]


class LeafInfo(TypedDict, total=False):
    """A connection to a leaf node."""

    id: int
    port: int
    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    subscriptions: int
    name: str
    account: str
    ip: str
    rtt: str
    compression: str
    is_spoke: bool
    is_isolated: bool
    subscriptions_list: list[str]
    proxy: dict[str, Any]


class Leafz(TypedDict, total=False):
    """Leaf nodes of a server."""

    server_id: str
    now: str
    leafnodes: int
    leafs: list[LeafInfo]


class Subsz(TypedDict, total=False):
    """Subscriptions of a server."""

    server_id: str
    now: str
    num_subscriptions: int
    num_cache: int
    num_inserts: int
    num_removes: int
    num_matches: int
    max_fanout: int
    total: int
    offset: int
    limit: int
    cache_hit_rate: float
    avg_fanout: float
    subscriptions_list: list[SubDetail]


class AccountDetail(TypedDict, total=False):
    """An account as a server knows it."""

    account_name: str
    update_time: str
    issuer_key: str
    name_tag: str
    jwt: str
    expired: bool
    complete: bool
    jetstream_enabled: bool
    is_system: bool
    leafnode_connections: int
    client_connections: int
    subscriptions: int
    exports: list[dict[str, Any]]
    imports: list[dict[str, Any]]
    decoded_jwt: dict[str, Any]
    revoked_user: dict[str, Any]
    sublist_stats: dict[str, Any]
    mappings: dict[str, Any]
    claim: dict[str, Any]
    traffic: dict[str, Any]
    tags: Any
    responses: Any
    vr: Any


class Accountz(TypedDict, total=False):
    """Accounts of a server."""

    server_id: str
    now: str
    system_account: str
    accounts: list[str]
    account_detail: AccountDetail


class HealthzError(TypedDict, total=False):
    """One thing that is wrong."""

    type: str
    account: str
    stream: str
    consumer: str
    error: str


class Healthz(TypedDict, total=False):
    """Whether a server is well: `status` is ok, or `error` says why not."""

    status: str
    error: str
    status_code: int
    errors: list[HealthzError]


class Statsz(TypedDict, total=False):
    """What a server sends of itself every few seconds."""

    start: str
    cpu: float
    mem: int
    cores: int
    gomaxprocs: int
    gomemlimit: int
    connections: int
    total_connections: int
    active_accounts: int
    subscriptions: int
    slow_consumers: int
    stale_connections: int
    stalled_clients: int
    active_servers: int
    sent: Traffic
    received: Traffic
    sent_to_clients: Traffic
    received_from_clients: Traffic
    slow_consumer_stats: dict[str, int]
    stale_connection_stats: dict[str, int]
    routes: list[dict[str, Any]]
    gateways: list[dict[str, Any]]
    jetstream: JetStreamVarz


class AccountStat(TypedDict, total=False):
    """The traffic of an account on a server."""

    acc: str
    name: str
    conns: int
    leafnodes: int
    total_conns: int
    num_subscriptions: int
    slow_consumers: int
    sent: Traffic
    received: Traffic


class AccountStatz(TypedDict, total=False):
    """The traffic of accounts on a server."""

    server_id: str
    now: str
    account_statz: list[AccountStat]


class UserInfo(TypedDict, total=False):
    """Who we are; `expires` in nanoseconds from now."""

    user: str
    account: str
    account_name: str
    user_name: str
    permissions: dict[str, Any]
    expires: int
