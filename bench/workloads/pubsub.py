"""The rows of threads: `publish` and `listen` that block, and the memory that a large frame takes."""

import asyncio
import os
import tracemalloc
from typing import Any, Protocol

from bench import feeder
from bench.workloads import Meter, Run, clock

SUBJECT = "bench.threads"
BATCH = 100  # calls between two looks at the clock
WINDOW = 100  # steps of the feeder that may be under way: 20,000 messages
FRAME = 6 * 1024 * 1024  # bytes: an image of a camera


class Threaded(Protocol):
    """What is driven: a connection used from a thread that knows no event loop."""

    def publish(self, subject: str, payload: bytes) -> None:
        """Publish."""

    def flush(self) -> None:
        """Return when the server has all of it."""

    def subscribe(self, subject: str) -> None:
        """Subscribe."""

    def listen(self) -> Any:
        """Iterate over the payloads."""


async def publish(driver: Any, run: Run) -> float:
    """Messages a second of `publish` from one thread, the final flush included."""
    return await asyncio.to_thread(_publish, driver.threaded(run.url), bytes(run.size), run)


def _publish(client: Threaded, payload: bytes, run: Run) -> float:
    send, figure = client.publish, 0.0
    for seconds in (run.warmup, run.seconds):
        start, sent = clock(), 0
        while clock() - start < seconds:
            for _ in range(BATCH):
                send(SUBJECT, payload)
            sent += BATCH
        client.flush()
        figure = sent / (clock() - start)
    return figure


async def listen(driver: Any, run: Run) -> float:
    """Messages a second taken by a `for` loop in one thread; a process of its own sends them."""
    return await asyncio.to_thread(_listen, driver.threaded(run.url), run)


def _listen(client: Threaded, run: Run) -> float:
    client.subscribe(SUBJECT)
    client.flush()
    meter, count = Meter(run.warmup, run.seconds), 0
    with feeder.running(run.url, SUBJECT, "x" * run.size) as leaves:
        os.write(leaves, b"." * WINDOW)
        for _ in client.listen():
            count += 1
            if count % feeder.STEP == 0:
                if meter.tick(count):
                    return meter.rate
                os.write(leaves, b".")
    raise RuntimeError("the messages ended")


async def frame(driver: Any, run: Run) -> float:
    """Bytes that one frame takes at the most where it is sent and received by one process, all told."""
    return await asyncio.to_thread(_frame, driver.threaded(run.url))


def _frame(client: Threaded) -> float:
    client.subscribe(SUBJECT)
    messages = client.listen()
    for size in (1000, FRAME):  # what is made once is made with the first
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        client.publish(SUBJECT, bytes(size))
        assert len(next(messages)) == size
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
    return float(peak)
