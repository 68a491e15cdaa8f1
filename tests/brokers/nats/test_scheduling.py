"""Services on NATS call handlers at times: one process each, whatever happens to the others."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tests.brokers.harness import LIMIT, Gate, Seen
from tests.brokers.nats.test_conformance import OnNats
from tests.brokers.nats.test_deduping import OnStreams
from tests.brokers.scheduling import Scheduling
from tests.proxy import Proxy
from tidings.brokers.nats import KvMarks, NatsBroker
from tidings.messaging.schedules.turns import Turns
from tidings.testing import ManualClock

__all__: list[str] = []


class TestCore(OnNats, Scheduling):
    async def test_another_one_runs_what_a_dead_process_began(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with (
            NatsBroker(self.url) as dead,
            self.scheduled(clock, handler, missed="once", lease=1) as broker,
        ):
            marks = await KvMarks("tidings-schedules").open(dead.adapter)
            turns = Turns(marks, self.name, 1.0, is_kept=True)
            assert await turns.take(clock.now() + 10)
            await broker.start()
            await clock.advance(10)
            async with asyncio.timeout(LIMIT):
                while not seen:  # the lease is told by the server's clock
                    await asyncio.sleep(0.1)
                    await clock.advance(1)

    async def test_a_store_that_goes_away_ends_no_schedule(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()
        bucket = f"{self.name}-turns"

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with self.scheduled(clock, handler, store=KvMarks(bucket)) as broker:
            await broker.start()
            await broker.adapter.jetstream.delete_key_value(bucket)
            await clock.advance(10)
            (state,) = (await broker.health()).subscribers
            assert f"its store does not answer: bucket {bucket!r}" in state.trouble
            await KvMarks(bucket).open(broker.adapter)
            await clock.advance(10)
            assert (await broker.health()).is_healthy
        assert [each.second for each in seen] == [20]

    async def test_it_goes_on_after_a_cut(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with (
            Proxy(self.url) as proxy,
            NatsBroker(proxy.url, reconnect_time_wait=0.01, max_reconnect_attempts=-1, logger=None) as broker,
        ):
            broker.clock = clock
            broker.every("10s", name=self.name)(handler)
            await broker.start()
            await clock.advance(10)
            proxy.cut()
            async with asyncio.timeout(LIMIT):
                while len(seen) < 2:  # until it has reconnected a tick may be skipped
                    await clock.advance(10)


class TestOnStreams(OnStreams, Scheduling):
    pass


async def test_a_run_keeps_its_lease(nats_url: str) -> None:
    clock, seen, gate = ManualClock(), Seen[datetime](), Gate(2)

    async def handler(scheduled: datetime) -> None:
        seen.add(scheduled)
        await gate.wait()

    async with NatsBroker(nats_url, logger=None) as broker, NatsBroker(nats_url) as other:
        broker.clock = clock
        broker.every("10s", name="keeps-its-lease", lease=3)(handler)
        await broker.start()
        await clock.advance(10, wait=False)
        await seen.until(1)
        marks = await KvMarks("tidings-schedules").open(other.adapter)
        # A mark of the same time, made later, comes and goes while it stays.
        assert await marks.create("marker", "x", 3.0)
        async with asyncio.timeout(LIMIT):
            while await marks.get("marker"):  # noqa: ASYNC110  the server tells nobody
                await asyncio.sleep(0.05)
        bucket = await other.key_value("tidings-schedules")
        keys = [key async for key in bucket.keys()]  # noqa: SIM118  it is no dict
        (run,) = [key for key in keys if key.startswith("keeps-its-lease-") and key.endswith("-run")]
        assert await marks.get(run)
        gate.opened.set()
