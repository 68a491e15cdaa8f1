"""`with` and `async with` over something that starts and stops, blocking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

__all__ = ["Lifecycle"]


class Lifecycle:
    """Enters by ``start()``, leaves by ``stop()``; ``async with`` runs both in a thread."""

    def start(self) -> None:
        """Starts it."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stops it; does nothing where it is stopped."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = _in_thread(self.start)
        try:
            await asyncio.shield(asyncio.wrap_future(starting))
        except asyncio.CancelledError:
            # A thread cannot be cancelled: what it still starts is stopped when it is up.
            await asyncio.shield(asyncio.wrap_future(_in_thread(lambda: self._undo(starting))))
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.wrap_future(_in_thread(self.stop)))

    def _undo(self, starting: Future[None]) -> None:
        if starting.exception() is None:
            self.stop()


def _in_thread(blocking: Callable[[], None]) -> Future[None]:
    """Runs ``blocking`` to its end in a thread of its own, whatever becomes of who waits for it.

    The loop's executor would drop it when cancelled early, and let it wait while the pool is busy.
    """
    future: Future[None] = Future()

    def run() -> None:
        try:
            blocking()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name="nats-server-lifecycle").start()
    return future
