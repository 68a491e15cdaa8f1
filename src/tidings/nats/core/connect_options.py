"""The options of `connect` as keyword arguments, for type checkers: read at run time by nobody in a hurry."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypedDict

from tidings.nats.core.options import (
    BufferPolicy,
    Callback,
    Credentials,
    ErrorCallback,
    JwtCallback,
    ReconnectHandler,
    SeedFile,
    SignatureCallback,
    Text,
    Transport,
    WebSocketHeaders,
)
from tidings.nats.core.tls import TLSOptions

__all__ = ["ConnectOptions"]


class ConnectOptions(TypedDict, total=False):
    """`Options` as keyword arguments of `connect`; a test keeps the two alike."""

    name: str | None
    user: Text | None
    password: Text | None
    token: Text | None
    user_credentials: Credentials | None
    nkeys_seed: SeedFile | None
    nkeys_seed_str: Text | None
    signature_cb: SignatureCallback | None
    user_jwt_cb: JwtCallback | None
    nkey: Text | None
    ignore_auth_error_abort: bool
    tls: ssl.SSLContext | TLSOptions | None
    tls_hostname: str | None
    tls_handshake_first: bool
    ws_connection_headers: WebSocketHeaders | None
    ws_compression: bool
    transport: Transport | None
    connect_timeout: float
    allow_reconnect: bool
    max_reconnect_attempts: int
    reconnect_time_wait: float
    reconnect_jitter: float
    reconnect_jitter_tls: float
    max_reconnect_wait: float
    reconnect_delay_cb: Callable[[int], float] | None
    reconnect_to_server_handler: ReconnectHandler | None
    retry_on_failed_connect: bool
    ignore_discovered_servers: bool
    reconnect_buffer_size: int
    reconnect_buffer_policy: BufferPolicy
    ping_interval: float
    max_outstanding_pings: int
    inbox_prefix: str
    no_echo: bool
    verbose: bool
    pedantic: bool
    skip_subject_validation: bool
    no_randomize: bool
    drain_timeout: float
    error_cb: ErrorCallback | None
    disconnected_cb: Callback | None
    reconnected_cb: Callback | None
    closed_cb: Callback | None
    discovered_server_cb: Callback | None
    lame_duck_mode_cb: Callback | None
