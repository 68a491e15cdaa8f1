"""Marks in a key-value bucket: what services on NATS share of what must happen once."""

from collections.abc import Awaitable
from contextlib import suppress
from math import ceil
from typing import Any, TypeVar

from tidings.messaging.broker import Broker
from tidings.messaging.errors import SetupError, StoreError
from tidings.messaging.marks import Mark, Marks
from tidings.nats import Error
from tidings.nats.jetstream import JetStream, KeyValue, KeyValueConfig
from tidings.nats.jetstream.kv.errors import KeyExistsError, KeyNotFoundError, KeyWrongLastSequenceError

from .buckets import open_bucket

__all__ = ["KvMarks"]

T = TypeVar("T")
_MARKER_TTL = 1.0  # seconds that the server says that a mark is gone


class KvMarks:
    """A store of marks in a key-value bucket, for all who name it::

        @broker.subscriber("orders", queue="w", dedupe=Dedupe(store=KvMarks("handled")))

    The server forgets each mark when its time is over, so the bucket holds no more than that. It takes
    nats-server 2.11, and rounds a time up to whole seconds.

    Args:
        bucket: its name, made where it is not there; or its config, for replicas or storage in memory. It
            needs ``limit_marker_ttl``, and ``direct=False``, so that the leader answers and no replica that
            is behind.
        broker: whose connection; None for that of the broker that asks, which then is a `NatsBroker`.
    """

    def __init__(self, bucket: str | KeyValueConfig, *, broker: Broker[Any] | None = None) -> None:
        self.bucket = bucket
        self._broker = broker

    @property
    def name(self) -> str:
        """Of the bucket."""
        return self.bucket if isinstance(self.bucket, str) else self.bucket.bucket

    async def open(self, adapter: Any) -> Marks:
        """The marks. SetupError: the bucket is there with another config, or cannot be made."""
        jetstream = getattr(adapter if self._broker is None else self._broker.adapter, "jetstream", None)
        if not isinstance(jetstream, JetStream):
            raise SetupError("KvMarks are in a bucket of NATS, and this broker is another one: say broker=")
        config = self.bucket
        if isinstance(config, str):
            config = KeyValueConfig(bucket=config, limit_marker_ttl=_MARKER_TTL, direct=False)
        if not config.limit_marker_ttl or config.history != 1 or config.direct:
            raise SetupError(
                f"bucket {config.bucket!r} for KvMarks: give it limit_marker_ttl=1, history=1, direct=False"
            )
        return _Open(await open_bucket(jetstream, config))


class _Open:
    """Marks, over a connection; see `messaging.marks.Marks`."""

    def __init__(self, bucket: KeyValue) -> None:
        self._bucket = bucket

    async def create(self, key: str, text: str, seconds: float | None) -> int | None:
        """See `Marks.create`."""
        try:
            return await self._asked(self._bucket.create(key, text, ttl=_ttl(seconds)))
        except KeyExistsError:
            return None

    async def get(self, key: str) -> Mark | None:
        """See `Marks.get`."""
        try:
            entry = await self._asked(self._bucket.get(key))
        except KeyNotFoundError:
            return None
        return Mark(entry.value.decode(errors="replace"), entry.revision)

    async def update(self, key: str, text: str, revision: int, seconds: float | None) -> int | None:
        """See `Marks.update`."""
        try:
            return await self._asked(self._bucket.update(key, text, revision, ttl=_ttl(seconds)))
        except KeyWrongLastSequenceError:
            return None

    async def delete(self, key: str, revision: int) -> None:
        """See `Marks.delete`."""
        with suppress(KeyWrongLastSequenceError):
            await self._asked(self._bucket.purge(key, revision, ttl=_MARKER_TTL))

    async def _asked(self, asking: Awaitable[T]) -> T:
        try:
            return await asking
        except (KeyNotFoundError, KeyWrongLastSequenceError):
            raise
        except Error as error:
            raise StoreError(f"bucket {self._bucket.bucket!r} does not answer: {error}") from error


def _ttl(seconds: float | None) -> float | None:
    return None if seconds is None else float(max(1, ceil(seconds)))
