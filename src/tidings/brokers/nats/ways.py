"""How the messages of a stream come to a subscriber, and what is watched of a bucket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import KeyValueConfig, ObjectStoreConfig
    from tidings.nats.jetstream.kv import KeyCodec, ValueCodec

__all__ = ["KvWatch", "ObjWatch", "Pull", "Push"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How messages are asked for. Those that are here and wait for a worker count as delivered: what all of
    them take to be handled should be well below the consumer's ``ack_wait``.

    Attributes:
        batch: messages asked for and not yet handled, at the most.
        max_bytes: … in bytes, in the place of messages.
        expires: seconds that a request waits at the server; then it is made again.
        heartbeat: seconds between signs of life of an idle server; None is half of `expires`, at most 30.
    """

    batch: int = 100
    max_bytes: int | None = None
    expires: float = 30.0
    heartbeat: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """How a consumer sends by itself, in the place of being asked.

    The server sets the pace: as much as ``max_ack_pending`` of the consumer, which is 1,000 messages, waits
    in the process for a worker, and counts as delivered.

    Attributes:
        idle_heartbeat: seconds between signs of life of an idle server; 0 is none. Without them a consumer
            that is gone is noticed half a minute later.
        flow_control: the server holds back until what it sent is taken. It takes heartbeats.
        rate_limit_bps: bits a second that the server sends, at the most; 0 is as much as it can.
        deliver_subject: what it is sent to; empty for an inbox of the connection.

    A queue group has neither heartbeats nor flow control: one member would get all of them.
    """

    idle_heartbeat: float = 5.0
    flow_control: bool = True
    rate_limit_bps: int = 0
    deliver_subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvWatch:
    """What is watched of a key-value bucket.

    Attributes:
        bucket: its name or its config; one that is not there is made, with the defaults if only named.
        include_history: first all revisions of each key that are kept, not only the last one.
        updates_only: nothing of what is there at the start.
        ignore_deletes: only values, not that a key was deleted or purged.
        meta_only: leave the values out.
        resume_from_revision: begin with this revision, and every one behind it.
        key_codec, value_codec: how keys and values are stored.
    """

    bucket: str | KeyValueConfig = field(kw_only=False)
    include_history: bool = False
    updates_only: bool = False
    ignore_deletes: bool = False
    meta_only: bool = False
    resume_from_revision: int | None = None
    key_codec: KeyCodec | None = None
    value_codec: ValueCodec | None = None

    @property
    def name(self) -> str:
        """The bucket's."""
        return self.bucket if isinstance(self.bucket, str) else self.bucket.bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjWatch:
    """What is watched of an object store.

    Attributes:
        bucket: its name or its config; one that is not there is made, with the defaults if only named.
        ignore_deletes: only what is put or changed, not that an object was deleted.
        include_history: all infos that the store has of an object.
        updates_only: nothing of what is there at the start.
    """

    bucket: str | ObjectStoreConfig = field(kw_only=False)
    ignore_deletes: bool = False
    include_history: bool = False
    updates_only: bool = False

    @property
    def name(self) -> str:
        """The bucket's."""
        return self.bucket if isinstance(self.bucket, str) else self.bucket.bucket
