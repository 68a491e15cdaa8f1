"""The keys of each backend's config, and the functions that read them from the environment."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

from tidings.pubsub.settings import (
    COMMON,
    COUNT,
    FLAG,
    NUMBER,
    PATH,
    SECONDS,
    SERVERS,
    TEXT,
    Key,
    Kind,
    choice,
    read_mapping,
    read_variables,
)

__all__ = [
    "KAFKA_KEYS",
    "MEMORY_KEYS",
    "NATS_KEYS",
    "REDIS_KEYS",
    "get_kafka_config",
    "get_nats_config",
    "get_redis_config",
]


def _tls(value: Any) -> bool | ssl.SSLContext:
    if not isinstance(value, bool | ssl.SSLContext):
        raise TypeError
    return value


def _options(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError
    return dict(value)


_FILES = (
    Key("tls_ca_cert", "TLS_CA_CERT_FILE", PATH),
    Key("tls_cert", "TLS_CERT_FILE", PATH),
    Key("tls_key", "TLS_KEY_FILE", PATH),
    Key("tls_verify", "TLS_VERIFY", FLAG, True),
)

NATS_KEYS = (
    Key("servers", "SERVERS", SERVERS, is_secret=True),
    Key("user", "USERNAME", TEXT),
    Key("password", "PASSWORD", TEXT, is_secret=True),
    Key("token", "TOKEN", TEXT, is_secret=True),
    Key("nkeys_seed", "NKEYS_SEED", TEXT, is_secret=True),
    Key("user_jwt", "USER_JWT", TEXT, is_secret=True),
    Key("user_credentials", "USER_CREDENTIALS", TEXT, is_secret=True),
    Key("tls", "USE_TLS", Kind("true or false, or an ssl.SSLContext", _tls, FLAG.read)),
    *_FILES,
    Key("stream", "STREAM", TEXT),
    Key("durable", "DURABLE", TEXT),
    Key("ack_wait", "ACK_WAIT", SECONDS, 30.0),
    *COMMON,
)

REDIS_KEYS = (
    Key("url", "URL", TEXT, "redis://localhost:6379", is_secret=True),
    Key("user", "USERNAME", TEXT),
    Key("password", "PASSWORD", TEXT, is_secret=True),
    Key("db", "DB", NUMBER),
    Key("tls", "USE_TLS", FLAG),
    *_FILES,
    Key("streams", "STREAMS", FLAG, False),
    Key("stream_length", "STREAM_LENGTH", COUNT, 1000),
    Key("ack_wait", "ACK_WAIT", SECONDS, 30.0),
    *COMMON,
)

KAFKA_KEYS = (
    Key("servers", "SERVERS", SERVERS, is_secret=True),
    Key("user", "USERNAME", TEXT),
    Key("password", "PASSWORD", TEXT, is_secret=True),
    Key(
        "sasl_mechanism",
        "SASL_MECHANISM",
        choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    ),
    Key("tls", "USE_TLS", FLAG),
    *_FILES,
    Key(
        "options",
        "OPTIONS",
        Kind("a dict of options of librdkafka, in JSON where it is a text", _options, read_mapping),
        {},
        is_secret=True,
    ),
    *COMMON,
)

MEMORY_KEYS = (Key("name", "NAME", TEXT, "default"), *COMMON)


def get_nats_config(
    group_id: str | None = None, *, prefix: str = "TIDINGS", environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The config for `NATSPubSub` from ``TIDINGS_NATS_SERVERS`` and the like; docs/pubsub has the table.

    Args:
        group_id: each message goes to one member of the group; it comes before the variable.
        prefix: what the variables begin with.
        environ: where they stand; None is `os.environ`.

    Raises:
        ConfigError: a variable that is malformed; the text names it.
    """
    config = _config("NATS", NATS_KEYS, group_id, prefix, environ)
    config.setdefault("servers", ["nats://localhost:4222"])
    return config


def get_redis_config(
    group_id: str | None = None, *, prefix: str = "TIDINGS", environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The config for `RedisPubSub` from ``TIDINGS_REDIS_URL`` and the like. As `get_nats_config`."""
    return _config("REDIS", REDIS_KEYS, group_id, prefix, environ)


def get_kafka_config(
    group_id: str | None = None, *, prefix: str = "TIDINGS", environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The config for `KafkaPubSub` from ``TIDINGS_KAFKA_SERVERS`` and the like. As `get_nats_config`."""
    config = _config("KAFKA", KAFKA_KEYS, group_id, prefix, environ)
    config.setdefault("servers", ["localhost:9092"])
    return config


def _config(
    system: str,
    keys: tuple[Key, ...],
    group_id: str | None,
    prefix: str,
    environ: Mapping[str, str] | None,
) -> dict[str, Any]:
    config = read_variables(prefix, system, keys, os.environ if environ is None else environ)
    if group_id is not None:
        config["group_id"] = group_id
    return config
