"""The framework's row on a stream: a handler that gets stored messages, each acknowledged after it.

The stream is filled before the clock runs, and each measurement has a consumer of its own that begins at the
first message, so that all do the same work.
"""

import asyncio
import json
import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, Protocol

from bench import feeder
from bench.workloads import Meter, Run
from bench.workloads.services import JSON, TIMEOUT

STREAM = "HANDLED"
SUBJECT = "handled.in"
MESSAGES = 300_000  # more than anybody handles in a measurement
ANSWER = re.compile(rb"MSG bench\.answer 9 (\d+)\r\n")
CHUNK = 5_000  # messages sent before a look at what is stored; the server buffers twice as many


class StreamServiceDriver(Protocol):
    """What the service modules of bench.drivers have beside `ServiceDriver`."""

    async def pulled(self, url: str, handled: Callable[[], None]) -> Any:
        """A started service on SUBJECT of STREAM, which calls `handled` once a message; body: a model."""


async def pulled(driver: StreamServiceDriver, run: Run) -> float:
    """Messages a second into a handler on a pull consumer that takes a pydantic model."""
    await asyncio.to_thread(fill, run.url)
    return await _handled(driver.pulled, run)


async def _handled(start: Callable[[str, Callable[[], None]], Awaitable[Any]], run: Run) -> float:
    finished, meter, count = asyncio.Event(), Meter(run.warmup, run.seconds), 0

    def handled() -> None:
        nonlocal count
        count += 1
        if count % feeder.STEP == 0 and meter.tick(count):
            finished.set()

    _keep = await start(run.url, handled)
    async with asyncio.timeout(TIMEOUT):
        await finished.wait()
    return meter.rate


def fill(url: str) -> None:
    """Have STREAM hold MESSAGES; the first one to come fills it."""
    with closing(feeder.connect(url)) as link:
        config = {"name": STREAM, "subjects": [SUBJECT], "storage": "file"}
        stored = _ask(link, f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(config))["state"]["messages"]
        message = f"PUB {SUBJECT} {len(JSON)}\r\n{JSON}\r\n".encode()
        while stored < MESSAGES:
            goal = stored + CHUNK
            link.sendall(message * CHUNK)
            while stored < goal:
                stored = _ask(link, f"$JS.API.STREAM.INFO.{STREAM}", "")["state"]["messages"]


def _ask(link: socket.socket, subject: str, body: str) -> Any:
    link.sendall(
        f"SUB bench.answer 9\r\nUNSUB 9 1\r\nPUB {subject} bench.answer {len(body)}\r\n{body}\r\n".encode()
    )
    data = b""
    while not (found := ANSWER.search(data)) or len(data) < found.end() + int(found[1]):
        more = link.recv(64 * 1024)
        if not more:
            raise ConnectionError("nats-server closed a raw connection of the benchmark")
        data += more
    answer = json.loads(data[found.end() : found.end() + int(found[1])])
    if "error" in answer:
        raise RuntimeError(f"{subject}: {answer['error']}")
    return answer
