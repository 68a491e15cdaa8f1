"""The JetStream rows of reading: from a stream in files, filled before the clock runs.

Each section has a consumer of its own, which begins at the first message, so that all do the same work.
"""

import json

from bench.drivers import ClientDriver
from bench.workloads import Run, clock, rate

MESSAGES = 200_000  # more than anybody reads in a section
FILL_WINDOW = 1000  # messages under way while the stream is filled
FETCH = 256
BATCH = 256  # messages between two looks at the clock
API_TIMEOUT = 20.0  # seconds


async def filled(driver: ClientDriver, run: Run):
    """A client, and the name of a stream that holds MESSAGES of this size; the first one to come fills it."""
    client = await driver.connect(run.url)
    stream = f"READ{run.size}"
    config = {"name": stream, "subjects": [f"read.{run.size}"], "storage": "file"}
    made = await client.request(
        f"$JS.API.STREAM.CREATE.{stream}", json.dumps(config).encode(), timeout=API_TIMEOUT
    )
    answer = json.loads(getattr(made, "data", None) or made.payload)
    if "error" in answer:
        raise RuntimeError(f"no stream: {answer['error']}")
    missing = MESSAGES - answer["state"]["messages"]
    js, payload = driver.jetstream(client), bytes(run.size)
    while missing > 0:
        for _ in range(FILL_WINDOW):
            await js.publish_async(f"read.{run.size}", payload)
        await driver.acknowledged(js)
        missing -= FILL_WINDOW
    return js, stream


async def messages(driver: ClientDriver, run: Run) -> float:
    """Messages a second of an iterator that goes on, each acknowledged."""
    js, stream = await filled(driver, run)

    async def section(seconds: float) -> int:
        read, consumer = 0, await driver.consumer(js, stream)
        async with driver.read(consumer) as iterator:
            end = clock() + seconds
            async for msg in iterator:
                await msg.ack()
                read += 1
                if read == MESSAGES or (read % BATCH == 0 and clock() >= end):
                    break
        return read

    return await rate(section, run)


async def fetch(driver: ClientDriver, run: Run) -> float:
    """Messages a second, FETCH at a time, each acknowledged."""
    js, stream = await filled(driver, run)

    async def section(seconds: float) -> int:
        read, consumer = 0, await driver.consumer(js, stream)
        end = clock() + seconds
        while clock() < end and read + FETCH <= MESSAGES:
            found = await driver.fetch(consumer, FETCH)
            for msg in found:
                await msg.ack()
            read += len(found)
        return read

    return await rate(section, run)


async def ordered(driver: ClientDriver, run: Run) -> float:
    """Messages a second through an ordered consumer."""
    js, stream = await filled(driver, run)

    async def section(seconds: float) -> int:
        read = 0
        async with driver.read_in_order(js, stream) as iterator:
            end = clock() + seconds
            async for _ in iterator:
                read += 1
                if read == MESSAGES or (read % BATCH == 0 and clock() >= end):
                    break
        return read

    return await rate(section, run)
