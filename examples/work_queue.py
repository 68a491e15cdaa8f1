"""Jobs are shared by workers that fail and die, and each job is done, in time or again.

    python -m examples.work_queue

The stream is a work queue: a job is gone when it is acknowledged. A worker tells that it is still at it
while a long job takes longer than ``ack_wait``; a job that fails comes again after a pause that grows; one
that can never succeed is ended and set aside. A worker that dies in the middle says nothing: its job comes
to another one.

The exit code is 0 only if every job was done or set aside.
"""

import argparse
import asyncio
import contextlib
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

from tidings.nats import Client, connect
from tidings.nats.jetstream import Consumer, JetStreamMsg
from tidings.nats.server import NatsServer

# Somebody else gets a job when nothing was heard of its worker for so long.
ACK_WAIT = 0.5
BACKOFF = 0.05


@dataclass
class Report:
    """What happened."""

    done: Counter[str] = field(default_factory=Counter)
    set_aside: set[str] = field(default_factory=set)
    failures: int = 0
    deaths: int = 0


class Worker:
    """Takes one job after the other, until it is told to stop or dies."""

    def __init__(self, consumer: Consumer, report: Report) -> None:
        self.consumer = consumer
        self.report = report

    async def run(self) -> None:
        # One at a time, and not asked for before it can be begun: the clock of a job runs from its delivery.
        while True:
            with contextlib.suppress(TimeoutError):
                if not await self.handle(await self.consumer.next()):
                    return

    async def handle(self, msg: JetStreamMsg) -> bool:
        """Do a job; False when the worker dies of it."""
        kind, _, job = msg.data.decode().partition(":")
        tries = msg.metadata.num_delivered
        if kind == "broken":
            await msg.term("no machine can do this")
            self.report.set_aside.add(job)
        elif kind == "flaky" and tries < 3:
            self.report.failures += 1
            await msg.nak(delay=BACKOFF * tries)
        elif kind == "deadly" and tries == 1:
            self.report.deaths += 1
            return False
        else:
            if kind == "long":
                for _ in range(3):
                    await asyncio.sleep(ACK_WAIT / 2)
                    await msg.in_progress()
            await msg.ack_sync(timeout=10)
            self.report.done[job] += 1
        return True


async def keep_staffed(consumer: Consumer, report: Report, jobs: int, workers: int) -> None:
    """So many workers at once; for each that dies another one comes."""

    async def post() -> None:
        while True:
            await Worker(consumer, report).run()

    async with asyncio.TaskGroup() as group:
        posts = [group.create_task(post()) for _ in range(workers)]
        while len(report.done) + len(report.set_aside) < jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for each in posts:
            each.cancel()


async def work(client: Client, jobs: int, workers: int) -> Report:
    js = client.jetstream()
    stream = await js.create_stream(name="JOBS", subjects=["jobs"], retention="workqueue")
    consumer = await stream.create_consumer(durable_name="workers", ack_wait=ACK_WAIT, max_ack_pending=1000)
    kinds = random.Random(7).choices(["plain", "long", "flaky", "deadly", "broken"], [80, 2, 8, 5, 5], k=jobs)
    for number, kind in enumerate(kinds):
        await js.publish_async("jobs", f"{kind}:{number}")
    await js.publish_async_completed()
    report = Report()
    async with asyncio.timeout(60):
        await keep_staffed(consumer, report, jobs, workers)
    return report


async def main(jobs: int, workers: int) -> int:
    with NatsServer(durability="fast") as server:
        async with await connect(server.url) as client:
            report = await work(client, jobs, workers)
    twice = sum(count > 1 for count in report.done.values())
    left = jobs - len(report.done) - len(report.set_aside)
    print(f"{report.failures} failures, {report.deaths} workers died")
    print(
        f"jobs {jobs}, done {len(report.done)}, set aside {len(report.set_aside)}, "
        f"left {left}, done twice {twice}"
    )
    return 0 if left == 0 else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.jobs, options.workers)))
