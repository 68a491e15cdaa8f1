"""The threads of handlers that are plain functions."""

import asyncio
import threading

import pytest

from tidings.messaging.threads import Threads


@pytest.fixture
def threads() -> Threads:
    return Threads(2)


async def test_a_result_and_an_error_come_back(threads: Threads) -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    call = threads.wrap(divide)
    assert await call(4, 2) == 2
    with pytest.raises(ZeroDivisionError):
        await call(1, 0)
    threads.close()


async def test_a_stop_iteration_does_not_hang(threads: Threads) -> None:
    def exhausted() -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await threads.wrap(exhausted)()
    threads.close()


async def test_what_a_plain_function_returns_to_await_is_awaited(threads: Threads) -> None:
    async def inner() -> int:
        return 5

    assert await threads.wrap(lambda: inner())() == 5
    threads.close()


async def test_no_thread_is_started_before_it_is_needed_and_a_close_is_no_end(threads: Threads) -> None:
    threads.close()
    name = threads.wrap(lambda: threading.current_thread().name)
    before = set(threading.enumerate())
    assert (await name()).startswith("tidings-handler")
    assert len(set(threading.enumerate()) - before) == 1
    threads.close()
    assert (await name()).startswith("tidings-handler")
    threads.close()


async def test_no_more_than_so_many_run_at_once(threads: Threads) -> None:
    running, most, lock = 0, 0, threading.Lock()
    pair = threading.Barrier(2, timeout=10)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pair.wait()
        with lock:
            running -= 1

    call = threads.wrap(work)
    await asyncio.gather(*(call() for _ in range(6)))
    assert most == 2
    threads.close()
