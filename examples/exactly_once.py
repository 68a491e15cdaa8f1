"""Orders become invoices, each of them once, while the biller crashes and the server is killed.

    python -m examples.exactly_once

What makes it exact: an order has an id of its own, and an invoice that of the order it is for. Whoever
does not know whether a message was stored publishes it again with the same ``msg_id``, and the stream
drops the second one. An order is acknowledged only when its invoice is stored; so after a crash in
between it comes again, and its invoice is dropped as a duplicate.

The exit code is 0 only if there is one invoice for each order.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

from tidings.nats import Client, Error, connect
from tidings.nats.jetstream import AckPolicy, ConsumerConfig, JetStream
from tidings.nats.jetstream.errors import NoStreamResponseError, UnconfirmedError
from tidings.nats.server import NatsServer

# How long a stream knows what it has stored; longer than any of us may be away.
WINDOW = 120.0
# How long an order may be under way before another biller gets it.
ACK_WAIT = 1.0


class Crash(Exception):
    """The biller is gone, between two lines."""


@dataclass
class Report:
    """What happened."""

    sends: int = 0
    crashes: int = 0
    kills: int = 0
    again: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    invoices: Counter[bytes] = field(default_factory=Counter)


async def set_up(js: JetStream) -> None:
    await js.create_stream(name="ORDERS", subjects=["orders.*"], duplicate_window=WINDOW)
    await js.create_stream(name="INVOICES", subjects=["invoices.*"], duplicate_window=WINDOW)
    ack: AckPolicy = "explicit"
    biller = ConsumerConfig(durable_name="biller", ack_policy=ack, ack_wait=ACK_WAIT)
    await js.create_consumer("ORDERS", biller)


async def take_orders(js: JetStream, count: int, report: Report) -> None:
    """Orders come in, fifty at a time."""
    for first in range(0, count, 50):
        await store_orders(js, list(range(first, min(first + 50, count))), report)
        await asyncio.sleep(0.05)


async def store_orders(js: JetStream, numbers: list[int], report: Report) -> None:
    """Publish the orders, all at once, and each until its stream has it."""
    left = numbers
    while left:
        sent = [(n, await js.publish_async(f"orders.{n}", f"order {n}", msg_id=f"order-{n}")) for n in left]
        report.sends += len(sent)
        left = []
        for number, future in sent:
            try:
                report.dropped["orders"] += (await future).duplicate
            except (UnconfirmedError, NoStreamResponseError):
                left.append(number)


async def bill(js: JetStream, count: int, report: Report, draw: random.Random) -> None:
    """Write invoices until there are `count`; now and then crash between an invoice and its order's end."""
    orders = await js.consumer("ORDERS", "biller")
    while len(report.invoices) < count:
        for order in await orders.fetch(50, timeout=1.0):
            report.again += order.metadata.num_delivered > 1
            number = order.subject.removeprefix("orders.")
            invoice = await js.publish(f"invoices.{number}", order.data, msg_id=f"invoice-{number}")
            report.dropped["invoices"] += invoice.duplicate
            report.invoices[order.data] += not invoice.duplicate
            if draw.random() < 0.01:
                raise Crash
            await order.ack_sync()


async def bill_through_crashes(url: str, count: int, report: Report, draw: random.Random) -> None:
    """A biller, and another one when it is gone."""
    while len(report.invoices) < count:
        client = await connected(url)
        try:
            await bill(client.jetstream(), count, report, draw)
        except Crash:
            report.crashes += 1
        except Error:
            pass  # the server is away; whatever was under way is done again
        finally:
            await client.close()


async def connected(url: str) -> Client:
    return await connect(
        url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, retry_on_failed_connect=True
    )


async def kill_now_and_then(server: NatsServer, times: int, report: Report, draw: random.Random) -> None:
    """kill -9 the server, and start it again on what it has on disk."""
    for _ in range(times):
        await asyncio.sleep(draw.uniform(0.1, 1.0))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.restart)
        report.kills += 1


async def stored(js: JetStream) -> Counter[bytes]:
    """How often each invoice stands in its stream."""
    stream = await js.stream("INVOICES")
    last = (await stream.info()).state.last_seq
    return Counter([(await stream.get_msg(seq=seq)).data for seq in range(1, last + 1)])


async def run(count: int, kills: int, seed: int) -> tuple[Report, Counter[bytes]]:
    report, draw = Report(), random.Random(seed)
    async with NatsServer() as server, await connected(server.url) as client:
        js = client.jetstream()
        await set_up(js)
        async with asyncio.TaskGroup() as group:
            group.create_task(take_orders(js, count, report))
            group.create_task(bill_through_crashes(server.url, count, report, draw))
            group.create_task(kill_now_and_then(server, kills, report, draw))
        return report, await stored(js)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="exactly_once", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--kills", type=int, default=2, help="how often the server is killed (2)")
    parser.add_argument("--seed", type=int, default=1, help="of the crashes (1)")
    asked = parser.parse_args()
    report, invoices = asyncio.run(run(asked.orders, asked.kills, asked.seed))
    twice = sum(count > 1 for count in invoices.values())
    dropped = report.dropped
    print(f"orders        {asked.orders}, sent {report.sends} times, {dropped['orders']} duplicates dropped")
    print(f"faults        {report.crashes} crashes of the biller, {report.kills} kills of the server")
    print(f"orders again  {report.again}, {dropped['invoices']} duplicate invoices dropped")
    print(f"invoices      {len(invoices)}, missing {asked.orders - len(invoices)}, twice {twice}")
    return 0 if len(invoices) == asked.orders and not twice else 1


if __name__ == "__main__":
    sys.exit(main())
