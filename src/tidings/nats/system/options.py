"""What servers may be asked, under the names of the server."""

from __future__ import annotations

from typing import Literal, TypedDict

__all__ = [
    "AccountzOptions",
    "ConnzOptions",
    "GatewayzOptions",
    "HealthzOptions",
    "JszOptions",
    "LeafzOptions",
    "RoutezOptions",
    "ServerFilter",
    "SubszOptions",
]


class ServerFilter(TypedDict, total=False):
    """Which servers shall answer: those of which all is true. Names match in part, unless `exact_match`."""

    server_name: str
    cluster: str
    host: str
    domain: str
    tags: list[str]
    exact_match: bool


class ConnzOptions(ServerFilter, total=False):
    """What `connz` may be asked."""

    sort: Literal[
        "cid",
        "start",
        "subs",
        "pending",
        "msgs_to",
        "msgs_from",
        "bytes_to",
        "bytes_from",
        "last",
        "idle",
        "uptime",
        "stop",
        "reason",
        "rtt",
    ]
    state: Literal["open", "closed", "all"]
    auth: bool
    subscriptions: bool
    subscriptions_detail: bool
    offset: int
    limit: int
    cid: int
    mqtt_client: str
    user: str
    acc: str
    filter_subject: str


class RoutezOptions(ServerFilter, total=False):
    """What `routez` may be asked."""

    subscriptions: bool
    subscriptions_detail: bool


class GatewayzOptions(ServerFilter, total=False):
    """What `gatewayz` may be asked."""

    name: str
    account_name: str
    accounts: bool
    subscriptions: bool
    subscriptions_detail: bool


class LeafzOptions(ServerFilter, total=False):
    """What `leafz` may be asked."""

    subscriptions: bool
    account: str


class SubszOptions(ServerFilter, total=False):
    """What `subsz` may be asked; `test` is a subject that shall match."""

    offset: int
    limit: int
    subscriptions: bool
    account: str
    test: str


class JszOptions(ServerFilter, total=False):
    """What `jsz` may be asked."""

    account: str
    accounts: bool
    streams: bool
    consumer: bool
    direct_consumer: bool
    config: bool
    leader_only: bool
    stream_leader_only: bool
    raft: bool
    offset: int
    limit: int


class AccountzOptions(ServerFilter, total=False):
    """What `accountz` may be asked."""

    account: str


class HealthzOptions(ServerFilter, total=False):
    """What `healthz` may be asked."""

    js_enabled_only: bool
    js_server_only: bool
    js_meta_only: bool
    details: bool
    account: str
    stream: str
    consumer: str
