"""Calling the user's functions without letting them hurt the connection."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from tidings.nats.core.options import ErrorCallback

__all__ = ["Callbacks", "check_loop", "is_coroutine_function", "start_task"]

logger = logging.getLogger("tidings.nats")

# Errors that wait for a slow error callback.
_MAX_ERRORS = 1000


def is_coroutine_function(callback: Callable[..., object]) -> bool:
    """Whether calling `callback` gives a coroutine; an object counts by its ``__call__``."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
        getattr(callback, "__call__", None)  # noqa: B004
    )


def start_task(
    coroutine: Coroutine[Any, Any, None], *, context: Context | None = None, name: str | None = None
) -> asyncio.Task[None]:
    """A task that begins in the loop's next turn, whatever task factory the loop has.

    An eager one would run it at once: before its owner has noted it, which would take a task that is done
    for one at work, and in the middle of what starts it.
    """
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), context=context, name=name)


def check_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse to be used in another event loop than `loop`, where nobody would ever be woken.

    Raises:
        RuntimeError: as asyncio itself does for a future of another loop.
    """
    running = asyncio._get_running_loop()
    if running is loop or running is None:
        return
    if loop.is_closed():
        raise RuntimeError(
            "the client was made in an event loop that is closed: connect() anew in each asyncio.run(), and "
            "close the client before its end"
        )
    raise RuntimeError(
        "the client belongs to another event loop: connect() in this one too, or call it over there with "
        "asyncio.run_coroutine_threadsafe(); for threads there is tidings.pubsub"
    )


class Callbacks:
    """Runs callbacks beside the connection and reports their errors.

    Args:
        error_cb: hears every error, one after the other; without it they are logged, and so are those
            that come while it is a thousand behind.
        on_error: called with every error first.
    """

    def __init__(
        self, error_cb: ErrorCallback | None, on_error: Callable[[Exception], object] | None = None
    ) -> None:
        self._error_cb = error_cb
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: deque[Exception] = deque()
        self._is_reporting = False

    def notify(self, callback: Callable[..., Any] | None, *args: Any) -> None:
        """Run `callback` soon, if there is one; what it raises is reported."""
        if callback is not None:
            self._start(self._run(callback, args))

    def report(self, error: Exception) -> None:
        """Hand `error` to the error callback, or log it."""
        if self._on_error is not None:
            self._on_error(error)
        if self._error_cb is None or len(self._errors) >= _MAX_ERRORS:
            _log(error)
            return
        self._errors.append(error)
        if not self._is_reporting:
            self._is_reporting = True
            self._start(self._report_all(self._error_cb))

    def runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` runs a callback."""
        return task in self._tasks

    async def finish(self, timeout: float) -> None:
        """Wait for what still runs, and for the reports it makes, at most `timeout` seconds.

        The rest is cancelled, and has as long again to come to its end. Who waits for it no longer, being
        cancelled, leaves none behind either.
        """
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        deadline = loop.time() + timeout
        while running := {task for task in self._tasks if task is not current}:
            try:
                _, late = await asyncio.wait(running, timeout=max(deadline - loop.time(), 0))
            except asyncio.CancelledError:
                for task in running:
                    task.cancel()
                raise
            if late:
                for task in late:
                    task.cancel()
                await asyncio.wait(late, timeout=timeout)
                return

    def _start(self, coroutine: Any) -> None:
        task = start_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            await _call(callback, *args)
        except Exception as error:
            self.report(error)

    async def _report_all(self, callback: ErrorCallback) -> None:
        # One task for all: a handler that fails on every message must not make a task a message.
        try:
            while self._errors:
                error = self._errors.popleft()
                try:
                    await _call(callback, error)
                except Exception:
                    logger.exception("the error callback failed on %s: %s", type(error).__name__, error)
        finally:
            self._is_reporting = False
            while self._errors:  # it was cancelled
                _log(self._errors.popleft())


def _log(error: Exception) -> None:
    logger.error("%s: %s", type(error).__name__, error, exc_info=error)


async def _call(callback: Callable[..., object], *args: object) -> None:
    result = callback(*args)
    if inspect.isawaitable(result):
        await result
