"""One thread with one event loop, for all backends of the process that need one.

It is started by the first of them and ended at the interpreter's exit. The child of a fork has no such
thread; it starts another one when it makes a backend of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from tidings.pubsub import lifetime

__all__ = ["Background", "background"]

T = TypeVar("T")

# Seconds that the loop has to end at exit; the thread is a daemon, so that nothing waits longer for it.
_PATIENCE = 2.0


class Background:
    """A running event loop in a thread of its own.

    Attributes:
        loop: the loop.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tidings-pubsub", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run `work` in the loop and wait for it, at most `timeout` seconds.

        Raises:
            TimeoutError: it took longer, and was cancelled; or what `work` raises.
            RuntimeError: called by the loop itself, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a call that waits for the event loop was made in the event loop itself")
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return done.result(timeout)
        except FutureTimeoutError:
            if done.done():
                raise
            raise TimeoutError(f"it took over {timeout:g} s") from None
        finally:
            done.cancel()  # after a KeyboardInterrupt, say; nothing where it is done

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """Call `function` in the loop. Does nothing when that has ended."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def stop(self) -> None:
        """End the loop and the thread, and wait for that a little."""
        self.soon(self.loop.stop)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            for task in (tasks := asyncio.all_tasks(self.loop)):
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE / 2))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()


_lock = threading.Lock()
_running: Background | None = None
# Those of the parents of this process: nothing that ends them may run here, as their sockets are shared.
_abandoned: list[Background] = []


def background() -> Background:
    """The one of this process, started if need be."""
    global _running
    with _lock:
        if _running is None:
            _running = Background()
        return _running


def _stop() -> None:
    if _running is not None:
        _running.stop()


def _forget() -> None:
    """In the child of a fork."""
    global _lock, _running
    _lock = threading.Lock()
    if _running is not None:
        _abandoned.append(_running)
        _running = None


lifetime.after_all(at_exit=_stop, in_child=_forget)
