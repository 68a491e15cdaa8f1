"""Watching objects: what is there, a mark, and then each change."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tidings.nats.errors import BadSubscriptionError, TimeoutError
from tidings.nats.jetstream.errors import ConfigError, StreamNotFoundError
from tidings.nats.jetstream.message import JetStreamMsg, parse_metadata
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.store import Store, missing
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages

__all__ = ["ObjectWatcher", "WatchSettings", "open_watcher"]

_HEARTBEAT = 5.0
"""Seconds: so soon a watcher notices that its consumer is gone, or that the rest was removed meanwhile."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """What a watcher shows; see `ObjectStore.watch`."""

    ignore_deletes: bool = False
    include_history: bool = False
    updates_only: bool = False

    def __post_init__(self) -> None:
        if self.include_history and self.updates_only:
            raise ConfigError("include_history and updates_only each say where to begin; give one")


class ObjectWatcher:
    """Infos as an ``async for``: of what is there, None once, then of each change. From `ObjectStore.watch`.

    The None comes always, also where nothing is there. The iteration ends with `stop`, and when the client is
    closed.
    """

    def __init__(
        self, messages: OrderedMessages, mark: JetStreamMsg, bucket: str, ignore_deletes: bool
    ) -> None:
        self._messages = messages
        self._mark = mark
        self._bucket = bucket
        self._ignore_deletes = ignore_deletes
        self._is_current = False

    @property
    def is_current(self) -> bool:
        """Whether all that was there at the beginning was taken, and the None behind it."""
        return self._is_current

    def __aiter__(self) -> AsyncIterator[ObjectInfo | None]:
        return self

    async def __anext__(self) -> ObjectInfo | None:
        while True:
            try:
                message = await self._messages.take()
            except StreamNotFoundError as error:
                raise missing(self._bucket, error) from error
            if message is None:
                raise StopAsyncIteration
            if message is self._mark:
                self._is_current = True
                return None
            metadata = parse_metadata(message.reply)
            info = ObjectInfo.of_json(message.data, metadata.sequence.stream, metadata.timestamp)
            if not (self._ignore_deletes and info.deleted):
                return info

    async def updates(self, timeout: float | None = 5.0) -> ObjectInfo | None:
        """The next info, or None where the initial ones end.

        Args:
            timeout: seconds; None waits until there is one.

        Raises:
            TimeoutError: there was none in time; the watcher goes on.
            BadSubscriptionError: it was stopped, or the client is closed.
            ObjectStoreNotFoundError: the bucket was deleted.
            StoredInfoError: what was stored there is no info; the watcher goes on.
        """
        try:
            async with asyncio.timeout(timeout):
                return await anext(self)
        except StopAsyncIteration:
            raise BadSubscriptionError(f"the watcher of object store {self._bucket!r} has ended") from None
        except builtins.TimeoutError as error:
            if isinstance(error, TimeoutError):
                raise
            raise TimeoutError(f"nothing of object store {self._bucket!r} within {timeout} s") from None

    async def initial(self) -> list[ObjectInfo]:
        """What was there at the beginning, as far as it was not taken; then iterate for what changes."""
        infos: list[ObjectInfo] = []
        if not self._is_current:
            async for info in self:
                if info is None:
                    break
                infos.append(info)
        return infos

    async def stop(self) -> None:
        """End it, and have the server forget it. Idempotent."""
        await self._messages.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def open_watcher(store: Store, settings: WatchSettings) -> ObjectWatcher:
    """A watcher whose consumer is there. Raises as `ObjectStore.watch`."""
    consumer = OrderedConsumer(
        store.js.api,
        store.stream_name,
        filter_subjects=f"$O.{store.bucket}.M.>",
        deliver_policy="new"
        if settings.updates_only
        else "all"
        if settings.include_history
        else "last_per_subject",
    )
    messages = consumer.messages(heartbeat=_HEARTBEAT)
    mark = JetStreamMsg()
    try:
        await messages.open(mark)
    except StreamNotFoundError as error:
        raise missing(store.bucket, error) from error
    return ObjectWatcher(messages, mark, store.bucket, settings.ignore_deletes)
