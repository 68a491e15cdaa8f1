"""One run of an App: who asks for its end, and how its start is abandoned."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from logging import Logger
from typing import Any

from tidings.messaging.adapter import Adapter
from tidings.messaging.errors import ConnectionLostError

__all__ = ["Run"]


class Run:
    """What ends a run. Made in the task that runs.

    Args:
        is_starting: whether the App is starting now, and so can be interrupted.
        logger: the App's.

    Attributes:
        loop: where it runs.
        asked: set when somebody asked for its end.
        stopped_by: the signal that did; None where it was not one.
        lost: the error of a connection that is lost for good; None where none is.
    """

    def __init__(self, is_starting: Callable[[], bool], logger: Logger) -> None:
        self.loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        self.stopped_by: signal.Signals | None = None
        self.lost: ConnectionLostError | None = None
        self._task = asyncio.current_task()
        self._is_starting = is_starting
        self._interrupted = False
        self._logger = logger

    def ask_stop(self, abandon_start: bool) -> None:
        """Have it stop, when it has started or at once."""
        self.asked.set()
        if abandon_start and self._is_starting() and not self._interrupted:
            assert self._task is not None
            self._interrupted = self._task.cancel()

    def on_signal(self, number: signal.Signals) -> None:
        """Stop for the first signal."""
        self.stopped_by = number
        self._logger.info("%s received, stopping; a second one ends the process at once", number.name)
        self.ask_stop(abandon_start=True)

    @contextmanager
    def watching(self, adapters: Iterable[Adapter[Any, Any]]) -> Iterator[None]:
        """Stop as well when the connection of one of them is lost for good."""
        watched = list(adapters)
        for adapter in watched:
            adapter.on_lost = self._on_lost
        try:
            yield
        finally:
            for adapter in watched:
                adapter.on_lost = None

    async def start(self, start: Coroutine[Any, Any, None]) -> None:
        """Await the App's start; returns early where it was asked to stop meanwhile."""
        assert self._task is not None
        cancelled_by_others = self._task.cancelling()
        try:
            await start
        except asyncio.CancelledError:
            if not self._interrupted or self._task.cancelling() > cancelled_by_others + 1:
                raise
        finally:
            if self._interrupted:
                self._task.uncancel()

    def _on_lost(self, error: ConnectionLostError) -> None:
        self.lost = self.lost or error
        self.ask_stop(abandon_start=True)
