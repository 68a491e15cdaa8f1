"""What can go wrong with object stores; all of it is a `tidings.nats.errors.Error` as well.

::

    ObjectStoreError                        (JetStreamError)
    ├── InvalidStoreNameError               (BadNameError)  refused before a byte was sent
    ├── InvalidObjectError                  (ConfigError)   … a name, source or option that cannot be one
    ├── ObjectStoreNotFoundError            (StreamNotFoundError)
    ├── ObjectStoreExistsError              (StreamNameInUseError)    one of that name has another config
    ├── ObjectNotFoundError                 (MessageNotFoundError)
    │   └── ObjectDeletedError              it was there and was deleted
    ├── ObjectExistsError                   an object that is there would be lost
    ├── ObjectLinkError                     a link that leads nowhere, to a link, or to a whole bucket
    ├── ObjectReadError                     what is read is not the object, or not all of it
    │   ├── ObjectChangedError              it was put anew, renamed or deleted meanwhile
    │   ├── ObjectIncompleteError           chunks are missing
    │   └── DigestMismatchError             it is not what was put
    └── StoredInfoError                     what is stored as an object's info cannot be read
"""

from __future__ import annotations

from tidings.nats.jetstream.errors import (
    BadNameError,
    ConfigError,
    JetStreamError,
    MessageNotFoundError,
    StreamNameInUseError,
    StreamNotFoundError,
)

__all__ = [
    "DigestMismatchError",
    "InvalidObjectError",
    "InvalidStoreNameError",
    "ObjectChangedError",
    "ObjectDeletedError",
    "ObjectExistsError",
    "ObjectIncompleteError",
    "ObjectLinkError",
    "ObjectNotFoundError",
    "ObjectReadError",
    "ObjectStoreError",
    "ObjectStoreExistsError",
    "ObjectStoreNotFoundError",
    "StoredInfoError",
]


class ObjectStoreError(JetStreamError):
    """Root of the errors of object stores."""


class InvalidStoreNameError(ObjectStoreError, BadNameError):
    """A name that no bucket can have (ADR-20)."""


class InvalidObjectError(ObjectStoreError, ConfigError):
    """A name, a source or an option that cannot be one."""


class ObjectStoreNotFoundError(ObjectStoreError, StreamNotFoundError):
    """There is no object store of that name."""


class ObjectStoreExistsError(ObjectStoreError, StreamNameInUseError):
    """There is an object store of that name with another config; nothing was changed."""


class ObjectNotFoundError(ObjectStoreError, MessageNotFoundError):
    """The bucket has no such object."""

    def __init__(self, bucket: str, name: str, why: str = "is not there") -> None:
        super().__init__(404, 10037, f"object {name!r} of bucket {bucket!r} {why}")
        self.bucket = bucket
        self.name = name


class ObjectDeletedError(ObjectNotFoundError):
    """The object was there and was deleted."""

    def __init__(self, bucket: str, name: str) -> None:
        super().__init__(bucket, name, "was deleted")


class ObjectExistsError(ObjectStoreError):
    """There is an object of that name, which would be lost: delete it first, or take another name."""


class ObjectLinkError(ObjectStoreError):
    """A link that leads nowhere, to another link, or to a whole bucket where an object is asked for."""


class ObjectReadError(ObjectStoreError):
    """What is read is not the object, or not all of it. What was read so far is not to be used."""


class ObjectChangedError(ObjectReadError):
    """The object was put anew, renamed or deleted while it was used: begin again."""


class ObjectIncompleteError(ObjectReadError):
    """Chunks of the object are missing: put it again."""


class DigestMismatchError(ObjectReadError):
    """What is stored is not what was put: read it from another replica, or put it again."""


class StoredInfoError(ObjectStoreError):
    """What is stored as the info of an object cannot be read."""
