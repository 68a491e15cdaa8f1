"""The JetStream rows of publishing: into a stream in files, made anew for each process."""

import json

from bench.drivers import ClientDriver
from bench.workloads import Run, clock, rate

STREAM = "BENCH"
SUBJECT = "stored.subject"
API_TIMEOUT = 20.0  # seconds; an old stream is deleted with all that is in it
BATCH = 20  # messages between two looks at the clock, where each is waited for
WINDOW_BATCH = 500  # … and where none is


async def stream(driver: ClientDriver, run: Run):
    """A client, and an empty stream that takes `bench.>`."""
    client = await driver.connect(run.url)
    await client.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"", timeout=API_TIMEOUT)
    config = {"name": STREAM, "subjects": ["stored.>"], "storage": "file"}
    answer = await client.request(
        f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(config).encode(), timeout=API_TIMEOUT
    )
    made = json.loads(getattr(answer, "data", None) or answer.payload)
    if "error" in made:
        raise RuntimeError(f"no stream: {made['error']}")
    return client


async def publish(driver: ClientDriver, run: Run) -> float:
    """Messages a second, each acknowledged before the next is sent."""
    send, payload = driver.jetstream(await stream(driver, run)).publish, bytes(run.size)

    async def section(seconds: float) -> int:
        sent, end = 0, clock() + seconds
        while clock() < end:
            for _ in range(BATCH):
                await send(SUBJECT, payload)
            sent += BATCH
        return sent

    return await rate(section, run)


async def publish_async(driver: ClientDriver, run: Run) -> float:
    """Messages a second with the library's own window, until the last is acknowledged."""
    js = driver.jetstream(await stream(driver, run))
    send, payload = js.publish_async, bytes(run.size)

    async def section(seconds: float) -> int:
        sent, end = 0, clock() + seconds
        while clock() < end:
            for _ in range(WINDOW_BATCH):
                await send(SUBJECT, payload)
            sent += WINDOW_BATCH
        await driver.acknowledged(js)
        return sent

    return await rate(section, run)
