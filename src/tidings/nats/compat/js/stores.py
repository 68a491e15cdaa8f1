"""The types of nats-py's JetStream API that are about key-value buckets and object stores."""

# ruff: noqa: D101, RUF012  # the server's names; tables that nobody changes

from __future__ import annotations

from dataclasses import dataclass

from tidings.nats.compat.js.base import Base
from tidings.nats.compat.js.constants import StorageType
from tidings.nats.compat.js.streams import Placement, RePublish

__all__ = [
    "KeyValueConfig",
    "ObjectInfo",
    "ObjectLink",
    "ObjectMeta",
    "ObjectMetaOptions",
    "ObjectStoreConfig",
]


@dataclass
class KeyValueConfig(Base):
    """The config of a bucket; times in seconds."""

    seconds = zeroed = frozenset({"ttl"})

    bucket: str
    description: str | None = None
    max_value_size: int | None = None
    history: int = 1
    ttl: float | None = None
    max_bytes: int | None = None
    storage: StorageType | None = None
    replicas: int = 1
    placement: Placement | None = None
    republish: RePublish | None = None
    direct: bool | None = None
    limit_marker_ttl: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Its fields, but for the one that is the client's own."""
        written = super().as_dict()
        written.pop("limit_marker_ttl", None)
        return written


@dataclass
class ObjectStoreConfig(Base):
    """The config of an object store; times in seconds."""

    seconds = zeroed = frozenset({"ttl"})

    bucket: str | None = None
    description: str | None = None
    ttl: float | None = None
    max_bytes: int | None = None
    storage: StorageType | None = None
    replicas: int = 1
    placement: Placement | None = None


@dataclass
class ObjectLink(Base):
    bucket: str
    name: str | None = None


@dataclass
class ObjectMetaOptions(Base):
    nested = {"link": ObjectLink}

    link: ObjectLink | None = None
    max_chunk_size: int | None = None


@dataclass
class ObjectMeta(Base):
    nested = {"options": ObjectMetaOptions}

    name: str | None = None
    description: str | None = None
    headers: dict[str, str] | None = None
    options: ObjectMetaOptions | None = None


@dataclass
class ObjectInfo(Base):
    nested = {"options": ObjectMetaOptions}

    name: str
    bucket: str
    nuid: str
    size: int | None = None
    mtime: str | None = None
    chunks: int | None = None
    digest: str | None = None
    deleted: bool | None = False
    description: str | None = None
    headers: dict[str, str] | None = None
    options: ObjectMetaOptions | None = None

    @property
    def meta(self) -> ObjectMeta:
        """What its owner says of it."""
        return ObjectMeta(self.name, self.description, self.headers, self.options)

    def is_link(self) -> bool:
        """Whether it stands for another object, or for a store."""
        return self.options is not None and self.options.link is not None
