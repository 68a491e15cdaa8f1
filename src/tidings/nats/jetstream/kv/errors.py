"""What can go wrong with buckets and keys; all of it is a `tidings.nats.errors.Error` as well.

::

    KeyValueError                           (JetStreamError)
    ├── InvalidBucketNameError              (BadNameError)  refused before a byte was sent
    ├── InvalidKeyError                     (ConfigError)   … a key or filter that cannot be one
    ├── InvalidValueError                   (ConfigError)   … a value that the codec or model refuses
    ├── TtlNotAllowedError                  (ConfigError)   … a TTL for a bucket without them
    ├── StoredValueError                    a stored value or key that the codec or model cannot read
    ├── BucketNotFoundError                 (StreamNotFoundError)
    ├── BucketExistsError                   (StreamNameInUseError)    one of that name has another config
    ├── KeyNotFoundError                    (MessageNotFoundError)
    │   └── KeyDeletedError                 its last entry says that it was deleted or purged
    └── KeyWrongLastSequenceError           (WrongLastSequenceError)  another revision is the last one
        └── KeyExistsError                  … and `create` found a value
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tidings.nats.jetstream.errors import (
    BadNameError,
    ConfigError,
    JetStreamError,
    MessageNotFoundError,
    StreamNameInUseError,
    StreamNotFoundError,
    WrongLastSequenceError,
)

__all__ = [
    "BucketExistsError",
    "BucketNotFoundError",
    "InvalidBucketNameError",
    "InvalidKeyError",
    "InvalidValueError",
    "KeyDeletedError",
    "KeyExistsError",
    "KeyNotFoundError",
    "KeyValueError",
    "KeyWrongLastSequenceError",
    "Removal",
    "StoredValueError",
    "TtlNotAllowedError",
]


class KeyValueError(JetStreamError):
    """Root of the errors of key-value buckets."""


class InvalidBucketNameError(KeyValueError, BadNameError):
    """A name that no bucket can have (ADR-8)."""


class InvalidKeyError(KeyValueError, ConfigError):
    """A key or a filter that cannot be one (ADR-8), or that a codec cannot write."""


class InvalidValueError(KeyValueError, ConfigError):
    """A value that is no bytes or text, or that the codec or model refuses."""


class TtlNotAllowedError(KeyValueError, ConfigError):
    """The bucket allows no TTL: it needs ``limit_marker_ttl`` (ADR-48)."""


class StoredValueError(KeyValueError):
    """What is stored cannot be read by the codec or model; ``__cause__`` says why.

    Attributes:
        bucket, key, revision: which entry.
    """

    def __init__(self, bucket: str, key: str, revision: int, why: object) -> None:
        super().__init__(f"revision {revision} of {key!r} in bucket {bucket!r} cannot be read: {why}")
        self.bucket = bucket
        self.key = key
        self.revision = revision


class BucketNotFoundError(KeyValueError, StreamNotFoundError):
    """There is no bucket of that name."""


class BucketExistsError(KeyValueError, StreamNameInUseError):
    """There is a bucket of that name with another config; nothing was changed."""


class KeyNotFoundError(KeyValueError, MessageNotFoundError):
    """The bucket has no such key, or the key no such revision.

    Attributes:
        bucket, key: which.
    """

    def __init__(self, bucket: str, key: str, revision: int | None = None, why: str = "is not there") -> None:
        what = f"key {key!r}" if revision is None else f"revision {revision} of key {key!r}"
        super().__init__(404, 10037, f"{what} of bucket {bucket!r} {why}")
        self.bucket = bucket
        self.key = key


class Removal(Protocol):
    """What is known of an entry that says that its key was deleted or purged."""

    @property
    def bucket(self) -> str:
        """The bucket."""
        ...

    @property
    def key(self) -> str:
        """The key."""
        ...

    @property
    def revision(self) -> int:
        """Its number."""
        ...

    @property
    def operation(self) -> str:
        """``"DEL"`` or ``"PURGE"``."""
        ...

    @property
    def created(self) -> datetime:
        """When."""
        ...


class KeyDeletedError(KeyNotFoundError):
    """The key was deleted or purged.

    Attributes:
        entry: the `KeyValueEntry` that says so; `create` writes over it.
    """

    def __init__(self, entry: Removal) -> None:
        done = "deleted" if entry.operation == "DEL" else "purged"
        super().__init__(entry.bucket, entry.key, why=f"was {done} in revision {entry.revision}")
        self.entry = entry


class KeyWrongLastSequenceError(KeyValueError, WrongLastSequenceError):
    """Another revision of the key is the last one: read it, and decide again."""


class KeyExistsError(KeyWrongLastSequenceError):
    """`create` found a value; nothing was stored."""
