"""The workers that read a stream."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tidings.brokers.nats.listening import StreamListening
from tidings.brokers.nats.options import NatsSource


class Ended:
    """A reading that is over before it begins, as one of a connection that is closed."""

    pending_msgs = 0

    def __init__(self) -> None:
        self.worker_ends = asyncio.Semaphore(0)

    def messages(self, **options: Any) -> "Ended":
        return self

    def start(self, workers: set[asyncio.Task[None]]) -> None:
        self.workers = workers

    def worker_ended(self) -> None:
        assert asyncio.current_task() not in self.workers
        self.worker_ends.release()

    async def __aiter__(self) -> AsyncIterator[Any]:
        return
        yield


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
async def test_workers_that_are_done_at_once_are_not_taken_for_ones_at_work() -> None:
    async def handle(message: object) -> None:
        raise AssertionError("there is none")

    consumer: Any = Ended()
    listening = StreamListening(
        js=None,  # type: ignore[arg-type]  # nothing is asked of it
        source=NatsSource("orders", stream="S", workers=3),
        handle=handle,
        logger=logging.getLogger("tidings"),
    )
    listening._consumer = consumer
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        listening.begin()
    finally:
        loop.set_task_factory(None)
    async with asyncio.timeout(20):
        for _ in range(3):
            await consumer.worker_ends.acquire()
    assert listening.tasks == set()
