"""Random faults between a replicated stream, whoever writes to it and whoever reads from it.

What was acknowledged is in the stream exactly once: whoever does not know whether a message was stored
publishes it again with the same ``msg_id``. Each of three readers, by `messages`, `fetch` and `consume`,
handles every message at least once; an ordered one has each once and in order. The counts say how often that
was not so: it must be never.

Faults are drawn from a seed: connections cut, deaf in either direction or away for a while, leaders moved, a
server killed and started again, the ordered reader's consumer deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.proxy import Proxy  # noqa: E402  # the proxy of the tests is not installed

from tidings.nats import Client, Error, connect  # noqa: E402
from tidings.nats.jetstream import JetStream, JetStreamMsg  # noqa: E402
from tidings.nats.server import NatsCluster, NatsServer  # noqa: E402

STREAM, SUBJECT = "CHAOS", "chaos"
WINDOW = 500  # messages that are published before the producer looks at what became of them
# Far longer than a run: in this time a second copy of a message is recognized.
DUPLICATE_WINDOW = 600.0
READERS = ("messages", "fetch", "consume")
READING: dict[str, Any] = {"heartbeat": 0.5, "expires": 5.0}


@dataclass
class Counts:
    """What a run counted."""

    acknowledged: set[int] = field(default_factory=set)
    again: int = 0
    stored: int = 0
    handled: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in READERS})
    ordered: list[int] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def wrong(self) -> dict[str, int]:
        """What must be none."""
        due = len(self.acknowledged)
        found = {f"missed by {name}": due - len(seen) for name, seen in self.handled.items()}
        return found | {
            "acknowledged and not stored once": abs(due - self.stored),
            "gaps and repeats in order": sum(seq != i for i, seq in enumerate(self.ordered, 1)),
            "missed in order": due - len(self.ordered),
        }


class Run:
    """One run: a cluster, a proxy before each server, and everybody at work.

    Args:
        count: messages.
        seed: of the faults.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.chance = random.Random(seed)
        self.counts = Counts()
        self.ordered_name = ""
        self.proxies: list[Proxy] = []

    async def go(self, limit: float) -> Counts:
        """Run to the end, for `limit` seconds at most."""
        start = time.monotonic()
        with NatsServer.cluster(3, durability="fast") as cluster:
            async with contextlib.AsyncExitStack() as stack:
                for server in cluster.servers:
                    self.proxies.append(await stack.enter_async_context(Proxy(server.url)))
                quiet = await stack.enter_async_context(await self.connect(cluster.urls))
                await self.set_up(quiet.jetstream())
                trouble = asyncio.create_task(self.make_trouble(cluster, quiet))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                        for work in (self.produce, self.read, self.fetch, self.consume, self.read_in_order):
                            group.create_task(self.with_client(work))
                trouble.cancel()
                await asyncio.wait([trouble])
                await asyncio.to_thread(cluster.wait_ready)
                stream = await persistently(lambda: quiet.jetstream().stream(STREAM))
                self.counts.stored = stream.cached_info.state.messages
        self.counts.seconds = time.monotonic() - start
        return self.counts

    async def connect(self, urls: list[str]) -> Client:
        return await connect(
            urls,
            ignore_discovered_servers=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
            error_cb=lambda error: None,
        )

    async def with_client(self, work: Callable[[JetStream], Awaitable[None]]) -> None:
        async with await self.connect([proxy.url for proxy in self.proxies]) as client:
            await work(client.jetstream(timeout=2))

    async def set_up(self, js: JetStream) -> None:
        config: dict[str, Any] = {"num_replicas": 3, "duplicate_window": DUPLICATE_WINDOW}
        await persistently(lambda: js.create_stream(name=STREAM, subjects=[SUBJECT], **config))
        for name in READERS:
            limits: dict[str, Any] = {"ack_wait": 2.0, "max_ack_pending": 5000}
            await persistently(
                lambda name=name, limits=limits: js.create_consumer(STREAM, durable_name=name, **limits)
            )

    # Those at work

    async def produce(self, js: JetStream) -> None:
        for first in range(1, self.count + 1, WINDOW):
            todo = set(range(first, min(first + WINDOW, self.count + 1)))
            while todo:
                futures = {}
                for number in sorted(todo):
                    with contextlib.suppress(Error):
                        futures[number] = await js.publish_async(SUBJECT, str(number), msg_id=str(number))
                await asyncio.wait(futures.values(), timeout=10) if futures else await asyncio.sleep(0.1)
                done = {
                    n
                    for n, each in futures.items()
                    if each.done() and not each.cancelled() and not each.exception()
                }
                self.counts.acknowledged |= done
                todo -= done
                self.counts.again += len(todo)

    async def take(self, name: str, msg: JetStreamMsg) -> bool:
        """Handle a message; whether that was the last one."""
        seen = self.counts.handled[name]
        seen[int(msg.data)] += 1
        await msg.ack()
        return len(seen) == self.count

    async def read(self, js: JetStream) -> None:
        consumer = await persistently(lambda: js.consumer(STREAM, "messages"))
        async with consumer.messages(**READING) as messages:
            async for msg in messages:
                if await self.take("messages", msg):
                    return

    async def fetch(self, js: JetStream) -> None:
        consumer = await persistently(lambda: js.consumer(STREAM, "fetch"))
        while True:
            for msg in await persistently(lambda: consumer.fetch(256, 2, heartbeat=0.5)):
                if await self.take("fetch", msg):
                    return

    async def consume(self, js: JetStream) -> None:
        consumer = await persistently(lambda: js.consumer(STREAM, "consume"))
        done = asyncio.Event()

        async def handle(msg: JetStreamMsg) -> None:
            if await self.take("consume", msg):
                done.set()

        running = await consumer.consume(handle, workers=3, **READING)
        await done.wait()
        running.stop()
        await running.closed()

    async def read_in_order(self, js: JetStream) -> None:
        stream = await persistently(lambda: js.stream(STREAM))
        async with stream.ordered_consumer().messages(stop_after=self.count, **READING) as messages:
            async for msg in messages:
                self.counts.ordered.append(msg.metadata.sequence.stream)
                self.ordered_name = messages.name

    # Those who disturb them

    async def make_trouble(self, cluster: NatsCluster, quiet: Client) -> None:
        faults = {
            "cut": self.cut,
            "deaf": self.deafen,
            "away": self.send_away,
            "leader moved": lambda: self.step_down(quiet),
            "server killed": lambda: self.kill(cluster),
            "consumer deleted": lambda: self.delete(quiet),
        }
        while True:
            await asyncio.sleep(self.chance.uniform(0.1, 0.7))
            kind = self.chance.choice(list(faults))
            self.counts.faults[kind] += 1
            await faults[kind]()

    async def cut(self) -> None:
        self.chance.choice(self.proxies).cut()

    async def deafen(self) -> None:
        with self.chance.choice(self.proxies).deaf(self.chance.choice(["up", "down", "both"])):
            await asyncio.sleep(self.chance.uniform(0.1, 1.5))

    async def send_away(self) -> None:
        async with self.chance.choice(self.proxies).away():
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))

    async def step_down(self, quiet: Client) -> None:
        consumer = f"CONSUMER.LEADER.STEPDOWN.{STREAM}.{self.chance.choice(READERS)}"
        what = self.chance.choice([f"STREAM.LEADER.STEPDOWN.{STREAM}", consumer])
        with contextlib.suppress(Error):
            await quiet.request(f"$JS.API.{what}", timeout=2)

    async def kill(self, cluster: NatsCluster) -> None:
        server = self.chance.choice(cluster.servers)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.restart)

    async def delete(self, quiet: Client) -> None:
        if self.ordered_name:
            with contextlib.suppress(Error):
                await quiet.jetstream(timeout=2).delete_consumer(STREAM, self.ordered_name)


async def persistently(call: Callable[[], Awaitable[Any]]) -> Any:
    """What `call` gives once there is somebody to answer."""
    while True:
        try:
            return await call()
        except Error:
            await asyncio.sleep(0.1)


async def run(count: int, seed: int, limit: float) -> Counts:
    return await Run(count, seed).go(limit)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds")
    options = parser.parse_args()
    counts = asyncio.run(run(options.messages, options.seed, options.limit))
    faults = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.faults.items()))
    print(f"seed {options.seed}, {counts.seconds:.0f} s; faults: {faults}")
    print(f"acknowledged {len(counts.acknowledged)} of {options.messages}, published again {counts.again}")
    for name, seen in counts.handled.items():
        print(f"{name}: {len(seen)} handled, {seen.total() - len(seen)} came again")
    for what, number in counts.wrong.items():
        print(f"{what}: {number}")
    complete = len(counts.acknowledged) == options.messages
    return 0 if complete and not any(counts.wrong.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
