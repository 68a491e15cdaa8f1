"""One thread with one event loop, for all backends of the process that need one.

It is started by the first of them and ended at the interpreter's exit. The child of a fork has no such
thread; it starts another one when it makes a backend of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, ParamSpec, Protocol, TypeVar

from tidings.pubsub import lifetime

__all__ = ["Background", "Endangered", "background"]

logger = logging.getLogger("tidings.pubsub")

P = ParamSpec("P")
T = TypeVar("T")

# Seconds that the loop has to end at exit; the thread is a daemon, so that nothing waits longer for it.
_PATIENCE = 2.0


class Endangered(Protocol):
    """Whoever lives in the loop."""

    def loop_has_ended(self, error: BaseException) -> None:
        """It ended by `error` while the program goes on: nothing runs in it any more. In its thread."""


class Background:
    """A running event loop in a thread of its own.

    Attributes:
        loop: the loop.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(_Daemons())
        self._inhabitants: weakref.WeakSet[Endangered] = weakref.WeakSet()
        self._is_ending = False
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="tidings-pubsub", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive() and not self._has_failed

    @property
    def is_here(self) -> bool:
        """Whether it is the loop's own thread that asks: it may wait for nothing that the loop does."""
        return threading.current_thread() is self._thread

    def inhabit(self, who: Endangered) -> None:
        """Have `who` be told if the loop ends. Called in the loop."""
        self._inhabitants.add(who)

    def call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """Run `work` in the loop and wait for it, at most `timeout` seconds.

        Raises:
            TimeoutError: it took longer, and was cancelled; or what `work` raises.
            RuntimeError: called by the loop itself, which would wait for itself; or the loop has ended.
        """
        if self.is_here:
            work.close()
            raise RuntimeError("a call that waits for the event loop was made in the event loop itself")
        try:
            done: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:
            work.close()
            raise
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
        self._is_ending = True
        self.soon(self.loop.stop)
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self._run_until_stopped()
            for task in (tasks := asyncio.all_tasks(self.loop)):
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE / 2))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        except BaseException as error:
            # Of the selector, say. What waits in the loop would wait for ever.
            self._has_failed = True
            logger.critical("the event loop has ended: %r", error)
            for each in list(self._inhabitants):
                each.loop_has_ended(error)
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _run_until_stopped(self) -> None:
        while not self._is_ending:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # A `sys.exit` in a callback ends its task, as it does in any thread, and not the others'.
                logger.error("%r in the event loop of tidings.pubsub", error)


class _Daemons(ThreadPoolExecutor):
    """A daemon thread for each piece of work that would block the loop: a name to look up, a file to read.

    The threads of the usual executor are waited for at exit, however long a name server takes, and end when
    the main thread does, though others may still use a backend that has to come back.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start it."""
        done: Future[T] = Future()

        def work() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as error:
                    done.set_exception(error)
                else:
                    done.set_result(result)

        threading.Thread(target=work, name="tidings-pubsub-work", daemon=True).start()
        return done


_lock = threading.Lock()
_running: Background | None = None
# Those of the parents of this process: nothing that ends them may run here, as their sockets are shared.
_abandoned: list[Background] = []


def background() -> Background:
    """The one of this process, started if need be. Raises RuntimeError when the interpreter ends."""
    global _running
    with _lock:
        if _running is None or not _running.is_alive:
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
