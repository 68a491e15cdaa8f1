"""Names of buckets and objects: what ADR-20 allows, and the subjects that they become."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from typing import Any

from tidings.nats.jetstream.object_store.errors import InvalidObjectError, InvalidStoreNameError

__all__ = ["STREAM_PREFIX", "bucket_of", "check_bucket", "encode_name", "stream_of"]

STREAM_PREFIX = "OBJ_"

_BUCKET = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_MAX_BUCKET = 255 - len(STREAM_PREFIX)
# In base64 it stands in a subject, for which servers have 4096 bytes with all that is beside it.
_MAX_NAME = 2048


def check_bucket(bucket: Any) -> str:
    """Refuse what cannot be the name of a bucket. Raises InvalidStoreNameError."""
    if not isinstance(bucket, str) or _BUCKET(bucket) is None:
        raise InvalidStoreNameError(
            f"the name of an object store is made of letters, digits, - and _, which {bucket!r} is not"
        )
    if len(bucket) > _MAX_BUCKET:
        raise InvalidStoreNameError(
            f"the name of object store {bucket[:20]!r}… is longer than {_MAX_BUCKET} characters"
        )
    return bucket


def encode_name(name: Any) -> str:
    """The name of an object as a token of a subject. Raises InvalidObjectError."""
    if not isinstance(name, str) or not name:
        raise InvalidObjectError(f"the name of an object is text, not {name!r}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidObjectError(f"object name {name!r} cannot be written as UTF-8") from None
    if len(encoded) > _MAX_NAME:
        raise InvalidObjectError(f"object name {name[:20]!r}… is longer than {_MAX_NAME} bytes")
    return urlsafe_b64encode(encoded).decode()


def stream_of(bucket: str) -> str:
    """The stream behind a bucket."""
    return STREAM_PREFIX + bucket


def bucket_of(stream: str) -> str:
    """The bucket that a stream is behind."""
    return stream.removeprefix(STREAM_PREFIX)
