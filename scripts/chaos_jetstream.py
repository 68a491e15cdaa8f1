"""Random faults around a replicated stream, and the count of what its writers and readers were promised.

What was acknowledged is in the stream exactly once, at the sequence that the acknowledgement named: whoever
does not know whether a message was stored publishes it again with the same ``msg_id``. Readers by `fetch`, by
`messages` and by `next` handle every message at least once, and make their consumer anew when it is deleted
under them; an ordered one has each message once and in order. No call takes longer than it was given. At the
end the whole stream is read, over a connection that nothing happens to, and compared.

Faults are drawn from a seed: the leader of the stream killed (SIGKILL) and restarted, leaders moved, a
follower without routes, a server stopped and restarted with its disk, connections cut at any time, in the
middle of a fetch and of a window of async publishes, consumers deleted.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.chaos_jetstream_field import OPTIONS, Cluster, Faults, persistently  # noqa: E402  # as in chaos.py
from scripts.chaos_jetstream_work import (  # noqa: E402
    ALL,
    STREAM,
    Fetching,
    Iterating,
    Nexting,
    Ordered,
    Overdue,
    Publisher,
    Reader,
    SinglePublisher,
)

from tidings.nats import connect  # noqa: E402
from tidings.nats.jetstream import Stream  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
TABLE = re.compile(r"(?<=<!-- chaos-jetstream -->\n).*?(?=<!-- /chaos-jetstream -->)", re.S)

MESSAGES, SECONDS = 200_000, 60.0
# One message in so many is published by itself, the acknowledgement waited for.
SINGLES = 400
# Far longer than a run, in seconds: so long a message that comes again is known.
DUPLICATE_WINDOW = 3600.0
# Seconds that a run takes before and after the faults, if all goes well.
AROUND = 6.0
# Seconds that all has to be acknowledged in, and then read, after the last fault.
PATIENCE = 45.0

T = TypeVar("T")


@dataclass
class Tally:
    """What a run counted; times in seconds.

    Attributes:
        acknowledged: number → sequence.
        stored: number → its sequences in the stream, as read at the end.
        handled: reader → number → how often; `expected` has which numbers it should have.
    """

    seed: int
    messages: int
    took: float = 0.0
    faults: dict[str, int] = dataclasses.field(default_factory=dict)
    acknowledged: dict[int, int] = dataclasses.field(default_factory=dict)
    again: int = 0
    stored: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    stored_by_info: int = 0
    expected: dict[str, set[int]] = dataclasses.field(default_factory=dict)
    handled: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)
    gaps: int = 0
    repeats: int = 0
    ordered_ended: str = ""
    remade: int = 0
    ordered_remade: int = 0
    pauses: dict[str, float] = dataclasses.field(default_factory=dict)
    latest: float = 0.0
    overdue: list[str] = dataclasses.field(default_factory=list)

    @property
    def violations(self) -> dict[str, int]:
        """What must be none, by what it is."""
        known = {number: seqs for number, seqs in self.stored.items() if number in self.acknowledged}
        found = {
            "not acknowledged in the end": self.messages - len(self.acknowledged),
            "acknowledged and not stored": len(self.acknowledged) - len(known),
            "stored more than once": sum(len(seqs) - 1 for seqs in self.stored.values()),
            "stored elsewhere than acknowledged": sum(
                self.acknowledged[number] not in seqs for number, seqs in known.items()
            ),
            "stored and not read at the end": abs(
                self.stored_by_info - sum(len(seqs) for seqs in self.stored.values())
            ),
            "left out in order": self.gaps,
            "repeated in order": self.repeats,
            "ordered reading ended": int(bool(self.ordered_ended)),
            "calls past their timeout": len(self.overdue),
        }
        for name, numbers in self.expected.items():
            found[f"missed by {name}"] = len(numbers - self.handled[name].keys())
        return {what: count for what, count in found.items() if count}


async def read_all(stream: Stream) -> dict[int, list[int]]:
    """Number → sequences, of all that is in the stream."""
    found: dict[int, list[int]] = {}
    async with stream.ordered_consumer().messages(until_end=True) as messages:
        async for message in messages:
            found.setdefault(int(message.data), []).append(message.metadata.sequence.stream)
    return found


async def caught_up(stream: Stream) -> None:
    """Wait until each replica has all that the leader has: an end is that of the server that is read."""
    async with asyncio.timeout(PATIENCE):
        while True:
            cluster = (await persistently(stream.info)).cluster
            if cluster is not None and all(each.current and each.lag == 0 for each in cluster.replicas):
                return
            await asyncio.sleep(0.05)


def disturbed(seconds: float) -> float:
    """Seconds of a run of so many in which is published, and faults happen."""
    return max(seconds - AROUND, 0.4 * seconds)


async def run(messages: int, seconds: float, seed: int) -> Tally:
    """So many messages, in a run of about so many seconds; the tally of it."""
    tally, overdue, start = Tally(seed, messages), Overdue(), time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster())
        urls = [server.url for server in cluster.servers]
        quiet = await stack.enter_async_context(await connect(urls, **OPTIONS))
        js = quiet.jetstream(timeout=2)
        limits: dict[str, Any] = {"num_replicas": 3, "duplicate_window": DUPLICATE_WINDOW}
        stream = await persistently(lambda: js.create_stream(name=STREAM, subjects=[ALL], **limits))

        singles = range(0, messages, SINGLES)
        others = sorted(set(range(messages)) - set(singles))

        async def worker(kind: Callable[..., T], *arguments: Any) -> T:
            line = await cluster.line()
            client = await stack.enter_async_context(await line.open_client())
            return kind(line, client, overdue, *arguments)

        seconds = disturbed(seconds)
        publisher = await worker(Publisher, others, seconds)
        single = await worker(SinglePublisher, singles, seconds)
        fetching, iterating = await worker(Fetching, messages), await worker(Iterating, messages)
        nexting, ordered = await worker(Nexting, len(singles)), await worker(Ordered, messages)
        readers: list[Reader] = [fetching, iterating, nexting, ordered]

        faults = Faults(
            random.Random(seed),
            tally.faults,
            cluster,
            stream,
            fetching=fetching,
            publishing=publisher,
            readers=readers,
            others=[single, *readers],
        )
        await work(seconds, faults, [publisher, single], readers)
        await caught_up(stream)
        tally.stored = await persistently(lambda: read_all(stream))
        tally.stored_by_info = (await persistently(stream.info)).state.messages
    for each in (publisher, single):
        tally.acknowledged |= each.acknowledged
        tally.again += each.again
    for reader in readers:
        name = type(reader).__name__
        tally.handled[name] = reader.handled
        tally.expected[name] = set(singles) if reader is nexting else set(range(messages))
        tally.remade += reader.remade if reader is not ordered else 0
        tally.pauses[name] = reader.longest_pause
    tally.gaps, tally.repeats, tally.ordered_remade = ordered.gaps, ordered.repeats, ordered.remade
    tally.ordered_ended = repr(ordered.ended_by) if ordered.ended_by is not None else ""
    tally.overdue, tally.latest = overdue.calls, overdue.latest
    tally.took = time.monotonic() - start
    return tally


async def work(seconds: float, faults: Faults, publishers: list[Publisher], readers: list[Reader]) -> None:
    """Faults as long as is published, and then time for what is left."""
    ending = asyncio.Event()
    writing = [asyncio.create_task(each.run()) for each in publishers]
    reading = [asyncio.create_task(each.run()) for each in readers]
    injecting = asyncio.create_task(faults.inject(ending))
    tasks = [*writing, *reading, injecting]
    try:
        await asyncio.wait([*writing, injecting], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        ending.set()
        await injecting
        await asyncio.wait(writing, timeout=PATIENCE)
        await asyncio.wait(reading, timeout=PATIENCE)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:  # what none of them should raise
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def table(tally: Tally) -> str:
    """The numbers, as a table of the docs."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.faults.items()))
    again = {name: sum(seen.values()) - len(seen) for name, seen in tally.handled.items()}
    handled = ", ".join(f"{name} {len(seen):,}" for name, seen in tally.handled.items())
    violations = tally.violations
    rows = {
        "run": f"{tally.messages:,} messages in {tally.took:.0f} s, seed {tally.seed}, 3 servers, 3 replicas",
        "faults injected": f"{sum(tally.faults.values())} ({kinds})",
        "acknowledged": f"{len(tally.acknowledged):,}, after {tally.again:,} were published again",
        "in the stream": f"{tally.stored_by_info:,}, of them different {len(tally.stored):,}",
        "handled by": handled,
        "handled again by": ", ".join(f"{name} {count:,}" for name, count in again.items()),
        "gaps, repeats in order": f"{tally.gaps:,}, {tally.repeats:,}",
        "readings begun anew": f"{tally.remade} by their readers, {tally.ordered_remade} by the ordered one",
        "longest pause of": ", ".join(f"{name} {pause:.1f} s" for name, pause in tally.pauses.items()),
        "the latest call": f"{tally.latest:.2f} s after its timeout",
        "violations": ", ".join(f"{count} {what}" for what, count in violations.items()) or "0",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="length of the run, about (default 60)"
    )
    parser.add_argument("--messages", type=int, default=None, help="default 200,000 in 60 s, else as fast")
    parser.add_argument("--seed", type=int, default=None, help="of the faults (default: a new one)")
    parser.add_argument("--write", action="store_true", help="put the numbers into docs/reliability.md")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    messages = given.messages or round(MESSAGES * disturbed(given.seconds) / disturbed(SECONDS))
    tally = asyncio.run(run(messages, given.seconds, seed))
    print(table(tally))
    for line in (*tally.overdue, tally.ordered_ended):
        if line:
            print(line)
    if given.write:
        PAGE.write_text(TABLE.sub(lambda match: table(tally), PAGE.read_text()))
    return 1 if tally.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
