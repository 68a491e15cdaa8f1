"""What every broker does alike. An adapter passes by subclassing what it can, with a few lines::

    class TestKafka(Conformance, Answering, Settling):
        def broker(self, **options): return KafkaBroker(self.url, **options)

No test knows more of a broker than `Harness` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.brokers.around import Around
from tests.brokers.harness import LIMIT, Gate, Harness, Order, Seen, soon
from tests.brokers.settling import Retrying, Settling
from tidings import (
    Context,
    Depends,
    Header,
    Message,
    NoRespondersError,
    NotConnectedError,
    Path,
    PublishError,
    RemoteError,
    RequestTimeoutError,
    Retry,
    Router,
    SetupError,
)

__all__ = ["Answering", "Conformance", "Reconnecting", "Retrying", "Settling"]

MANY = 100


class Conformance(Around):
    """Delivery, order, addresses, queue groups, injection, life and stop."""

    async def test_a_failure_that_is_no_exception_does_not_end_the_subscriber(self) -> None:
        class Odd(BaseException):
            """As what `pytest.fail` raises."""

        seen = Seen[int]()
        async with self.broker(logger=None) as broker:

            @self.subscriber(broker, "in")
            async def handler(number: int) -> None:
                if number == 1:
                    raise Odd
                seen.add(number)

            await broker.start()
            for number in (1, 2, 3):
                await self.publish(broker, number, "in")
            assert await seen.until(2) == [2, 3]

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": "x"},
            {"headers": {"a": 1}},
            {"correlation_id": 3},
            {"correlation_id": "a\nb: c"},
        ],
        ids=["headers", "header", "correlation-id", "two-lines"],
    )
    async def test_what_is_no_part_of_a_message_is_refused(self, options: dict[str, Any]) -> None:
        async with self.broker() as broker:
            seen = self.seen(broker, "in", int)
            await broker.start()
            with pytest.raises(PublishError):
                await self.publish(broker, 1, "in", **options)
            with pytest.raises(PublishError, match="must be a str, not dict"):
                await broker.publish(self.address("in"), {"id": 1})  # the other way round
            await self.publish(broker, 2, "in")
            assert await seen.until(1) == [2]

    async def test_an_address_that_is_none_is_refused_as_soon_as_it_is_used(self) -> None:
        async with self.broker() as broker:
            for subject in ("a b", "a..b", ">.a"):
                subscriber = broker.subscriber(subject)
                with pytest.raises(SetupError, match="subject "):
                    await subscriber.start()
            router = Router(prefix="of.{tenant}.")
            router.publisher("out")
            with pytest.raises(SetupError, match=r"'of\.\{tenant\}\.out' has a named part, which only subs"):
                broker.include_router(router)

    @pytest.mark.parametrize(
        ("value", "into", "expected"),
        [
            (b"\x00\xff", bytes, b"\x00\xff"),
            ("héllo", str, "héllo"),
            ({"id": 1}, Order, Order(id=1)),
            (Order(id=2, shop="rom"), dict, {"id": 2, "shop": "rom"}),
            ([1, 2], list[int], [1, 2]),
            (None, bytes, b""),
        ],
        ids=["bytes", "str", "model", "dict", "list", "none"],
    )
    async def test_a_value_arrives_as_it_was_sent(self, value: Any, into: Any, expected: Any) -> None:
        async with self.broker() as broker:
            seen = self.seen(broker, "in", into)
            await broker.start()
            await self.publish(broker, value, "in")
            assert await seen.until(1) == [expected]

    async def test_messages_keep_their_order(self) -> None:
        async with self.broker() as broker:
            seen = self.seen(broker, "in", int)
            await broker.start()
            for number in range(MANY):
                await self.publish(broker, number, "in")
            assert await seen.until(MANY) == list(range(MANY))

    async def test_each_subscriber_gets_a_copy(self) -> None:
        async with self.broker() as one, self.broker() as other:
            all_seen = [self.seen(broker, "in", int) for broker in (one, one, other)]
            await one.start()
            await other.start()
            for number in range(10):
                await self.publish(one, number, "in")
            for seen in all_seen:
                assert await seen.until(10) == list(range(10))

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [("a.*", ["a.b"]), ("a.>", ["a.b", "a.b.c"]), ("*.b", ["a.b"]), ("a.b", ["a.b"])],
        ids=["token", "rest", "first", "literal"],
    )
    async def test_wildcards(self, pattern: str, expected: list[str]) -> None:
        async with self.broker() as broker:
            seen = self.seen(broker, pattern, str)
            ends = self.seen(broker, "end", str)
            await broker.start()
            for name in ("a", "a.b", "a.b.c", "b.a"):
                await self.publish(broker, name, name)
            await self.publish(broker, "end", "end")
            await ends.until(1)
            assert await seen.until(len(expected)) == expected

    async def test_named_parts_of_an_address(self) -> None:
        async with self.broker() as broker:
            seen = Seen[Any]()

            @self.subscriber(broker, "logs.{level}.{number}")
            async def handler(body: bytes, level: str = Path(), number: int = Path()) -> None:
                seen.add((level, number))

            await broker.start()
            await self.publish(broker, b"", "logs.info.7")
            assert await seen.until(1) == [("info", 7)]

    async def test_a_queue_group_shares_its_messages(self) -> None:
        gate, seen = Gate(2), Seen[tuple[str, int]]()
        async with self.broker() as one, self.broker() as other:
            for name, broker in (("one", one), ("other", other)):

                @self.subscriber(broker, "in", queue="w")
                async def handler(number: int, name: str = name) -> None:
                    seen.add((name, number))
                    await gate.wait()

            await one.start()
            await other.start()
            for number in range(MANY):
                await self.publish(one, {"number": number}, "in")
            await seen.until(MANY)
            assert sorted(number for _, number in seen) == list(range(MANY))

    async def test_a_queue_group_beside_one_who_listens_alone(self) -> None:
        async with self.broker() as broker:
            members = [self.seen(broker, "in", int, queue="w") for _ in range(2)]
            alone = self.seen(broker, "in", int)
            ends = self.seen(broker, "end", int, queue="e")
            await broker.start()
            for number in range(10):
                await self.publish(broker, number, "in")
            assert await alone.until(10) == list(range(10))
            await soon(lambda: sum(map(len, members)) >= 10)
            await self.publish(broker, 0, "end")
            await ends.until(1)
            assert sorted(members[0] + members[1]) == list(range(10))

    async def test_workers_handle_several_at_once(self) -> None:
        gate, seen = Gate(3), Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", workers=3)
            async def handler(number: int) -> None:
                await gate.wait()
                seen.add(number)

            await broker.start()
            for number in range(9):
                await self.publish(broker, number, "in")
            assert sorted(await seen.until(9)) == list(range(9))

    async def test_headers_and_the_correlation_id_come_along(self) -> None:
        seen = Seen[Any]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            async def handler(
                body: bytes,
                message: Message[Any],
                tenant: str = Header(),
                known: str = Context("message.correlation_id"),
            ) -> None:
                seen.add((tenant, message.correlation_id, known, message.channel))

            await broker.start()
            await self.publish(broker, b"", "in", headers={"tenant": "a"}, correlation_id="c-1")
            assert await seen.until(1) == [("a", "c-1", "c-1", self.address("in"))]

    async def test_what_handlers_publish_belongs_to_their_message(self) -> None:
        ids = Seen[str]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            @self.publisher(broker, "middle")
            async def first(order: Order) -> Order:
                return order

            @self.subscriber(broker, "middle")
            async def second(order: Order) -> None:
                await self.publish(broker, order, "out")

            @self.subscriber(broker, "out")
            async def third(order: Order, correlation_id: str = Context("message.correlation_id")) -> None:
                ids.add(f"{order.id} {correlation_id}")

            await broker.start()
            await self.publish(broker, Order(id=1), "in", correlation_id="c-1")
            assert await ids.until(1) == ["1 c-1"]

    async def test_dependencies_and_plain_functions(self) -> None:
        seen, loop = Seen[Any](), asyncio.get_running_loop()

        def limit() -> int:
            return 7

        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            def handler(order: Order, most: int = Depends(limit)) -> None:
                loop.call_soon_threadsafe(seen.add, (order.id, most))

            await broker.start()
            await self.publish(broker, {"id": 1}, "in")
            assert await seen.until(1) == [(1, 7)]

    async def test_failures_and_invalid_messages_do_not_end_a_subscriber(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen = Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            async def handler(number: int) -> None:
                if number == 1:
                    raise RuntimeError("as planned")
                seen.add(number)

            await broker.start()
            for value in (1, "no number", 3):
                await self.publish(broker, value, "in")
            assert await seen.until(1) == [3]
        assert "RuntimeError: as planned" in caplog.text
        assert "no number" in caplog.text

    async def test_a_subscriber_made_at_run_time(self) -> None:
        async with self.broker() as broker:
            await broker.start()
            seen = Seen[int]()
            subscriber = self.subscriber(broker, "in")

            @subscriber
            async def handler(number: int) -> None:
                seen.add(number)

            await subscriber.start()
            await self.publish(broker, 1, "in")
            await seen.until(1)
            await subscriber.stop()
            others = self.seen(broker, "in2", int)
            await broker.start()
            await self.publish(broker, 2, "in")
            await self.publish(broker, 3, "in2")
            assert await others.until(1) == [3]
            assert seen == [1]

    async def test_a_broker_can_be_used_again(self) -> None:
        broker = self.broker()
        seen = self.seen(broker, "in", int, queue="w")
        for number in range(2):
            async with broker:
                await broker.start()
                assert await broker.ping()
                await self.publish(broker, number, "in")
                await seen.until(number + 1)
            assert not await broker.ping()
        await broker.stop()
        assert seen == [0, 1]

    async def test_a_broker_that_is_not_connected_says_what_to_do(self) -> None:
        with pytest.raises(NotConnectedError, match="connect"):
            await self.publish(self.broker(), 1, "in")

    async def test_a_subscriber_that_cannot_be_is_refused(self) -> None:
        for options, words in (({"workers": 0}, "workers"), ({}, "twice")):
            async with self.broker() as broker:
                self.subscriber(broker, "{a}.{a}" if not options else "in", **options)(print_it)
                with pytest.raises(SetupError, match=words):
                    await broker.start()

    async def test_a_stop_loses_nothing(self) -> None:
        """What the stop does not handle is there for the next one, on a broker that keeps messages."""
        gate, handled = Gate(10**9), Seen[int]()

        def service() -> Any:
            broker = self.broker()

            @self.subscriber(broker, "in", queue="w")
            @self.publisher(broker, "out")
            async def handler(number: int) -> int:
                await gate.wait()
                handled.add(number)
                return number

            return broker

        async with self.broker() as collector:
            results = self.seen(collector, "out", int)
            await collector.start()
            first = service()
            await first.start()
            for number in range(MANY):
                await self.publish(first, number, "in")
            await asyncio.wait_for(gate.entered.wait(), LIMIT)
            stopping = asyncio.ensure_future(first.stop())
            await asyncio.sleep(0)
            assert not stopping.done()
            gate.opened.set()
            await asyncio.wait_for(stopping, LIMIT)
            async with service() as second:
                await second.start()
                await results.until(MANY)
        assert Counter(handled) == Counter(range(MANY))
        assert Counter(results) == Counter(range(MANY))

    async def test_a_stop_ends_handlers_that_take_too_long(self) -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()
        broker = self.broker(graceful_timeout=0.1)

        @self.subscriber(broker, "in", queue="w")
        async def handler(body: bytes) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        await broker.start()
        await self.publish(broker, b"", "in")
        await asyncio.wait_for(started.wait(), LIMIT)
        await asyncio.wait_for(broker.stop(), LIMIT)
        assert cancelled.is_set()

    async def test_a_stop_from_within_a_handler_does_not_wait_for_itself(self) -> None:
        stopped, broker = asyncio.Event(), self.broker()

        @self.subscriber(broker, "in")
        async def handler(body: bytes) -> None:
            await broker.stop()
            stopped.set()

        await broker.start()
        client = broker.client
        await self.publish(broker, b"", "in")
        await asyncio.wait_for(stopped.wait(), LIMIT)
        await soon(lambda: self.is_closed(client))


class Answering(Harness):
    """Requests and their answers."""

    async def test_a_request_gets_the_result(self) -> None:
        async with self.broker() as service, self.broker() as asking:

            @self.subscriber(service, "in", queue="w")
            async def handler(order: Order) -> Order:
                return Order(id=order.id + 1)

            await service.start()
            answer = await self.request(asking, {"id": 1}, "in", timeout=LIMIT, correlation_id="c-1")
            assert await answer.decode(Order) == Order(id=2)
            assert answer.correlation_id == "c-1"

    @pytest.mark.parametrize("timeout", ["soon", None, float("nan")], ids=["text", "none", "nan"])
    async def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(self, timeout: Any) -> None:
        async with self.broker() as broker:
            seen = self.seen(broker, "in", bytes)
            publisher = self.publisher(broker, "in")
            await broker.start()
            for wait in (
                self.request(broker, b"refused", "in", timeout=timeout),
                publisher.request(b"refused", timeout=timeout),
                broker.ping(timeout),
                broker.health(timeout),
            ):
                with pytest.raises(SetupError, match=r"^timeout is a number of seconds"):
                    await wait
            await self.publish(broker, b"marker", "in")
            assert await seen.until(1) == [b"marker"]

    async def test_many_requests_at_once(self) -> None:
        async with self.broker() as broker:

            @self.subscriber(broker, "in", workers=4)
            async def handler(number: int) -> int:
                await asyncio.sleep(0)
                return -number

            await broker.start()
            answers = await asyncio.gather(
                *(self.request(broker, number, "in", timeout=LIMIT) for number in range(50))
            )
            assert [await answer.decode(int) for answer in answers] == [-number for number in range(50)]

    @pytest.mark.parametrize(("succeeds_at", "expected"), [(3, 7), (99, None)], ids=["answer", "error"])
    async def test_with_a_retry_only_the_end_is_told(self, succeeds_at: int, expected: int | None) -> None:
        calls = Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in", queue="w", retry=Retry(attempts=3, backoff=0.01))
            async def handler(number: int) -> int:
                calls.add(number)
                if len(calls) < succeeds_at:
                    raise RuntimeError("not yet")
                return number

            await broker.start()
            if expected is None:
                with pytest.raises(RemoteError, match="RuntimeError"):
                    await self.request(broker, 7, "in", timeout=LIMIT)
            else:
                answer = await self.request(broker, 7, "in", timeout=LIMIT)
                assert await answer.decode(int) == expected
        assert calls == [7, 7, 7]

    async def test_none_is_an_empty_answer(self) -> None:
        async with self.broker() as broker:
            self.subscriber(broker, "in")(print_it)
            await broker.start()
            assert (await self.request(broker, b"", "in", timeout=LIMIT)).body == b""

    @pytest.mark.parametrize(
        ("value", "code", "description"),
        [(0, "409", "taken"), (1, "500", "RuntimeError"), ("x", "400", "number")],
        ids=["deliberate", "failure", "invalid"],
    )
    async def test_a_failure_is_answered_at_once(self, value: Any, code: str, description: str) -> None:
        calls = Seen[int]()
        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            async def handler(number: int) -> None:
                calls.add(number)
                raise RuntimeError("a secret") if number else RemoteError("409", "taken")

            await broker.start()
            with pytest.raises(RemoteError, match=description) as failed:
                await self.request(broker, value, "in", timeout=LIMIT)
            assert failed.value.code == code
            assert "secret" not in str(failed.value)
        assert len(calls) == (0 if value == "x" else 1)

    async def test_nobody_and_nobody_in_time(self) -> None:
        async with self.broker() as broker:
            self.subscriber(broker, "silent", no_reply=True)(print_it)
            await broker.start()
            with pytest.raises(NoRespondersError):
                await self.request(broker, 1, "nobody", timeout=LIMIT)
            with pytest.raises(RequestTimeoutError):
                await self.request(broker, 1, "silent", timeout=0.05)

    async def test_an_answer_to_an_address(self) -> None:
        async with self.broker() as broker:

            @self.subscriber(broker, "in")
            async def handler(number: int) -> int:
                return number + 1

            seen = self.seen(broker, "out", int)
            await broker.start()
            await self.publish(broker, 1, "in", reply_to=self.address("out"))
            assert await seen.until(1) == [2]

    async def test_a_stop_wakes_who_waits_for_an_answer(self) -> None:
        started = asyncio.Event()
        async with self.broker() as service, self.broker(graceful_timeout=0.1) as asking:

            @self.subscriber(service, "in", no_reply=True)
            async def handler(body: bytes) -> None:
                started.set()

            await service.start()
            waiting = asyncio.ensure_future(self.request(asking, b"", "in", timeout=3600.0))
            await asyncio.wait_for(started.wait(), LIMIT)
            await asking.stop()
            with pytest.raises(NotConnectedError):
                await asyncio.wait_for(waiting, LIMIT)


class Reconnecting(Harness):
    """What a connection that is cut does to a service."""

    def cut_off(self) -> AbstractAsyncContextManager[tuple[Any, Callable[[], object]]]:
        """A broker, and what cuts its connection; it finds back by itself."""
        raise NotImplementedError

    async def test_a_service_goes_on_after_a_cut(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "tidings")
        async with self.cut_off() as (broker, cut), self.broker() as outside:
            seen = Seen[str]()

            @self.subscriber(broker, "in", queue="w")
            async def handler(text: str) -> None:
                seen.add(text)

            async with broker:
                await broker.start()
                await self.publish(outside, "before", "in")
                await seen.until(1)
                cut()
                await soon(lambda: "connected again" in caplog.text)
                assert await broker.ping()
                await self.publish(outside, "after", "in")
                assert (await seen.until(2))[-1] == "after"


async def print_it(body: bytes) -> None:
    """A handler for who needs one."""
