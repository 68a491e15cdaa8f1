"""`pubsub`: the backend that a URL names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tidings.pubsub.base import PubSubBackend
from tidings.pubsub.config import KAFKA_KEYS, MEMORY_KEYS, NATS_KEYS, REDIS_KEYS
from tidings.pubsub.errors import ConfigError
from tidings.pubsub.settings import Key, read_texts, read_variables

__all__ = ["pubsub"]

_SCHEMES = {
    **dict.fromkeys(("nats", "tls", "ws", "wss"), ("NATS", "nats", "NATSPubSub", NATS_KEYS)),
    **dict.fromkeys(("redis", "rediss", "unix"), ("REDIS", "redis", "RedisPubSub", REDIS_KEYS)),
    "kafka": ("KAFKA", "kafka", "KafkaPubSub", KAFKA_KEYS),
    "memory": ("MEMORY", "memory", "MemoryPubSub", MEMORY_KEYS),
}


def pubsub(
    url: str | None = None,
    *,
    prefix: str = "TIDINGS",
    environ: Mapping[str, str] | None = None,
    **config: Any,
) -> PubSubBackend:
    """The backend that `url` names, connected::

        pubsub("nats://localhost:4222?group_id=workers&buffer_policy=drop_oldest")

    Schemes: ``nats``, ``tls``, ``ws``, ``wss`` (several servers with commas between), ``redis``, ``rediss``,
    ``unix``, ``kafka``, and ``memory`` for within the process. What the URL does not say comes from
    the variables of that backend, see `get_nats_config`.

    Args:
        url: where; None takes the variable ``TIDINGS_PUBSUB_URL``. Its query holds keys of the config.
        prefix: what the variables begin with.
        environ: where they stand; None is `os.environ`.
        config: keys of the config; they come before those of the query.

    Raises:
        ConfigError: no URL, one that names no backend, or a key that cannot work.
        ConnectError, MissingExtraError: as the backend raises.
    """
    environ = os.environ if environ is None else environ
    variable = f"{prefix}_PUBSUB_URL"
    source = "url" if url is not None else f"variable {variable}"
    url = url if url is not None else environ.get(variable, "").strip()
    if not isinstance(url, str) or not url:
        raise ConfigError(f"no url: give one, as nats://localhost:4222, or set the variable {variable}")
    scheme = url.partition("://")[0]
    if "://" not in url or scheme not in _SCHEMES:
        raise ConfigError(f"{source} begins with one of {', '.join(_SCHEMES)}, followed by ://")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f"{source} cannot be read") from None  # its text may hold a password
    system, module, name, keys = _SCHEMES[scheme]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if parts.fragment or not all(name.isidentifier() for name, _ in pairs):
        # Not shown: it may be the rest of a password.
        raise ConfigError(
            f"{source} has a # or a query that is not key=value; in a password # is %23, ? is %3F, / is %2F"
        )
    query = read_texts(f"the query of {source}", keys, dict(pairs))
    from_variables = read_variables(prefix, system, keys, environ)
    backend: type[Any] = getattr(import_module(f"tidings.pubsub.{module}"), name)
    made: PubSubBackend = backend({**from_variables, **_place(parts, keys), **query, **config})
    return made


def _place(parts: SplitResult, keys: tuple[Key, ...]) -> dict[str, Any]:
    """The key that says where."""
    bare = parts._replace(query="", fragment="").geturl()
    if keys is MEMORY_KEYS:
        if parts.path.strip("/"):
            raise ConfigError("a memory:// URL has a name and nothing behind it: memory://cameras")
        return {"name": parts.netloc} if parts.netloc else {}
    if keys is REDIS_KEYS:
        return {"url": bare}
    if keys is KAFKA_KEYS and "@" in parts.netloc:
        credentials, _, hosts = parts.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        who = {"user": unquote(user), "password": unquote(password) or None}
        return {**_place(parts._replace(netloc=hosts), keys), **who}
    servers = bare.partition("://")[2].rstrip("/").split(",")
    if keys is NATS_KEYS:  # what holds for the first, TLS say, holds for all
        servers = [each if "://" in each else f"{parts.scheme}://{each}" for each in servers]
    return {"servers": servers}
