"""Random faults between a producer and its consumers, and the count of what nobody was told about.

A window of publishes is *confirmed* when the flush behind it succeeded: the server has processed all of
it. The publishes of a window whose flush failed, and those that `publish` refused, are *reported*: the
producer knows that they may be lost. A confirmed message can still miss a consumer that was away when the
server passed it on, or when the route between their servers was; core NATS keeps nothing for it. So a
consumer reports too: it asks the producer again and again, and from the last answer before a loss to the
first one after it, everything is in doubt to it. What is missing and was reported by neither side is
*unreported*: it must be none.

Faults are drawn from a seed: cuts, delays, deafness in either direction, kill -9 and restart of a server,
all routes lost, certificates that nobody trusts for a while. Credentials expire by themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import random
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.chaos_field import Field  # noqa: E402  # neither it nor the proxy of the tests is installed

from tidings.nats import Client, Error, Msg  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
TABLE = re.compile(r"(?<=<!-- chaos -->\n).*?(?=<!-- /chaos -->)", re.S)

WINDOW = 100
# Seconds. A consumer that could not prove that it gets everything for so long cannot say that it did.
PROOF_GOOD_FOR = 0.25


@dataclass
class Tally:
    """What a run counted; times in seconds."""

    seed: int
    seconds: float
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    sent: int = 0
    refused: int = 0
    delivered: int = 0
    reported: int = 0
    unreported: int = 0
    twice: int = 0
    longest_back: float = 0.0
    late_calls: int = 0


class Times:
    """Intervals of the clock, to ask whether one touches them."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def touch(self, start: float, end: float) -> bool:
        return any(begin <= end and start <= stop for begin, stop in self.spans)


class Watch:
    """Measures how long a client was away."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._lost_at: float | None = None
        self.losses = 0

    def lost(self) -> None:
        self.losses += 1
        self._lost_at = time.monotonic()

    def back(self) -> None:
        if self._lost_at is not None:
            away = time.monotonic() - self._lost_at
            self._tally.longest_back = max(self._tally.longest_back, away)
            self._lost_at = None


class Consumer:
    """Keeps the numbers it got, and the times in which it cannot say that it got all."""

    def __init__(self, client: Client, watch: Watch) -> None:
        self.client = client
        self.watch = watch
        self.got: dict[int, int] = {}
        self.doubt = Times()

    def take(self, message: Msg) -> None:
        number = int(message.data)
        self.got[number] = self.got.get(number, 0) + 1

    async def is_in_touch(self) -> None:
        """Wait until the routes are there, and know of both sides."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(Error):
                    await self.client.request("chaos.proof", timeout=0.2)
                    return
                await asyncio.sleep(0.01)

    async def prove(self, ending: asyncio.Event) -> None:
        """Ask the producer over and over: between two answers on one and the same chain all has arrived.

        The answer takes the way of the messages, behind them, and says which connection of the producer it
        came by. Routes that are lost for longer than an answer is good for leave a question without one.
        """
        last_good, chain = time.monotonic(), (0, b"0")
        is_proven, is_over = True, False
        while not is_over:
            is_last = ending.is_set()
            before, losses = time.monotonic(), self.watch.losses
            try:
                answer = await self.client.request("chaos.proof", timeout=1.0)
            except Error:
                is_proven = False
            else:
                now = (self.watch.losses, answer.data)
                if losses != self.watch.losses:
                    is_proven = False
                else:
                    if not is_proven or now != chain or before - last_good > PROOF_GOOD_FOR:
                        self.doubt.spans.append((last_good, time.monotonic()))
                    last_good, chain, is_proven, is_over = before, now, True, is_last
            await asyncio.sleep(0.02)


class Producer:
    """Publishes numbers in windows, each with a flush behind it."""

    def __init__(self, client: Client, tally: Tally) -> None:
        self.client = client
        self.confirmed: dict[int, tuple[float, float]] = {}
        self.doubtful: set[int] = set()
        self.tally = tally

    async def run(self, ending: asyncio.Event) -> None:
        first = 0
        while not ending.is_set():
            start = time.monotonic()
            window = []
            lost_before = self.client.possibly_lost_bytes
            for number in range(first, first + WINDOW):
                try:
                    await self.client.publish("chaos", str(number))
                    window.append(number)
                except Error:
                    self.tally.refused += 1
            first += WINDOW
            self.tally.sent += len(window)
            try:
                await self.client.flush(1.0)
            except Error:
                self.doubtful.update(window)
            else:
                if self.client.possibly_lost_bytes != lost_before:
                    self.doubtful.update(window)
                else:
                    end = time.monotonic()
                    self.confirmed.update(dict.fromkeys(window, (start, end)))
            if time.monotonic() - start > 10:
                self.tally.late_calls += 1
            await asyncio.sleep(0.005)


def judge(tally: Tally, producer: Producer, consumers: list[Consumer]) -> None:
    """Each message at each consumer: delivered, reported, or unreported."""
    for consumer in consumers:
        tally.twice += sum(count - 1 for count in consumer.got.values())
        tally.delivered += len(consumer.got)
        for number in producer.doubtful:
            tally.reported += number not in consumer.got
        for number, (start, end) in producer.confirmed.items():
            if number not in consumer.got:
                if consumer.doubt.touch(start, end):
                    tally.reported += 1
                else:
                    tally.unreported += 1


async def run(seconds: float, seed: int) -> Tally:
    """A run of so many seconds; the tally of it."""
    rng, tally = random.Random(seed), Tally(seed, seconds)
    async with Field(rng, tally.faults) as field:
        watches = [Watch(tally) for _ in field.proxies]
        clients = [
            await field.open_client(number, watch.lost, watch.back) for number, watch in enumerate(watches)
        ]
        producer = Producer(clients[0], tally)
        answer = watches[0]
        await clients[0].subscribe(
            "chaos.proof", cb=lambda message: message.respond(str(answer.losses).encode())
        )
        consumers = [Consumer(client, watch) for client, watch in zip(clients[1:], watches[1:], strict=True)]
        for consumer in consumers:
            await consumer.client.subscribe("chaos", cb=consumer.take)
            await consumer.is_in_touch()
        ending, settled = asyncio.Event(), asyncio.Event()
        faults = asyncio.create_task(field.inject(ending))
        work = asyncio.create_task(producer.run(ending))
        proofs = [asyncio.create_task(consumer.prove(settled)) for consumer in consumers]
        await asyncio.sleep(seconds)
        ending.set()
        async with asyncio.timeout(30):
            await asyncio.gather(faults, work)
            settled.set()
            await asyncio.gather(*proofs)
            for client in reversed(clients):
                with contextlib.suppress(Error):
                    await client.drain(10)
        judge(tally, producer, consumers)
    return tally


def table(tally: Tally) -> str:
    """The numbers, as a table of the docs."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.faults.items()))
    rows = {
        "run": f"{tally.seconds:g} s, seed {tally.seed}, 3 servers, 1 producer, 2 consumers",
        "faults injected": f"{sum(tally.faults.values())} ({kinds})",
        "messages sent": f"{tally.sent:,}, to 2 consumers each",
        "publishes refused (OutboundBufferLimitError)": f"{tally.refused:,}",
        "delivered": f"{tally.delivered:,}",
        "reported lost": f"{tally.reported:,}",
        "unreported": f"{tally.unreported:,}",
        "delivered twice": f"{tally.twice:,}",
        "longest time to be back": f"{tally.longest_back:.2f} s",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the run (default 60)")
    parser.add_argument("--seed", type=int, default=None, help="of the faults (default: a new one)")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/reliability.md")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    tally = asyncio.run(run(given.seconds, seed))
    print(table(tally))
    if given.write:
        PAGE.write_text(TABLE.sub(lambda match: table(tally), PAGE.read_text()))
    return 1 if tally.unreported or tally.twice or tally.late_calls else 0


if __name__ == "__main__":
    raise SystemExit(main())
