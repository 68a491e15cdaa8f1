"""Accounts are what a log of events makes of them: replayed from the first event, then kept up to date.

    python -m examples.event_log

Nothing but the log is stored. A view reads it with an ordered consumer, first up to its end and then on
and on; it is the same view whoever builds it and whenever, though its consumer is deleted and its connection
cut on the way. A view that was saved goes on from the event behind the last one that is in it.

The exit code is 0 only if all views agree with what was written.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

from tidings.nats import connect
from tidings.nats.jetstream import JetStream, JetStreamMsg, Stream
from tidings.nats.server import NatsServer


@dataclass
class View:
    """Balances by account, and the last event that is in them."""

    balances: Counter[str] = field(default_factory=Counter)
    last_seq: int = 0
    gaps: int = 0

    def apply(self, msg: JetStreamMsg) -> None:
        seq = msg.metadata.sequence.stream
        if self.last_seq and seq != self.last_seq + 1:
            self.gaps += 1
        self.last_seq = seq
        self.balances[msg.subject.removeprefix("accounts.")] += int(msg.data)


async def write(js: JetStream, count: int, written: Counter[str]) -> None:
    """Append events."""
    chance = random.Random(count)
    for _ in range(count):
        account, amount = f"a{chance.randrange(10)}", chance.randrange(-50, 100)
        await js.publish_async(f"accounts.{account}", str(amount))
        written[account] += amount
    await js.publish_async_completed()


async def replay(stream: Stream, view: View) -> View:
    """Bring a view up to the end of the log."""
    log = stream.ordered_consumer()
    if view.last_seq:
        log = stream.ordered_consumer(deliver_policy="by_start_sequence", opt_start_seq=view.last_seq + 1)
    async with log.messages(until_end=True) as events:
        async for event in events:
            view.apply(event)
    return view


async def follow(stream: Stream, view: View, until: int, trouble: bool) -> None:
    """Keep a view up to date until an event, with trouble on the way."""
    errors: list[Exception] = []
    client = stream.api.connection
    async with stream.ordered_consumer().messages(on_error=errors.append) as events:
        async for event in events:
            view.apply(event)
            if view.last_seq == until:
                break
            if trouble and view.last_seq == until // 3:
                await stream.delete_consumer(events.name)
            if trouble and view.last_seq == until // 2:
                await client.force_reconnect()
    mended = ", ".join(type(error).__name__ for error in errors)
    print(f"followed to {view.last_seq}, mended: {mended or 'nothing'}")


async def main(count: int) -> int:
    written: Counter[str] = Counter()
    with NatsServer(durability="fast") as server:
        async with await connect(server.url) as writer, await connect(server.url) as reader:
            js = writer.jetstream()
            await js.create_stream(name="ACCOUNTS", subjects=["accounts.*"])
            log = await reader.jetstream().stream("ACCOUNTS")
            live = View()
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(follow(log, live, 2 * count, trouble=True))
                await write(js, count, written)
                saved = await replay(log, View())
                print(f"replayed {saved.last_seq} events")
                await write(js, count, written)
            fresh = await replay(log, View())
            await replay(log, saved)
    views = {"live": live, "fresh": fresh, "saved": saved}
    agree = all(view.balances == written and not view.gaps for view in views.values())
    print(f"events {2 * count}, gaps {sum(view.gaps for view in views.values())}, views agree: {agree}")
    return 0 if agree else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=3000)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.events)))
