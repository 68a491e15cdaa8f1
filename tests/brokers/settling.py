"""The part of the conformance tests about what fails, and about messages that are settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.brokers.harness import LIMIT, Harness, Seen, soon
from tidings import (
    AckMessage,
    AckPolicy,
    Batch,
    Message,
    NackMessage,
    RejectMessage,
    Retry,
    SkipMessage,
)

__all__ = ["Retrying", "Settling"]

QUICK = Retry(attempts=3, backoff=0.01, jitter=0)


class Retrying(Harness):
    """Retries and dead letters, however the broker delivers again, or the message is tried in place."""

    async def test_it_is_tried_until_it_succeeds(self) -> None:
        results, calls = Seen[int](), Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", retry=QUICK, dead_letter=self.address("dead"))
            @self.publisher(broker, "out")
            async def handler(number: int) -> int:
                calls.add(number)
                if calls.count(number) < 3:
                    raise RuntimeError("not yet")
                return number

            letters = self.seen(broker, "dead", bytes)
            collected = self.seen(broker, "out", int)
            await broker.start()
            for number in range(3):
                await self.publish(broker, number, "in")
            results.extend(await collected.until(3))
        assert sorted(calls) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert sorted(results) == [0, 1, 2]
        assert letters == []

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            ({"retry": QUICK}, 3),
            ({"retry": Retry(attempts=1)}, 1),
            ({"retry": Retry(backoff=0.01, on=ValueError)}, 1),
            ({"retry": QUICK, "timeout": 0.05}, 3),
        ],
        ids=["tries", "one", "other-errors", "timeout"],
    )
    async def test_tries_before_the_end(self, options: Any, count: int) -> None:
        calls = Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", dead_letter=self.address("dead"), **options)
            async def handler(number: int) -> None:
                calls.add(number)
                if "timeout" in options:
                    await asyncio.Event().wait()
                raise RuntimeError("always")

            letters = self.seen(broker, "dead", int)
            await broker.start()
            await self.publish(broker, 7, "in")
            assert await letters.until(1) == [7]
        assert calls == [7] * count

    async def test_without_a_retry_and_a_dead_letter(self, caplog: pytest.LogCaptureFixture) -> None:
        """Tried again all the same, and in the end told with the payload; what is not valid at once."""
        calls, behind = Seen[int](), Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w")
            async def handler(number: int) -> None:
                if number:
                    behind.add(number)
                    return
                calls.add(number)
                if len(calls) == 1:
                    raise RuntimeError("not yet")

            await broker.start()
            await self.publish(broker, "no number", "in")
            await self.publish(broker, 0, "in")
            await calls.until(2)
            await self.publish(broker, 1, "in")
            await behind.until(1)
        assert calls == [0, 0]
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert vars(record)["payload_head"] == b"no number"

    async def test_workers_do_not_wait_for_each_other(self) -> None:
        calls, done = Seen[int](), Seen[int]()
        retry = Retry(attempts=2, backoff=3600, max_delay=3600)
        broker = self.broker(graceful_timeout=LIMIT)

        @self.subscriber(broker, "in", queue="w", workers=2, retry=retry)
        async def handler(number: int) -> None:
            calls.add(number)
            if number == 0:
                raise RuntimeError("waits for an hour, or for the stop")
            done.add(number)

        await broker.start()
        for number in range(10):
            await self.publish(broker, number, "in")
        assert sorted(await done.until(9)) == list(range(1, 10))
        await asyncio.wait_for(broker.stop(), LIMIT)

    @pytest.mark.parametrize(
        ("value", "attempts", "error"), [(1, "3", "RuntimeError: always"), ("x", "1", "ValidationError")]
    )
    async def test_a_dead_letter_says_what_failed(self, value: Any, attempts: str, error: str) -> None:
        letters = Seen[Any]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", retry=QUICK, dead_letter=self.address("dead"))
            async def handler(number: int) -> None:
                raise RuntimeError("always")

            @self.subscriber(broker, "dead")
            async def bury(body: bytes, message: Message[Any]) -> None:
                letters.add((body, dict(message.headers)))

            await broker.start()
            await self.publish(broker, value, "in", headers={"tenant": "a"}, correlation_id="c-1")
            ((body, headers),) = await letters.until(1)
        assert body == str(value).encode()
        assert headers["tenant"] == "a"
        assert headers["correlation_id"] == "c-1"
        assert headers["dead-letter-source"] == self.address("in")
        assert headers["dead-letter-attempts"] == attempts
        assert error in headers["dead-letter-error"]
        assert headers["dead-letter-time"].startswith("20")


class Settling(Harness):
    """Ack policies, retries, dead letters and batches."""

    async def settled(self, act: Callable[[int], Awaitable[None]], **options: Any) -> list[int]:
        """The numbers that a handler with these options sees, of which it `act`s on the 1, until all is done.

        A second service takes over what the first one leaves, so that what is to come again does.
        """
        calls = Seen[int]()

        def service() -> Any:
            broker = self.broker()

            @self.subscriber(broker, "in", queue="w", **options)
            async def handler(number: int) -> None:
                calls.add(number)
                if number == 1:
                    await act(calls.count(1))

            return broker

        async with service() as first:
            await first.start()
            await self.publish(first, 1, "in")
            await calls.until(1)
            await self.publish(first, 2, "in")
            await soon(lambda: 2 in calls and calls.count(1) >= self.expected_calls)
        async with service() as second:
            await second.start()
            await self.publish(second, 3, "in")
            await soon(lambda: 3 in calls)
        return sorted(calls)

    expected_calls = 1

    async def test_a_failure_is_tried_again_until_it_succeeds(self) -> None:
        self.expected_calls = 3

        async def act(attempt: int) -> None:
            if attempt < 3:
                raise RuntimeError("not yet")

        assert await self.settled(act, retry=Retry(attempts=5, backoff=0.01)) == [1, 1, 1, 2, 3]

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            ({"retry": QUICK}, 3),
            ({"retry": Retry(attempts=3, backoff=0.01, on=ValueError)}, 1),
            ({"ack_policy": AckPolicy.ACK}, 1),
            ({"ack_policy": AckPolicy.ACK, "retry": QUICK}, 3),
            ({"ack_policy": AckPolicy.ACK_FIRST}, 1),
            ({"ack_policy": AckPolicy.REJECT_ON_ERROR, "retry": QUICK}, 3),
        ],
        ids=["default", "other-errors", "ack", "ack-retry", "ack-first", "reject"],
    )
    async def test_tries_of_each_policy(self, options: Any, count: int) -> None:
        self.expected_calls = count

        async def act(attempt: int) -> None:
            raise RuntimeError("always")

        assert await self.settled(act, **options) == [*[1] * count, 2, 3]

    async def test_nack_on_error_goes_on_and_on(self) -> None:
        self.expected_calls = 7

        async def act(attempt: int) -> None:
            if attempt < 7:
                raise RuntimeError("not yet")

        retry = Retry(attempts=2, backoff=0.01, max_delay=0.01)
        options = {"ack_policy": AckPolicy.NACK_ON_ERROR, "retry": retry}
        assert await self.settled(act, **options) == [*[1] * 7, 2, 3]

    @pytest.mark.parametrize(
        ("verdict", "count"),
        [(AckMessage, 1), (SkipMessage, 1), (RejectMessage, 1), (NackMessage, 2)],
        ids=["ack", "skip", "reject", "nack"],
    )
    async def test_a_handler_can_say_what_becomes_of_a_message(self, verdict: Any, count: int) -> None:
        self.expected_calls = count

        async def act(attempt: int) -> None:
            if attempt == 1:
                raise NackMessage(0.01) if verdict is NackMessage else verdict

        assert await self.settled(act) == [*[1] * count, 2, 3]

    async def test_settled_by_hand(self) -> None:
        seen, told = Seen[int](), asyncio.Event()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", ack_policy=AckPolicy.MANUAL)
            async def handler(number: int, message: Message[Any]) -> None:
                seen.add(number)
                assert not message.is_settled
                if seen.count(number) == 1:
                    await message.nack(0.01)
                elif number == 1:
                    await message.ack()
                else:
                    await message.reject("enough")
                assert message.is_settled
                await message.ack()  # changes nothing
                if len(seen) == 4:
                    told.set()

            await broker.start()
            await self.publish(broker, 1, "in")
            await self.publish(broker, 2, "in")
            await asyncio.wait_for(told.wait(), LIMIT)
        assert sorted(seen) == [1, 1, 2, 2]

    async def test_a_batch_is_one_call(self) -> None:
        batches = Seen[list[int]]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", batch=Batch(4, timeout=3600.0))
            async def handler(numbers: list[int]) -> None:
                batches.add(numbers)

            await broker.start()
            for number in range(12):
                await self.publish(broker, number, "in")
            assert await batches.until(3) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]

    async def test_a_batch_that_is_not_full_is_handled_in_time(self) -> None:
        batches = Seen[list[int]]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", batch=Batch(100, timeout=0.05))
            async def handler(numbers: list[int]) -> None:
                batches.add(numbers)

            await broker.start()
            for value in (1, "x", 3):  # what is not valid is settled by itself
                await self.publish(broker, value, "in")
            await soon(lambda: sum(map(len, batches)) >= 2)
        assert [number for batch in batches for number in batch] == [1, 3]
