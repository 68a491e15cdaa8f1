"""The part of the conformance tests about handlers that are called at times."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.brokers.harness import LIMIT, Gate, Harness, Seen
from tidings import Depends, Logger, Message, Retry
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
                await clock.advance(10)
                await seen.until(tick)
        assert Counter(seen) == {datetime(2030, 1, 1, 0, 0, 10 * tick, tzinfo=UTC): 1 for tick in range(1, 6)}

    async def test_a_clock_that_is_behind_runs_nothing_again(self) -> None:
        ahead, behind, seen = ManualClock(), ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with self.scheduled(ahead, handler) as one, self.scheduled(behind, handler) as two:
            await one.start()
            await two.start()
            await ahead.advance(13)
            await seen.until(1)
            await behind.advance(12)
            await behind.advance(10)
            await seen.until(2)
            await ahead.advance(10)
        assert [each.second for each in seen] == [10, 20]

    async def test_a_run_that_outlasts_its_interval_is_not_joined(self) -> None:
        clock, seen, gate = ManualClock(), Seen[datetime](), Gate(2)

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)
            await gate.wait()

        async with self.scheduled(clock, handler) as one, self.scheduled(clock, handler) as two:
            await one.start()
            await two.start()
            await clock.advance(10, wait=False)
            await seen.until(1)
            for _ in range(3):
                await clock.advance(10, wait=False)
            assert len(seen) == 1
            gate.opened.set()
            await clock.settle()
            await clock.advance(10)
        assert [each.second for each in seen] == [10, 50]

    async def test_what_was_missed_is_run_once(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with self.broker(logger=None) as keeper:  # so that one in memory does not forget
            await keeper.start()
            async with self.scheduled(clock, handler, missed="once") as broker:
                await broker.start()
                await clock.advance(10)
                await seen.until(1)
            clock = ManualClock(datetime(2030, 1, 1, 0, 1, 5, tzinfo=UTC))
            async with self.scheduled(clock, handler, missed="once") as broker:
                await broker.start()
                await seen.until(2)
                await clock.advance(10)
                await seen.until(3)
        assert [each.strftime("%M:%S") for each in seen] == ["00:10", "01:00", "01:10"]

    async def test_it_begins_when_all_others_listen(self) -> None:
        clock, seen = ManualClock(), Seen[str]()
        async with self.broker(logger=None) as keeper:
            await keeper.start()
            async with self.scheduled(clock, lambda: None, missed="once") as broker:
                await broker.start()
                await clock.settle()
            async with self.broker(logger=None) as broker:
                broker.clock = ManualClock(datetime(2030, 1, 1, 0, 1, 5, tzinfo=UTC))

                @broker.every("10s", name=self.name, missed="once")
                @self.publisher(broker, "out")
                async def report() -> str:
                    return "missed"

                @self.subscriber(broker, "out")
                async def see(report: str) -> None:
                    seen.add(report)

                await broker.start()
                assert await seen.until(1) == ["missed"]

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
            await clock.advance(3600)
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
            await clock.advance(3600, wait=False)
            await asyncio.wait_for(entered.wait(), LIMIT)
            stopping = asyncio.create_task(broker.stop())
            await asyncio.sleep(0)
            gate.set()
            await asyncio.wait_for(stopping, LIMIT)
        assert seen == ["done"]

    async def test_a_failure_is_told_and_the_next_tick_comes(self, caplog: pytest.LogCaptureFixture) -> None:
        clock, seen = ManualClock(), Seen[datetime]()
        async with self.broker() as broker:
            broker.clock = clock

            @broker.every("10s", name=self.name)
            async def handler(scheduled: datetime) -> None:
                seen.add(scheduled)
                raise RuntimeError("no luck")

            await broker.start()
            await clock.advance(10)
            await clock.advance(10)
        assert [each.second for each in seen] == [10, 20]
        assert caplog.text.count("RuntimeError: no luck; given up after try 1") == 2

    async def test_a_tick_is_tried_again_where_that_is_asked_for(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()
        async with self.broker(logger=None) as broker:
            broker.clock = clock

            @broker.every("10s", name=self.name, retry=Retry(attempts=3, backoff=0))
            async def handler(scheduled: datetime) -> None:
                seen.add(scheduled)
                if len(seen) < 3:
                    raise RuntimeError("not yet")

            await broker.start()
            await clock.advance(10)
        assert [each.second for each in seen] == [10, 10, 10]

    async def test_it_has_dependencies_and_middlewares(self) -> None:
        clock, seen = ManualClock(), []

        async def of_broker(message: Message[Any], call_next: Any) -> Any:
            seen.append(f"broker {message.channel == channel}")
            return await call_next(message)

        async def of_schedule(message: Message[Any], call_next: Any) -> Any:
            seen.append("schedule")
            return await call_next(message)

        def session(scheduled: datetime) -> Iterator[str]:
            yield f"of {scheduled.second}"
            seen.append("closed")

        async with self.broker(middlewares=[of_broker], logger=None) as broker:
            broker.clock, channel = clock, f"{self.name} every 10s"

            @broker.every("10s", name=self.name, middlewares=[of_schedule])
            async def handler(message: Message[Any], logger: Logger, given: str = Depends(session)) -> None:
                seen.append(f"handler {given} {message.body.decode()}")

            await broker.start()
            await clock.advance(10)
        assert seen == [
            "broker True",
            "schedule",
            "handler of 10 2030-01-01T00:00:10+00:00",
            "closed",
        ]

    async def test_everywhere_each_process_runs_every_tick(self) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        def handler(scheduled: datetime) -> None:
            seen.append(scheduled)

        async with (
            self.scheduled(clock, handler, everywhere=True) as one,
            self.scheduled(clock, handler, everywhere=True) as two,
        ):
            await one.start()
            await two.start()
            await clock.advance(10)
            await clock.advance(10)
        assert [each.second for each in seen] == [10, 10, 20, 20]

    async def test_a_long_run_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        clock, gate = ManualClock(), Gate(2)

        async def handler() -> None:
            await gate.wait()

        async with self.scheduled(clock, handler) as one, self.broker() as two:
            two.clock = clock
            two.every("10s", name=self.name)(handler)
            await one.start()
            await clock.advance(10, wait=False)
            await two.start()
            for _ in range(3):
                await clock.advance(10, wait=False)
            gate.opened.set()
            await clock.settle()
        assert caplog.text.count("skips the tick of 2030-01-01T00:00:20+00:00, and those to come") == 1
        assert caplog.text.count("skips the tick") == 1

    async def test_a_clock_that_jumps_runs_the_last_tick_and_tells(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, seen = ManualClock(), Seen[datetime]()

        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)

        async with self.broker() as broker:
            broker.clock = clock
            broker.every("10s", name=self.name)(handler)
            await broker.start()
            await clock.advance(45)
        assert [each.second for each in seen] == [40]
        assert "is late: it goes on with the tick of 2030-01-01T00:00:40+00:00" in caplog.text

    async def test_it_can_stop_its_broker_and_be_started_again(self) -> None:
        clock, seen, stopping = ManualClock(), Seen[datetime](), []
        broker = self.broker(logger=None)
        broker.clock = clock

        @broker.every("10s", name=self.name)
        async def handler(scheduled: datetime) -> None:
            seen.add(scheduled)
            if len(seen) == 1:
                stopping.append(asyncio.create_task(broker.stop()))

        async with self.broker(logger=None) as keeper:
            await keeper.start()
            async with broker:
                await broker.start()
                await clock.advance(10)
                await asyncio.wait_for(stopping[0], LIMIT)
                assert [each.trouble for each in (await broker.health()).subscribers] == ["it is not started"]
            async with broker:
                await broker.start()
                assert (await broker.health()).is_healthy
                await clock.advance(10)
                assert [each.second for each in seen] == [10, 20]

    async def test_a_stop_that_takes_too_long_cancels_the_run(self) -> None:
        clock, ended, entered = ManualClock(), asyncio.Event(), asyncio.Event()
        broker = self.broker(logger=None, graceful_timeout=0.05)
        broker.clock = clock

        @broker.every("10s", name=self.name)
        async def handler() -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with broker:
            await broker.start()
            await clock.advance(10, wait=False)
            await asyncio.wait_for(entered.wait(), LIMIT)
        assert ended.is_set()
