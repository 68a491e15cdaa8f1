"""The configuration of an object store, and the stream that it becomes (ADR-20)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import Seconds
from tidings.nats.jetstream.object_store.names import bucket_of, check_bucket, stream_of
from tidings.nats.jetstream.stream_config import Placement, Storage, StreamConfig

__all__ = ["ObjectStoreConfig", "config_of"]

_DUPLICATE_WINDOW = 120.0  # seconds; what is kept for a shorter time has that as its window


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConfig:
    """How a bucket keeps its objects. Sizes in bytes; durations as seconds or `timedelta`, read as seconds.

    Attributes:
        bucket: its name: letters, digits, ``-`` and ``_``.
        description: for whoever looks.
        ttl: how long an object is kept; None is for ever.
        max_bytes: bytes that the bucket may have; -1 is no limit. When it is full, puts are refused.
        storage: ``"file"`` or ``"memory"``.
        replicas: on how many servers it is, 1 to 5.
        placement: which servers these may be.
        compression: compress the files.
        metadata: text by text.
    """

    bucket: str
    description: str = ""
    ttl: Seconds = Seconds()
    max_bytes: int = -1
    storage: Storage = "file"
    replicas: int = 1
    placement: Placement | None = None
    compression: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    def to_stream(self, there: StreamConfig | None = None) -> StreamConfig:
        """The stream behind it.

        Args:
            there: the one that it changes; what is no matter of a bucket stays as it is there.

        Raises:
            InvalidStoreNameError: the name.
            ConfigError: a value that cannot be.
        """
        check_bucket(self.bucket)
        if type(self.max_bytes) is not int or (self.max_bytes < 1 and self.max_bytes != -1):
            raise ConfigError(f"max_bytes is a number of bytes, or -1 for no limit, not {self.max_bytes!r}")
        window = min(_DUPLICATE_WINDOW, self.ttl) if self.ttl else _DUPLICATE_WINDOW
        fields: dict[str, Any] = {
            "name": stream_of(self.bucket),
            "subjects": [f"$O.{self.bucket}.C.>", f"$O.{self.bucket}.M.>"],
            "description": self.description,
            "max_age": self.ttl,
            "duplicate_window": window,
            "max_bytes": self.max_bytes,
            "storage": self.storage,
            "num_replicas": self.replicas,
            "placement": self.placement,
            "compression": "s2" if self.compression else "none",
            "metadata": self.metadata,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        }
        return StreamConfig(**fields) if there is None else replace(there, **fields)

    @classmethod
    def of_stream(cls, stream: StreamConfig) -> ObjectStoreConfig:
        """The config of the bucket that `stream` is behind."""
        return cls(
            bucket=bucket_of(stream.name),
            description=stream.description,
            ttl=stream.max_age or None,
            max_bytes=stream.max_bytes,
            storage=stream.storage,
            replicas=stream.num_replicas,
            placement=stream.placement,
            compression=stream.compression != "none",
            metadata=dict(stream.metadata),
        )


def config_of(config: ObjectStoreConfig | None, fields: dict[str, Any]) -> ObjectStoreConfig:
    """The config that a caller gave, or made of the fields that he gave. Raises ConfigError."""
    if config is None:
        try:
            return ObjectStoreConfig(**fields)
        except TypeError as error:
            raise ConfigError(
                str(error).replace("ObjectStoreConfig.__init__()", "ObjectStoreConfig")
            ) from None
    if not isinstance(config, ObjectStoreConfig):
        raise ConfigError(
            f"an object store is made from an ObjectStoreConfig, not {config!r}; or say bucket=…"
        )
    if fields:
        raise ConfigError(f"a config is given, and {', '.join(fields)} beside it: use dataclasses.replace")
    return config
