"""SIGINT and SIGTERM while an App runs: the first stops it, the second ends the process."""

import os
import signal
import socket
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from types import FrameType

__all__ = ["stop_signals"]


@contextmanager
def stop_signals(loop: AbstractEventLoop, on_first: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Have `loop` call `on_first` at the first SIGINT or SIGTERM of the block; the second ends the process.

    That one not by way of the loop: it must work while a handler blocks the loop too. Outside the main
    thread, where Python allows no signal handlers, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signalled = False
    context = (
        copy_context()
    )  # not that of whom the signal interrupts: a handler, whose message it is not about

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal signalled
        if signalled:
            with suppress(OSError):  # a closed stderr is no reason to stay
                os.write(2, b"second signal: ended before the stop was complete\n")
            os._exit(128 + number)
        signalled = True
        loop.call_soon_threadsafe(on_first, signal.Signals(number), context=context)

    with ExitStack() as restore:
        restore.enter_context(_woken_by_signals(loop))
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, handle)
            restore.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
        yield


@contextmanager
def _woken_by_signals(loop: AbstractEventLoop) -> Iterator[None]:
    """Have a signal end the loop's wait for events, whenever it comes.

    Python calls signal handlers between two of its instructions. For a signal that comes after the last
    of them, with the loop about to wait in the kernel, that is when something else happens: perhaps
    never. So the wait is for a socket too, which Python writes to as soon as the signal comes.
    """
    before = signal.set_wakeup_fd(-1)
    if before != -1:  # uvloop has one of its own, asyncio on Windows too
        signal.set_wakeup_fd(before)
        yield
        return
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        loop.add_reader(near, _empty, near)
        signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            now = signal.set_wakeup_fd(-1)
            if now != far.fileno():  # of `loop.add_signal_handler`, called meanwhile
                signal.set_wakeup_fd(now)
            loop.remove_reader(near)


def _empty(near: socket.socket) -> None:
    with suppress(BlockingIOError):
        while near.recv(256):
            pass
