"""Watching keys: what they are, a mark, and then each change."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Generic, Self, TypeVar

from tidings.nats.errors import BadSubscriptionError, TimeoutError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import check_sequence
from tidings.nats.jetstream.errors import ConfigError, StreamNotFoundError
from tidings.nats.jetstream.kv.entry import Form, KeyValueEntry
from tidings.nats.jetstream.kv.errors import BucketNotFoundError
from tidings.nats.jetstream.kv.store import missing
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages
from tidings.nats.jetstream.ordered_reading import OrderedOptions

__all__ = ["KeyWatcher", "WatchSettings", "open_watcher"]

V = TypeVar("V")

_NEVER = datetime.max.replace(tzinfo=UTC)

_HEARTBEAT = 5.0
"""Seconds: so soon a watcher notices that its consumer is gone, or that the rest was removed meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchSettings:
    """What a watcher shows; see `KeyValue.watch`."""

    include_history: bool = False
    updates_only: bool = False
    ignore_deletes: bool = False
    meta_only: bool = False
    resume_from_revision: int | None = None
    inactive_threshold: float | timedelta | None = None

    def __post_init__(self) -> None:
        names = ("include_history", "updates_only", "resume_from_revision")
        given = [name for name in names if getattr(self, name) not in (False, None)]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} each say where to begin; give one")

    def consumer_options(self, subjects: list[str]) -> OrderedOptions:
        """How the stream is read for it. Raises ConfigError."""
        options: OrderedOptions = {"filter_subjects": subjects, "headers_only": self.meta_only}
        if self.resume_from_revision is not None:
            options["deliver_policy"] = "by_start_sequence"
            options["opt_start_seq"] = check_sequence("resume_from_revision", self.resume_from_revision)
        elif self.updates_only:
            options["deliver_policy"] = "new"
        else:
            options["deliver_policy"] = "all" if self.include_history else "last_per_subject"
        if self.inactive_threshold is not None:
            options["inactive_threshold"] = self.inactive_threshold
        return options


class KeyWatcher(Generic[V]):
    """Entries as an ``async for``: those that are there, None once, then each change. From `KeyValue.watch`.

    The None comes always, also where nothing is there. The iteration ends with `stop`, and when the client is
    closed.
    """

    def __init__(
        self, messages: OrderedMessages, mark: JetStreamMsg, form: Form[V], ignore_deletes: bool
    ) -> None:
        self._messages = messages
        self._mark = mark
        self._form = form
        self._ignore_deletes = ignore_deletes
        self._is_current = False

    @property
    def is_current(self) -> bool:
        """Whether all that was there at the beginning was taken, and the None behind it."""
        return self._is_current

    def __aiter__(self) -> AsyncIterator[KeyValueEntry[V] | None]:
        return self

    async def __anext__(self) -> KeyValueEntry[V] | None:
        while True:
            try:
                msg = await self._messages.take()
            except BucketNotFoundError:
                raise
            except StreamNotFoundError as error:
                raise missing(self._form.bucket, error) from error
            if msg is None:
                raise StopAsyncIteration
            if msg is self._mark:
                self._is_current = True
                return None
            entry = KeyValueEntry(self._form, msg.data, msg)
            if not (self._ignore_deletes and entry.operation != "PUT"):
                return entry

    async def updates(self, timeout: float | None = 5.0) -> KeyValueEntry[V] | None:
        """The next entry, or None where the initial ones end.

        Args:
            timeout: seconds; None waits until there is one.

        Raises:
            TimeoutError: there was none in time; the watcher goes on.
            BadSubscriptionError: it was stopped, or the client is closed.
            BucketNotFoundError: the bucket was deleted.
        """
        try:
            async with asyncio.timeout(timeout):
                return await anext(self)
        except StopAsyncIteration:
            raise BadSubscriptionError(f"the watcher of bucket {self._form.bucket!r} has ended") from None
        except builtins.TimeoutError as error:
            if isinstance(error, TimeoutError):
                raise
            raise TimeoutError(f"nothing of bucket {self._form.bucket!r} within {timeout} s") from None

    async def initial(self) -> list[KeyValueEntry[V]]:
        """What was there at the beginning, as far as it was not taken; then iterate for what changes."""
        entries: list[KeyValueEntry[V]] = []
        if not self._is_current:
            async for entry in self:
                if entry is None:
                    break
                entries.append(entry)
        return entries

    async def entries(self) -> AsyncIterator[KeyValueEntry[V]]:
        """The same without the None."""
        async for entry in self:
            if entry is not None:
                yield entry

    @property
    def pending(self) -> int:
        """Entries that came and were not taken."""
        return self._messages.pending_msgs

    async def stop(self) -> None:
        """End it, and have the server forget it. Idempotent."""
        await self._messages.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def open_watcher(
    api: Api,
    stream: str,
    form: Form[V],
    subjects: list[str],
    settings: WatchSettings,
    recheck: Callable[[datetime], Awaitable[None]],
) -> KeyWatcher[V]:
    """A watcher whose consumer is there.

    Args:
        recheck: raises BucketNotFoundError when the bucket is another one than at that time.

    Raises as `KeyValue.watch`.
    """
    consumer = OrderedConsumer(api, stream, **settings.consumer_options(subjects))
    messages = consumer.messages(heartbeat=_HEARTBEAT)
    mark, began = JetStreamMsg(), _NEVER

    async def is_the_same() -> None:
        await recheck(began)

    try:
        await messages.open(mark, is_the_same)
    except StreamNotFoundError as error:
        raise missing(form.bucket, error) from error
    if messages.info is not None and messages.info.created is not None:
        began = messages.info.created
    return KeyWatcher(messages, mark, form, settings.ignore_deletes)
