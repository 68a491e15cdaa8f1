"""The threads in which handlers that are plain `def` run, so that they do not block the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import Any

__all__ = ["Threads"]


class Threads:
    """A pool of at most `size` threads, started when first used and again after `close`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: ThreadPoolExecutor | None = None

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """`function` as one to await, run in a thread with the context variables of the caller."""

        def call(*args: Any) -> Any:
            try:
                return function(*args)
            except StopIteration as error:  # a future cannot hold it
                raise RuntimeError(f"{function!r} raised StopIteration") from error

        async def call_in_thread(*args: Any) -> Any:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._size, thread_name_prefix="tidings-handler")
            run = partial(copy_context().run, call, *args)
            result = await asyncio.get_running_loop().run_in_executor(self._pool, run)
            return await result if isawaitable(result) else result

        return call_in_thread

    def close(self) -> None:
        """Let the threads end with what they do; only the end of the program waits for them."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None
