"""Watching a bucket for a subscriber, also when the bucket goes and comes again."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from contextvars import copy_context
from logging import Logger
from typing import Any, Generic, Protocol, TypeVar

from tidings.messaging.adapter import Handle
from tidings.messaging.errors import TidingsError
from tidings.nats import Error
from tidings.nats.core.callbacks import start_task
from tidings.nats.jetstream import JetStream, KeyWatcher

from .buckets import Declare, open_bucket, refused
from .key_message import Change, body_of
from .options import NatsSource
from .ways import KvWatch

__all__ = ["KeyListening", "WatchListening"]

_IN_A_ROW = 1024  # entries handled before other tasks get a turn
_PATIENCE = 2.0  # seconds that a cancelled handler has to come to its end
_LEAST_WAIT, _MOST_WAIT = 1.0, 30.0  # seconds before a bucket that is gone is looked for


class Watcher(Protocol):
    """What a client's watchers have alike."""

    async def stop(self) -> None:
        """End it."""


W = TypeVar("W", bound=Watcher)


class WatchListening(ABC, Generic[W]):
    """Hands what changes in a bucket to a handler, one after the other.

    A bucket that is gone is looked for, or made as its config says, until it is there again; then all that is
    in it is handed out. Each try is logged.
    """

    def __init__(self, js: JetStream, source: NatsSource, handle: Handle, logger: Logger) -> None:
        self._js = js
        self._source = source
        self._handle = handle
        self._logger = logger
        self._watcher: W | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_looking = False
        self._gone = ""  # why it is looked for
        self._ended = False

    async def declare(self) -> None:
        """Look up or make the bucket and begin to watch: what changes from now on is not missed.

        Raises:
            SetupError: it is not as the source says, or cannot be watched so.
            BrokerConnectionError, RequestTimeoutError: the server does not answer.
        """
        self._watcher = await self._open(self._source.declare)

    @abstractmethod
    async def _open(self, declare: Declare) -> W:
        """Look up or make the bucket, and watch it. Raises as `declare`."""

    @abstractmethod
    def _changes(self, watcher: W) -> AsyncIterator[Any]:
        """What changes, in the shape of native messages."""

    def begin(self) -> None:
        """Hand out what comes; does nothing where it does already."""
        if self._task is None and self._watcher is not None and not self._ended:
            self._task = start_task(
                self._work(self._watcher), name=f"{self._source.channel} watcher", context=copy_context()
            )

    async def _work(self, watcher: W) -> None:
        while True:
            try:
                try:
                    await self._hand_out(watcher)
                finally:
                    await watcher.stop()
                return
            except Error as error:
                if self._is_over:
                    return
                self._gone = f"its bucket is gone, and is looked for: {error}"
                self._logger.error("%s: %s", self._source.channel, self._gone)
            watcher = await self._look()

    async def _hand_out(self, watcher: W) -> None:
        handle, handled = self._handle, 0
        async with aclosing(self._changes(watcher)) as changes:  # type: ignore[type-var]
            async for change in changes:
                await handle(change)
                handled += 1
                if handled % _IN_A_ROW == 0:
                    await asyncio.sleep(0)

    async def _look(self) -> W:
        wait, self._is_looking = _LEAST_WAIT, True
        watched = self._source.watched
        # With the defaults it would stand in the way of the one that its owner makes again.
        declare: Declare = "never" if watched and isinstance(watched.bucket, str) else self._source.declare
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _MOST_WAIT)
            try:
                self._watcher = watcher = await self._open(declare)
            except TidingsError as error:
                self._logger.error("%s: again in %g s: %s", self._source.channel, wait, error)
                continue
            self._is_looking = False
            self._logger.warning("%s: its bucket is there again", self._source.channel)
            return watcher

    @property
    def _is_over(self) -> bool:
        return self._ended or self._js.api.connection.is_closed

    @property
    def trouble(self) -> str:
        """What keeps messages from the handler; empty where nothing does."""
        if self._is_looking:
            return self._gone
        if self._task is None:
            return "it does not watch yet: call `start`"
        return "its watcher has ended" if self._task.done() else ""

    # The end

    @property
    def runs_here(self) -> bool:
        """Whether the current task is the one that hands out."""
        return self._task is not None and asyncio.current_task() is self._task

    async def end(self, timeout: float) -> None:
        """Watch no more. What was not handed out is in the bucket, for the next start.

        Called by its own handler it returns when nothing more can come.

        Args:
            timeout: seconds for a handler that runs; then it is cancelled.
        """
        self._ended = True
        watcher, task = self._watcher, self._task
        if watcher is not None:
            with suppress(Error):
                await watcher.stop()
        if task is None or self.runs_here:
            return
        if not self._is_looking:
            await asyncio.wait([task], timeout=max(timeout, 0))
        if not task.done():
            task.cancel()
            if not self._is_looking:
                self._logger.warning("%s: its handler was cancelled", self._source.channel)
            await asyncio.wait([task], timeout=_PATIENCE)


class KeyListening(WatchListening[KeyWatcher[bytes]]):
    """Hands the entries of a key-value bucket to a handler."""

    async def _open(self, declare: Declare) -> KeyWatcher[bytes]:
        watched = self._source.watched
        assert isinstance(watched, KvWatch)
        kv = await open_bucket(self._js, watched.bucket, declare, watched.key_codec, watched.value_codec)
        try:
            return await kv.watch(
                self._source.pattern.subject,
                include_history=watched.include_history,
                updates_only=watched.updates_only,
                ignore_deletes=watched.ignore_deletes,
                meta_only=watched.meta_only,
                resume_from_revision=watched.resume_from_revision,
            )
        except Error as error:
            raise refused(watched.name, error) from error

    async def _changes(self, watcher: KeyWatcher[bytes]) -> AsyncIterator[Change]:
        async for entry in watcher.entries():
            yield Change(body_of(entry), "", entry)
