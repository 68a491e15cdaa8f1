"""The client rows: publish, publish and receive, request."""

import asyncio

from bench.drivers import ClientDriver
from bench.workloads import Arrivals, Run, clock, rate

SUBJECT = "bench.subject"
BATCH_BYTES = 64 * 1024  # the clock is read once a batch
BATCH_MESSAGES = 500
# What may be under way: below the clients' pending limits (65,536 messages, 64 MB) and the
# server's (64 MB a connection).
WINDOW_MESSAGES = 20_000
WINDOW_BYTES = 16 * 1024 * 1024
REQUESTERS = 100
REQUEST_TIMEOUT = 10.0  # seconds


def batch_of(size: int) -> int:
    """How many messages of that size between two looks at the clock."""
    return max(1, min(BATCH_MESSAGES, BATCH_BYTES // size))


def window_of(size: int) -> int:
    """How many messages of that size may be under way."""
    return min(WINDOW_MESSAGES, WINDOW_BYTES // size)


async def publish(driver: ClientDriver, run: Run) -> float:
    """Messages a second of `await client.publish(…)`, the final flush included."""
    client = await driver.connect(run.url)
    send, subject, payload = client.publish, driver.address(SUBJECT), bytes(run.size)
    batch = batch_of(run.size)

    async def section(seconds: float) -> int:
        sent, end = 0, clock() + seconds
        while clock() < end:
            for _ in range(batch):
                await send(subject, payload)
            sent += batch
        await client.flush()
        return sent

    return await rate(section, run)


async def publish_and_receive(driver: ClientDriver, run: Run) -> float:
    """Messages a second published and received on one connection, through a callback."""
    client, arrivals = await driver.connect(run.url), Arrivals()
    await driver.on_message(client, SUBJECT, arrivals.count)
    return await _through(client, driver, arrivals, run)


async def publish_and_iterate(driver: ClientDriver, run: Run) -> float:
    """The same, received by `async for`."""
    client, arrivals = await driver.connect(run.url), Arrivals()
    messages = await driver.messages(client, SUBJECT)

    async def read() -> None:
        async for msg in messages:
            arrivals.count(msg)

    reader = asyncio.create_task(read())
    figure = await _through(client, driver, arrivals, run)
    reader.cancel()
    return figure


async def _through(client, driver: ClientDriver, arrivals: Arrivals, run: Run) -> float:
    await client.flush()  # the subscription has reached the server
    send, subject, payload = client.publish, driver.address(SUBJECT), bytes(run.size)
    batch, window = batch_of(run.size), window_of(run.size)
    sent = 0

    async def section(seconds: float) -> int:
        nonlocal sent
        before, end = sent, clock() + seconds
        while clock() < end:
            for _ in range(batch):
                await send(subject, payload)
            sent += batch
            if sent - arrivals.seen > window:
                await arrivals.reach(sent - window // 2)
        await arrivals.reach(sent)
        return sent - before

    return await rate(section, run)


async def request(driver: ClientDriver, run: Run) -> float:
    """Milliseconds a round trip, one after the other; a second connection answers."""
    requester = await _with_responder(driver, run.url)
    ask, subject, payload = requester.request, SUBJECT, bytes(run.size)

    async def section(seconds: float) -> int:
        done, end = 0, clock() + seconds
        while clock() < end:
            await ask(subject, payload, timeout=REQUEST_TIMEOUT)
            done += 1
        return done

    return 1000 / await rate(section, run)


async def concurrent_requests(driver: ClientDriver, run: Run) -> float:
    """Requests a second of REQUESTERS callers over one connection, each waiting for its answer."""
    requester = await _with_responder(driver, run.url)
    ask, subject, payload = requester.request, SUBJECT, bytes(run.size)

    async def section(seconds: float) -> int:
        end = clock() + seconds

        async def caller() -> int:
            done = 0
            while clock() < end:
                await ask(subject, payload, timeout=REQUEST_TIMEOUT)
                done += 1
            return done

        return sum(await asyncio.gather(*(caller() for _ in range(REQUESTERS))))

    return await rate(section, run)


async def _with_responder(driver: ClientDriver, url: str):
    responder, requester = await driver.connect(url), await driver.connect(url)
    await driver.serve(responder, SUBJECT)
    await responder.flush()
    await responder.flush()  # nats-py may write its first PING before what it gathered, the subscription
    return requester
