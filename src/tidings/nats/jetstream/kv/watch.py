"""Watching keys: what they are, a mark, and then each change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, Self, TypeVar

from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import check_sequence
from tidings.nats.jetstream.errors import ConfigError, StreamNotFoundError
from tidings.nats.jetstream.kv.entry import Form, KeyValueEntry
from tidings.nats.jetstream.kv.errors import BucketNotFoundError
from tidings.nats.jetstream.kv.store import missing
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_reading import OrderedOptions
from tidings.nats.jetstream.watcher import Watcher

__all__ = ["KeyWatcher", "WatchSettings", "open_watcher"]

V = TypeVar("V")

_NEVER = datetime.max.replace(tzinfo=UTC)


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


class KeyWatcher(Watcher[KeyValueEntry[V]], Generic[V]):
    """Entries as an ``async for``: those that are there, None once, then each change. From `KeyValue.watch`.

    The None comes always, also where nothing is there. The iteration ends with `stop`, and when the client is
    closed.
    """

    def __init__(self, consumer: OrderedConsumer, form: Form[V], ignore_deletes: bool) -> None:
        super().__init__(consumer, f"bucket {form.bucket!r}")
        self._form = form
        self._ignore_deletes = ignore_deletes

    def _read(self, message: JetStreamMsg) -> KeyValueEntry[V] | None:
        entry = KeyValueEntry(self._form, message.data, message)
        return None if self._ignore_deletes and entry.operation != "PUT" else entry

    def _missing(self, error: StreamNotFoundError) -> StreamNotFoundError:
        return error if isinstance(error, BucketNotFoundError) else missing(self._form.bucket, error)

    async def entries(self) -> AsyncIterator[KeyValueEntry[V]]:
        """The same without the None."""
        async for entry in self:
            if entry is not None:
                yield entry

    async def _open(self, recheck: Callable[[datetime], Awaitable[None]]) -> Self:
        began = _NEVER

        async def is_the_same() -> None:
            await recheck(began)

        await self._begin(is_the_same)
        info = self._messages.info
        if info is not None and info.created is not None:
            began = info.created
        return self


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
    return await KeyWatcher(consumer, form, settings.ignore_deletes)._open(recheck)
