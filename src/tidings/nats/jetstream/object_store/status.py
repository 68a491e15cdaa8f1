"""The state of an object store."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.nats.jetstream.infos import StreamInfo
from tidings.nats.jetstream.object_store.config import ObjectStoreConfig
from tidings.nats.jetstream.object_store.names import bucket_of

__all__ = ["ObjectStoreStatus"]


@dataclass(frozen=True)
class ObjectStoreStatus:
    """The state of an object store, and how it is configured.

    Attributes:
        stream_info: of the stream behind it, with all that the server tells.
    """

    stream_info: StreamInfo

    @property
    def bucket(self) -> str:
        """Its name."""
        return bucket_of(self.stream_info.config.name)

    @property
    def config(self) -> ObjectStoreConfig:
        """Its config."""
        return ObjectStoreConfig.of_stream(self.stream_info.config)

    @property
    def size(self) -> int:
        """Bytes in it, with what is stored about the objects."""
        return self.stream_info.state.bytes

    @property
    def is_sealed(self) -> bool:
        """Whether nothing can change any more."""
        return self.stream_info.config.sealed

    @property
    def is_compressed(self) -> bool:
        """Whether the files are."""
        return self.stream_info.config.compression != "none"

    @property
    def backing_store(self) -> str:
        """What it is made of."""
        return "JetStream"
