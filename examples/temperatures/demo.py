"""A producer for the service, and the report on what became of its readings."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import islice
from statistics import quantiles

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from .flow import Flow, Stalled
from .service import app, broker, station
from .source import Row


def produce(rows: Iterable[Row], send: Callable[[Row], None], flow: Flow) -> None:
    """The producer: plain blocking code, as the driver of a sensor would be."""
    for row in rows:
        flow.enter(row.id)
        send(row)
    flow.wait_empty()


def sender(loop: asyncio.AbstractEventLoop) -> Callable[[Row], None]:
    """Publishes rows from another thread than the event loop's, over the service's connection."""

    def note_failure(sent: Future[None]) -> None:
        if not sent.cancelled() and (error := sent.exception()):
            station.problems.append(error)

    def send(row: Row) -> None:
        subject = f"temperatures.raw.{row.city}"
        publish = broker.publish(row.fields, subject, correlation_id=row.id)
        asyncio.run_coroutine_threadsafe(publish, loop).add_done_callback(note_failure)

    return send


async def serve(rows: Iterable[Row], flow: Flow) -> None:
    """Run the service while a thread produces every row."""
    station.on_arrival = flow.leave
    async with app:
        try:
            await asyncio.to_thread(produce, rows, sender(asyncio.get_running_loop()), flow)
        finally:
            flow.close()  # after CTRL+C the thread ends too


def run(rows: list[Row], flow: Flow, console: Console) -> bool:
    """Send the rows through the service and report; True if every one came through."""
    started = time.perf_counter()
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        try:
            asyncio.run(serve(progress.track(rows), flow))
        except Stalled as stalled:
            console.print(stalled, style="red")
        except KeyboardInterrupt:
            console.print("interrupted", style="red")
    report(rows, flow, time.perf_counter() - started, console)
    return all(count == len(rows) for count in station.passed.values()) and not station.problems


def report(rows: list[Row], flow: Flow, seconds: float, console: Console) -> None:
    table = Table("handler", box=box.SIMPLE)
    table.add_column("readings", justify="right")
    table.add_column("missing", justify="right")
    for handler, count in station.passed.items():
        table.add_row(handler, f"{count:,}", f"{len(rows) - count:,}")
    console.print(table)
    console.print(f"{len(flow.latencies) / seconds:,.0f} readings/s, {len(station.alerts)} alerts")
    if len(flow.latencies) > 1:
        percentiles = quantiles(flow.latencies, n=100)
        cuts = ", ".join(f"p{p} {percentiles[p - 1] * 1000:.1f} ms" for p in (50, 95, 99))
        console.print(f"from the producer to the last handler: {cuts}")
    if flow.under_way:
        console.print(f"lost: {', '.join(islice(flow.under_way, 5))} …", style="red")
    for problem in station.problems:
        console.print(problem, style="red")
