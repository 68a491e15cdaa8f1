"""The configuration of a bucket, and the stream that it becomes (ADR-8, ADR-48)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fields import Seconds
from tidings.nats.jetstream.kv.keys import STREAM_PREFIX, bucket_of, check_bucket, stream_of
from tidings.nats.jetstream.stream_config import Placement, Republish, Storage, StreamConfig
from tidings.nats.jetstream.stream_source import StreamSource, SubjectTransform

__all__ = ["MAX_HISTORY", "KeyValueConfig", "config_of"]

MAX_HISTORY = 64
_DUPLICATE_WINDOW = 120.0  # seconds; what is kept for a shorter time has that as its window
_LEAST_MARKER_TTL = 1.0


@dataclass(frozen=True, kw_only=True)
class KeyValueConfig:
    """How a bucket keeps its keys. Sizes in bytes; durations as seconds or `timedelta`, read as seconds.

    Attributes:
        bucket: its name: letters, digits, ``-`` and ``_``.
        description: for whoever looks.
        max_value_size: bytes that a value may have; -1 is no limit.
        history: how many revisions of a key are kept, 1 to 64.
        ttl: how long a revision is kept; None is for ever.
        max_bytes: bytes that the bucket may have; -1 is no limit. When it is full, writes are refused.
        storage: ``"file"`` or ``"memory"``.
        replicas: on how many servers it is, 1 to 5.
        placement: which servers these may be.
        republish: publish each change once more, as a plain message.
        compression: compress the files.
        metadata: text by text.
        direct: `KeyValue.get` is answered by any replica, which may be a moment behind. False has the leader
            answer: it knows every write that was acknowledged.
        limit_marker_ttl: how long watchers and readers can see that a key went by its age, at least one
            second. With it `KeyValue.create` and `KeyValue.purge` take a TTL. Once set it can be changed, not
            unset.
        mirror: the bucket that this one is a copy of: a name, or a `StreamSource`. Reads come from the copy,
            writes go to the other.
        sources: buckets whose keys this one takes in as well, likewise.
    """

    bucket: str
    description: str = ""
    max_value_size: int = -1
    history: int = 1
    ttl: Seconds = Seconds()
    max_bytes: int = -1
    storage: Storage = "file"
    replicas: int = 1
    placement: Placement | None = None
    republish: Republish | None = None
    compression: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    direct: bool = True
    limit_marker_ttl: Seconds = Seconds()
    mirror: StreamSource | str | None = None
    sources: list[StreamSource | str] = field(default_factory=list)

    def check(self) -> None:
        """Refuse what cannot work, before a byte is sent.

        Raises:
            InvalidBucketNameError: the name, or that of a mirror or source.
            ConfigError: a value that cannot be, or two that exclude each other.
        """
        check_bucket(self.bucket)
        if type(self.history) is not int or not 1 <= self.history <= MAX_HISTORY:
            raise ConfigError(f"history is 1 to {MAX_HISTORY} revisions of a key, not {self.history!r}")
        for name in ("max_value_size", "max_bytes"):
            value = getattr(self, name)
            if type(value) is not int or (value < 1 and value != -1):
                raise ConfigError(f"{name} is a number of bytes, or -1 for no limit, not {value!r}")
        if (marker := self.limit_marker_ttl) is not None and marker < _LEAST_MARKER_TTL:
            raise ConfigError(f"limit_marker_ttl is at least {_LEAST_MARKER_TTL:g} s, not {marker!r}")
        if isinstance(self.sources, str | StreamSource) or not isinstance(self.sources, Iterable):
            raise ConfigError(f"sources is a list of buckets, not {self.sources!r}")
        if self.mirror is not None and self.sources:
            raise ConfigError("mirror and sources are given: a mirror takes what it mirrors and nothing else")

    def to_stream(self, there: StreamConfig | None = None) -> StreamConfig:
        """The stream behind it.

        Args:
            there: the one that it changes; what is no matter of a bucket stays as it is there.

        Raises:
            ConfigError, InvalidBucketNameError: as `check`.
        """
        self.check()
        window = min(_DUPLICATE_WINDOW, self.ttl) if self.ttl else _DUPLICATE_WINDOW
        fields: dict[str, Any] = {
            "name": stream_of(self.bucket),
            "description": self.description,
            "max_msgs_per_subject": self.history,
            "max_msg_size": self.max_value_size,
            "max_age": self.ttl,
            "duplicate_window": window,
            "max_bytes": self.max_bytes,
            "storage": self.storage,
            "num_replicas": self.replicas,
            "placement": self.placement,
            "republish": self.republish,
            "compression": "s2" if self.compression else "none",
            "metadata": self.metadata,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": self.direct,
        }
        if self.limit_marker_ttl is not None:
            fields |= {"allow_msg_ttl": True, "subject_delete_marker_ttl": self.limit_marker_ttl}
        if self.mirror is not None:
            fields |= {"mirror": _origin(self.mirror), "mirror_direct": self.direct}
        else:
            fields["subjects"] = [f"$KV.{self.bucket}.>"]
            fields["sources"] = [self._source(each) for each in self.sources]
        return StreamConfig(**fields) if there is None else replace(there, **fields)

    def _source(self, given: StreamSource | str) -> StreamSource:
        source = _origin(given)
        if source.subject_transforms or source.filter_subject:
            return source  # the caller says which keys become which
        origin = bucket_of(source.name)
        if origin == self.bucket:
            return source  # of another domain: its subjects are ours
        moved = SubjectTransform(src=f"$KV.{origin}.>", dest=f"$KV.{self.bucket}.>")
        return replace(source, subject_transforms=[moved])

    @classmethod
    def of_stream(cls, stream: StreamConfig) -> KeyValueConfig:
        """The config of the bucket that `stream` is behind, its mirror and sources as the stream has them."""
        return cls(
            bucket=bucket_of(stream.name),
            description=stream.description,
            max_value_size=stream.max_msg_size,
            history=max(stream.max_msgs_per_subject, 1),
            ttl=_or_none(stream.max_age),
            max_bytes=stream.max_bytes,
            storage=stream.storage,
            replicas=stream.num_replicas,
            placement=stream.placement,
            republish=stream.republish,
            compression=stream.compression != "none",
            metadata=dict(stream.metadata),
            direct=stream.allow_direct,
            limit_marker_ttl=_or_none(stream.subject_delete_marker_ttl),
            mirror=stream.mirror,
            sources=list(stream.sources),
        )


def config_of(config: KeyValueConfig | None, fields: dict[str, Any]) -> KeyValueConfig:
    """The config that a caller gave, or made of the fields that he gave. Raises ConfigError."""
    if config is None:
        try:
            return KeyValueConfig(**fields)
        except TypeError as error:
            raise ConfigError(str(error).replace("KeyValueConfig.__init__()", "KeyValueConfig")) from None
    if not isinstance(config, KeyValueConfig):
        raise ConfigError(f"a bucket is made from a KeyValueConfig, not {config!r}; or say bucket=…")
    if fields:
        raise ConfigError(f"a config is given, and {', '.join(fields)} beside it: use dataclasses.replace")
    return config


def _origin(given: StreamSource | str) -> StreamSource:
    """A bucket as the source of a stream: a bare name is that of a bucket."""
    if isinstance(given, str):
        return StreamSource(name=stream_of(check_bucket(given)))
    if not isinstance(given, StreamSource):
        raise ConfigError(f"a mirror or source is the name of a bucket or a StreamSource, not {given!r}")
    if given.name.startswith(STREAM_PREFIX):
        return given
    return replace(given, name=stream_of(check_bucket(given.name)))


def _or_none(seconds: float | timedelta | None) -> float | None:
    return seconds.total_seconds() if isinstance(seconds, timedelta) else seconds or None
