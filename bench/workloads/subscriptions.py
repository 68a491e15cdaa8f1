"""The rows of many subscriptions: what each costs in time a message, and in memory."""

import asyncio
import os
import time
from pathlib import Path

from bench import feeder
from bench.drivers import ClientDriver
from bench.workloads import Run, clock

SUBJECT = "bench.many"
PAYLOAD = "0123456789abcdef"
MANY = 10_000
WINDOW = 20_000  # messages under way
TIMEOUT = 30.0  # seconds


async def one(driver: ClientDriver, run: Run) -> float:
    """Microseconds of CPU time that a message costs the receiver, whose one subscription gets all."""
    return await _received(driver, run, [SUBJECT])


async def beside(driver: ClientDriver, run: Run) -> float:
    """The same, while MANY others are subscribed and get nothing."""
    return await _received(driver, run, [*(f"{SUBJECT}.{number}" for number in range(MANY)), SUBJECT])


async def many(driver: ClientDriver, run: Run) -> float:
    """The same, the messages on MANY subjects in turn, each with a subscription of its own."""
    return await _received(driver, run, [f"{SUBJECT}.{number}" for number in range(MANY)], spread=MANY)


async def _received(driver: ClientDriver, run: Run, subjects: list[str], spread: int = 0) -> float:
    # CPU time and not the rate: for the server, too, many subjects are more work than one.
    count, start, finished = 0, (0.0, 0.0, 0), asyncio.Event()
    warmup = 2 * WINDOW  # by then each subscription got some

    def handle(_msg: object) -> None:
        nonlocal count
        count += 1
        if count % feeder.STEP == 0:
            os.write(leave, b".")
            step()

    def step() -> None:
        nonlocal start
        if count == warmup:
            start = clock(), time.process_time(), count
        elif count > warmup and clock() - start[0] >= run.seconds:
            finished.set()

    client = await driver.connect(run.url)
    for subject in subjects:
        await driver.on_message(client, subject, handle)
    await client.flush()
    with feeder.running(run.url, SUBJECT, PAYLOAD, spread) as leave:
        os.write(leave, b"." * (WINDOW // feeder.STEP))
        async with asyncio.timeout(TIMEOUT):
            await finished.wait()
        return (time.process_time() - start[1]) / (count - start[2]) * 1_000_000


async def memory(driver: ClientDriver, run: Run) -> float:
    """Bytes that each of MANY subscriptions adds to the memory of the process."""
    client = await driver.connect(run.url)
    await driver.on_message(client, f"{SUBJECT}.first", _ignore)
    await client.flush()
    before = _resident()
    for number in range(MANY):
        await driver.on_message(client, f"{SUBJECT}.{number}", _ignore)
    await client.flush()
    return (_resident() - before) / MANY


def _ignore(_msg: object) -> None:
    pass


def _resident() -> int:
    """Bytes of memory that the process holds, as Linux counts them."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
