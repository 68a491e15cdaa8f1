"""Names of buckets and keys: what ADR-8 allows, and the subjects that they become."""

from __future__ import annotations

import re
from typing import Any

from tidings.nats.jetstream.kv.errors import InvalidBucketNameError, InvalidKeyError

__all__ = ["STREAM_PREFIX", "bucket_of", "check_bucket", "check_filter", "check_key", "stream_of"]

STREAM_PREFIX = "KV_"

_BUCKET = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_KEY = re.compile(r"(?!_kv)[-/_=A-Za-z0-9]+(?:\.[-/_=A-Za-z0-9]+)*").fullmatch
_TOKEN = re.compile(r"[-/_=A-Za-z0-9]+").fullmatch
_MAX_BUCKET = 255 - len(STREAM_PREFIX)


def check_bucket(bucket: Any) -> str:
    """Refuse what cannot be the name of a bucket. Raises InvalidBucketNameError."""
    if not isinstance(bucket, str) or _BUCKET(bucket) is None:
        raise InvalidBucketNameError(
            f"the name of a bucket is made of letters, digits, - and _, which {bucket!r} is not"
        )
    if len(bucket) > _MAX_BUCKET:
        raise InvalidBucketNameError(f"bucket name {bucket[:20]!r}… is longer than {_MAX_BUCKET} characters")
    return bucket


def check_key(key: Any) -> str:
    """Refuse what cannot be a key. Raises InvalidKeyError."""
    if type(key) is not str or _KEY(key) is None:
        raise InvalidKeyError(_why(key))
    checked: str = key
    return checked


def check_filter(keys: Any) -> str:
    """Refuse what is neither a key nor one with wildcards. Raises InvalidKeyError."""
    if not isinstance(keys, str) or not keys:
        raise InvalidKeyError(f"a filter is a key, in which * and > may stand for others, not {keys!r}")
    if keys.startswith("_kv"):
        raise InvalidKeyError(_why(keys))
    tokens = keys.split(".")
    if tokens[-1] == ">":
        tokens.pop()
    for token in tokens:
        if token != "*" and _TOKEN(token) is None:
            raise InvalidKeyError(
                f"filter {keys!r}: {token!r} cannot stand between dots; a wildcard stands alone, > at the end"
            )
    return keys


def stream_of(bucket: str) -> str:
    """The stream behind a bucket."""
    return STREAM_PREFIX + bucket


def bucket_of(stream: str) -> str:
    """The bucket that a stream is behind."""
    return stream.removeprefix(STREAM_PREFIX)


def _why(key: Any) -> str:
    if not isinstance(key, str):
        return f"a key is text, not {key!r}"
    if not key:
        return "a key cannot be empty"
    if key.startswith("_kv"):
        return f"key {key!r}: names that begin with _kv are reserved"
    if "*" in key or ">" in key:
        return f"key {key!r}: wildcards are for watch and keys only"
    if key.startswith(".") or key.endswith(".") or ".." in key:
        return f"key {key!r}: each dot stands between two parts that are not empty"
    return (
        f"key {key!r}: a key is made of letters, digits and - / _ = with dots between; for others there are "
        "codecs, like Base64Keys"
    )
