"""A steady load for minutes: every message arrives, in order, and nothing grows.

One client publishes numbered messages at a rate, another receives them, over a real nats-server. Beside
it a request is answered and a subscription comes and goes, over and over. From time to time memory, tasks,
files and objects are counted, and the latency since the last time is taken. *Growth* is the Theil-Sen slope
(the median of the slopes between all pairs of samples, which single samples cannot move) after the
warm-up, times the time since: what was added in the run. The run fails when that is over a limit, a message
is missing, comes twice or out of order, or the rate was not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import statistics
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from tidings.nats import Client, Msg, connect
from tidings.nats.server import NatsServer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
TABLE = re.compile(r"(?<=<!-- soak -->\n).*?(?=<!-- /soak -->)", re.S)

# Number and time of a message, in nanoseconds; the rest of the payload is filled up.
HEAD = struct.Struct("<QQ")
# Every so manieth message has its latency taken.
EVERY = 64
# Seconds between two bursts of the publisher.
BEAT = 0.005
# The part of the samples in which caches and pools fill.
WARM_UP = 0.2

MIB = 1024 * 1024
# What may be added in a run: noise, and below a tenth of a byte a message in ten minutes at full rate.
LIMITS: dict[str, float] = {"rss": 4 * MIB, "tasks": 1, "files": 1, "objects": 300}
LEAST_RATE = 0.95


@dataclass
class Sample:
    """What was counted at one time.

    Attributes:
        at: seconds since the start.
        rss: bytes of memory.
        tasks, files, objects: of asyncio, of the process, of the garbage collector.
        latencies: seconds, of messages since the last sample: the median, the 99th percentile, the worst.
    """

    at: float
    rss: float
    tasks: float
    files: float
    objects: float
    latencies: tuple[float, float, float]


@dataclass
class Report:
    """What a run came to."""

    seconds: float
    rate: float
    payload: int
    sent: int = 0
    received: int = 0
    disordered: int = 0
    took: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    @property
    def steady(self) -> list[Sample]:
        """The samples after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP) :]

    def growth(self, name: str) -> float:
        """What was added to `name` since the warm-up."""
        samples = self.steady
        points = [(sample.at, getattr(sample, name)) for sample in samples]
        return slope(points) * (samples[-1].at - samples[0].at) if len(points) > 1 else 0.0

    def complaints(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        found = [
            f"{name} grew by {self.growth(name):,.1f}, over {limit:,.0f}"
            for name, limit in LIMITS.items()
            if self.growth(name) >= limit
        ]
        if self.received != self.sent:
            found.append(f"{self.sent - self.received:,} of {self.sent:,} messages are missing")
        if self.disordered:
            found.append(f"{self.disordered:,} messages came twice, late or out of order")
        if self.sent < LEAST_RATE * self.rate * self.took:
            found.append(
                f"only {self.sent / self.took:,.0f} messages a second: the machine is too slow or busy"
            )
        return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The Theil-Sen slope."""
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0


class Receiver:
    """Checks that the messages come in order, and takes the latency of some."""

    def __init__(self, report: Report) -> None:
        self.latencies: list[int] = []
        self._report = report
        self._next = 0

    def take(self, message: Msg) -> None:
        number, sent_at = HEAD.unpack_from(message.data)
        if number == self._next:
            self._next += 1
        else:
            self._report.disordered += 1
            self._next = number + 1
        self._report.received += 1
        if not number % EVERY:
            self.latencies.append(time.perf_counter_ns() - sent_at)

    def percentiles(self) -> tuple[float, float, float]:
        """Of the latencies since the last call."""
        taken, self.latencies = sorted(self.latencies), []
        if not taken:
            return (0.0, 0.0, 0.0)
        return (taken[len(taken) // 2] / 1e9, taken[len(taken) * 99 // 100] / 1e9, taken[-1] / 1e9)


async def publish(client: Client, report: Report) -> None:
    """As many as are due, in each beat; who fell behind catches up, bounded in each beat."""
    filling, most = bytes(report.payload - HEAD.size), max(int(report.rate * BEAT * 10), 1)
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < report.seconds:
        due = min(int(report.rate * passed) - report.sent, most)
        for number in range(report.sent, report.sent + due):
            await client.publish("soak", HEAD.pack(number, time.perf_counter_ns()) + filling)
        report.sent += due
        await asyncio.sleep(BEAT)
    report.took = time.perf_counter() - start


async def churn(client: Client) -> None:
    """What comes and goes in a service: requests, inboxes, subscriptions."""
    while True:
        await client.request("soak.echo", b"x", timeout=30)
        await client.request("soak.echo", b"x", timeout=30, old_style=True)
        sub = await client.subscribe("soak.passing")
        await client.publish("soak.passing")
        await sub.next_msg(30)
        await sub.unsubscribe()
        await asyncio.sleep(0.01)


def memory() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def watch(report: Report, receiver: Receiver, show: Callable[[str], object]) -> None:
    """A sample now and then; 60 in a run, or one each half second."""
    start, pause = time.perf_counter(), max(report.seconds / 60, min(0.5, report.seconds / 12))
    show(
        f"{'s':>6} {'received':>12} {'MiB':>7} {'tasks':>5} {'files':>5} {'objects':>8}   p50 / p99 / max ms"
    )
    while True:
        await asyncio.sleep(pause)
        gc.collect()
        sample = Sample(
            time.perf_counter() - start,
            memory(),
            len(asyncio.all_tasks()),
            len(os.listdir("/proc/self/fd")),
            len(gc.get_objects()),
            receiver.percentiles(),
        )
        report.samples.append(sample)
        late = " / ".join(f"{seconds * 1e3:.2f}" for seconds in sample.latencies)
        show(
            f"{sample.at:6.1f} {report.received:12,} {sample.rss / MIB:7.1f} {sample.tasks:5.0f} "
            f"{sample.files:5.0f} {sample.objects:8,.0f}   {late}"
        )


async def run(seconds: float, rate: float, payload: int, show: Callable[[str], object]) -> Report:
    """A run of so many seconds, and what it came to."""
    report = Report(seconds, rate, max(payload, HEAD.size))
    receiver = Receiver(report)
    with NatsServer(jetstream=False) as server:
        async with await connect(server.url) as sender, await connect(server.url) as client:
            await client.subscribe("soak", cb=receiver.take)
            await client.subscribe("soak.echo", cb=lambda message: message.respond(message.data))
            await client.flush()
            beside = [
                asyncio.create_task(watch(report, receiver, show)),
                asyncio.create_task(churn(sender)),
            ]
            await publish(sender, report)
            for task in beside:
                task.cancel()
            for result in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result
            await sender.flush(30)
            await client.drain(30)
    return report


def table(report: Report) -> str:
    """The numbers, as a table of the docs."""
    steady = report.steady
    medians = [statistics.median(sample.latencies[place] for sample in steady) * 1e3 for place in (0, 1)]
    worst = max(sample.latencies[2] for sample in steady) * 1e3
    rows = {
        "run": f"{report.seconds:g} s at {report.rate:,.0f} messages a second of {report.payload} bytes",
        "sent, received, missing": f"{report.sent:,}, {report.received:,}, {report.sent - report.received:,}",
        "out of order or twice": f"{report.disordered:,}",
        "latency p50, p99, worst": f"{medians[0]:.2f} ms, {medians[1]:.2f} ms, {worst:.1f} ms",
    }
    for name, unit, label in (
        ("rss", MIB, "memory (RSS, MiB)"),
        ("objects", 1, "objects"),
        ("tasks", 1, "tasks"),
        ("files", 1, "files"),
    ):
        values = [getattr(sample, name) / unit for sample in steady]
        digits = 1 if unit > 1 else 0
        rows[f"{label}: from, to, growth by slope"] = (
            f"{values[0]:,.{digits}f}, {values[-1]:,.{digits}f}, {report.growth(name) / unit:+,.{digits}f}"
        )
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the run (default 600)")
    parser.add_argument("--rate", type=float, default=100_000, help="messages a second (default 100000)")
    parser.add_argument("--payload", type=int, default=128, help="bytes a message, at least 16 (default 128)")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/reliability.md")
    given = parser.parse_args()
    if given.seconds < 1 or given.rate < 1:
        parser.error("a run takes at least a second, and a message a second")
    report = asyncio.run(run(given.seconds, given.rate, given.payload, lambda line: print(line, flush=True)))
    print("\n" + table(report))
    if given.write:
        PAGE.write_text(TABLE.sub(lambda match: table(report), PAGE.read_text()))
    for complaint in report.complaints():
        print(f"soak: {complaint}", file=sys.stderr)
    return 1 if report.complaints() else 0


if __name__ == "__main__":
    raise SystemExit(main())
