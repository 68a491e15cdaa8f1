"""The part of the conformance tests about handlers that are called at times."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from tests.brokers.harness import LIMIT, Gate, Harness, Seen
from tidings.testing import ManualClock

__all__ = ["Scheduling"]


class Scheduling(Harness):
    """One run in all processes, at each tick."""

    def scheduled(self, clock: ManualClock, handler: Any, **options: Any) -> Any:
        """A process with the schedule of this test."""
        broker = self.broker(logger=None)
        broker.clock = clock
        broker.every("10s", name=self.name, **options)(handler)
        return broker

    async def test_one_process_runs_each_tick(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with (
            self.scheduled(clock, handler) as one,
            self.scheduled(clock, handler) as two,
            self.scheduled(clock, handler) as three,
        ):
            for broker in (one, two, three):
                await broker.start()
            for tick in range(1, 6):
                await clock.advance(10, sleepers=3, timeout=LIMIT)
                await seen.until(tick)
            await clock.asleep(3, LIMIT)
        assert Counter(seen) == {datetime(2030, 1, 1, 0, 0, 10 * tick, tzinfo=UTC): 1 for tick in range(1, 6)}

    async def test_a_clock_that_is_behind_runs_nothing_again(self) -> None:
        ahead, behind, seen = ManualClock(), ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with self.scheduled(ahead, handler) as one, self.scheduled(behind, handler) as two:
            await one.start()
            await two.start()
            await ahead.advance(13, timeout=LIMIT)
            await seen.until(1)
            await ahead.asleep(1, LIMIT)
            await behind.advance(12, timeout=LIMIT)
            await behind.asleep(1, LIMIT)
            await behind.advance(10, timeout=LIMIT)
            await seen.until(2)
            await behind.asleep(1, LIMIT)
            await ahead.advance(10, timeout=LIMIT)
            await ahead.asleep(1, LIMIT)
        assert [each.second for each in seen] == [10, 20]

    async def test_a_run_that_outlasts_its_interval_is_not_joined(self) -> None:
        clock, seen, gate = ManualClock(), Seen[datetime](), Gate(2)

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)
            await gate.wait()

        async with self.scheduled(clock, handler) as one, self.scheduled(clock, handler) as two:
            await one.start()
            await two.start()
            await clock.advance(10, sleepers=2, timeout=LIMIT)
            await seen.until(1)
            for _ in range(3):
                await clock.advance(10, sleepers=2, timeout=LIMIT)
            await clock.asleep(2, LIMIT)
            assert len(seen) == 1
            gate.opened.set()
        assert len(seen) == 1

    async def test_what_was_missed_is_run_once(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with self.broker(logger=None) as keeper:  # so that one in memory does not forget
            await keeper.start()
            async with self.scheduled(clock, handler, missed="once") as broker:
                await broker.start()
                await clock.advance(10, timeout=LIMIT)
                await seen.until(1)
                await clock.asleep(1, LIMIT)
            clock = ManualClock(datetime(2030, 1, 1, 0, 1, 5, tzinfo=UTC))
            async with self.scheduled(clock, handler, missed="once") as broker:
                await broker.start()
                await seen.until(2)
                await clock.advance(10, timeout=LIMIT)
                await seen.until(3)
        assert [each.strftime("%M:%S") for each in seen] == ["00:10", "01:00", "01:10"]

    async def test_its_result_is_published(self) -> None:
        clock, seen = ManualClock(), Seen[Any]()
        async with self.broker(logger=None) as broker:
            broker.clock = clock

            @broker.cron("0 * * * *", name=self.name)
            @self.publisher(broker, "out")
            async def report(scheduled: datetime) -> dict[str, int]:
                return {"hour": scheduled.hour}

            @self.subscriber(broker, "out")
            async def see(report: dict[str, int]) -> None:
                seen.add(report)

            await broker.start()
            await clock.advance(3600, timeout=LIMIT)
            assert await seen.until(1) == [{"hour": 1}]

    async def test_a_stop_waits_for_the_run_and_what_follows(self) -> None:
        clock, seen, gate, entered = ManualClock(), Seen[Any](), asyncio.Event(), asyncio.Event()
        async with self.broker(logger=None) as broker:
            broker.clock = clock

            @broker.every("1h", name=self.name)
            @self.publisher(broker, "out")
            async def report() -> str:
                entered.set()
                await asyncio.wait_for(gate.wait(), LIMIT)
                return "done"

            @self.subscriber(broker, "out")
            async def see(report: str) -> None:
                seen.add(report)

            await broker.start()
            await clock.advance(3600, timeout=LIMIT)
            await asyncio.wait_for(entered.wait(), LIMIT)
            stopping = asyncio.create_task(broker.stop())
            await asyncio.sleep(0)
            gate.set()
            await asyncio.wait_for(stopping, LIMIT)
        assert seen == ["done"]
