"""What the server tells of a bucket."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.nats.jetstream.infos import StreamInfo
from tidings.nats.jetstream.kv.config import KeyValueConfig
from tidings.nats.jetstream.kv.keys import bucket_of

__all__ = ["BucketStatus"]


@dataclass(frozen=True)
class BucketStatus:
    """The state of a bucket, and how it is configured.

    Attributes:
        stream_info: of the stream behind it, with all that the server tells.
    """

    stream_info: StreamInfo

    @property
    def bucket(self) -> str:
        """Its name."""
        return bucket_of(self.stream_info.config.name)

    @property
    def config(self) -> KeyValueConfig:
        """Its config."""
        return KeyValueConfig.of_stream(self.stream_info.config)

    @property
    def values(self) -> int:
        """Entries in it: values and removals, with the history."""
        return self.stream_info.state.messages

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.stream_info.state.bytes

    @property
    def history(self) -> int:
        """How many revisions of a key are kept."""
        return self.stream_info.config.max_msgs_per_subject

    @property
    def ttl(self) -> float | None:
        """Seconds that a revision is kept; None is for ever."""
        return self.stream_info.config.max_age or None

    @property
    def limit_marker_ttl(self) -> float | None:
        """Seconds that the server's own markers are kept (ADR-48); None is without."""
        return self.stream_info.config.subject_delete_marker_ttl or None

    @property
    def is_compressed(self) -> bool:
        """Whether the files are."""
        return self.stream_info.config.compression != "none"

    @property
    def backing_store(self) -> str:
        """What it is made of."""
        return "JetStream"
