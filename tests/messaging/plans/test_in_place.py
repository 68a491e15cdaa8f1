"""Messages that nobody delivers again: the table of `in_place`."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, Native, Sent
from tidings.messaging.acks import AckMessage, NackMessage, RejectMessage, SkipMessage
from tidings.messaging.errors import HandlerTimeoutError, PublishError, RemoteError
from tidings.messaging.message import Message
from tidings.messaging.retry import IN_PLACE, Retry

LIMIT = 20.0
QUICK = Retry(attempts=3, backoff=0, jitter=0)
FOREVER = Retry(attempts=9, backoff=3600, max_delay=3600)


class Letters(FakeBroker):
    """A broker that keeps dead letters, and refuses the first so many."""

    def __init__(self, refuses: int = 0) -> None:
        super().__init__()
        self.letters: list[tuple[str, bytes, dict[str, str]]] = []
        left = [None] * refuses

        async def bury(message: Message[Any], address: str, headers: Mapping[str, str]) -> None:
            if left:
                left.pop()
                raise PublishError("no room")
            self.letters.append((address, message.body, dict(headers)))

        self.adapter.bury = bury  # type: ignore[method-assign]


class Failing:
    """A handler that fails so many times.

    Attributes:
        calls: the numbers it was called with.
    """

    def __init__(self, times: int, error: BaseException | None = None) -> None:
        self.calls: list[int] = []
        self._times = times
        self._error = error

    async def __call__(self, x: int) -> int:
        self.calls.append(x)
        if self.calls.count(x) <= self._times:
            raise self._error or RuntimeError(f"failure {len(self.calls)}")
        return x


async def test_a_failure_is_tried_again_until_it_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    broker, handler = FakeBroker(), Failing(2)
    broker.subscriber("in", retry=QUICK)(broker.publisher("out")(handler))
    await broker.start()
    assert await broker.adapter.handles["in"](Native(b"1")) is True
    assert handler.calls == [1, 1, 1]
    assert [sent.body for sent in broker.sent] == [b"1"]
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == [
        "WARNING",
        "WARNING",
    ]
    assert "try 2 of 3 failed, again in 0 s: RuntimeError: failure 2" in caplog.text
    assert "During handling of" not in caplog.text


async def test_all_tries_fail(caplog: pytest.LogCaptureFixture) -> None:
    broker, handler = FakeBroker(), Failing(9)
    broker.subscriber("in", retry=QUICK)(handler)
    await broker.start()
    await broker.deliver(b"1")
    await broker.deliver(b"2")
    assert handler.calls == [1, 1, 1, 2, 2, 2]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [vars(record)["payload_head"] for record in errors] == [b"1", b"2"]
    assert "RuntimeError: failure 3; given up after try 3; payload: b'1'" in errors[0].getMessage()


async def test_where_nothing_is_said_it_is_tried_again_too() -> None:
    broker, handler = FakeBroker(), Failing(9)
    broker.adapter.waits_in_place = False  # type: ignore[misc]
    broker.subscriber("in")(handler)
    await broker.start()
    await broker.deliver(b"1")
    assert len(handler.calls) == IN_PLACE.attempts > 1


@pytest.mark.parametrize(
    ("error", "calls", "letters"),
    [
        (AckMessage(), 1, 0),
        (SkipMessage(), 1, 0),
        (RejectMessage("no"), 1, 1),
        (NackMessage(), 3, 1),
        (NackMessage(0), 3, 1),
        (KeyError("no"), 3, 1),
        (asyncio.CancelledError(), 1, 1),  # of something that it awaited
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
async def test_what_a_handler_raises(error: BaseException, calls: int, letters: int) -> None:
    broker, handler = Letters(), Failing(9, error)
    broker.subscriber("in", retry=QUICK, dead_letter="dead")(handler)
    await broker.start()
    await broker.deliver(b"1")
    assert (len(handler.calls), len(broker.letters)) == (calls, letters)


async def test_only_the_errors_asked_for_are_tried_again() -> None:
    broker, handler = FakeBroker(), Failing(9)
    broker.subscriber("in", retry=Retry(backoff=0, on=KeyError))(handler)
    await broker.start()
    await broker.deliver(b"1")
    assert handler.calls == [1]


async def test_what_is_not_valid_is_not_tried_again() -> None:
    broker, handler = Letters(), Failing(0)
    broker.subscriber("in", retry=QUICK, dead_letter="dead")(handler)
    await broker.start()
    await broker.deliver(Native(b"x", {"correlation_id": "c"}))
    ((address, body, headers),) = broker.letters
    assert (address, body, handler.calls) == ("dead", b"x", [])
    assert headers["dead-letter-error"].startswith("ValidationError")
    assert (headers["dead-letter-source"], headers["dead-letter-attempts"]) == ("in", "1")
    assert headers["correlation_id"] == "c"


async def test_a_call_that_takes_too_long_is_one_try() -> None:
    broker, calls = Letters(), []

    async def handler(x: int) -> None:
        calls.append(x)
        await asyncio.Event().wait()

    broker.subscriber("in", retry=QUICK, timeout=0.01, dead_letter="dead")(handler)
    await broker.start()
    await broker.deliver(b"1")
    ((_, _, headers),) = broker.letters
    assert len(calls) == 3
    assert headers["dead-letter-error"].startswith(HandlerTimeoutError.__name__)


class TestRequests:
    ASKED = Native(b"1", {"correlation_id": "c"}, reply="back")

    async def after(self, handler: Any, **options: Any) -> list[Sent]:
        broker = Letters()
        broker.subscriber("in", **options)(handler)
        await broker.start()
        await broker.deliver(self.ASKED)
        assert len(broker.letters) == (1 if "dead_letter" in options else 0)
        return broker.sent

    async def test_without_a_retry_it_is_told_at_once(self) -> None:
        (sent,) = await self.after(handler := Failing(1), dead_letter="dead")
        assert (sent.error, len(handler.calls)) == (("500", "the handler failed with RuntimeError"), 1)

    async def test_with_one_it_is_told_at_the_end(self) -> None:
        (sent,) = await self.after(handler := Failing(9), retry=QUICK, dead_letter="dead")
        assert (sent.error, len(handler.calls)) == (("500", "the handler failed with RuntimeError"), 3)

    async def test_a_later_try_answers(self) -> None:
        (sent,) = await self.after(handler := Failing(2), retry=QUICK)
        assert (sent.error, sent.body, len(handler.calls)) == (None, b"1", 3)

    async def test_a_deliberate_error_is_an_answer(self) -> None:
        (sent,) = await self.after(handler := Failing(9, RemoteError("409", "taken")), retry=QUICK)
        assert (sent.error, len(handler.calls)) == (("409", "taken"), 1)

    async def test_nobody_is_answered_twice(self) -> None:
        broker, handler = FakeBroker(), Failing(0)
        broker.subscriber("in", retry=QUICK)(broker.publisher("out")(handler))
        broker.adapter.refused.add("out")
        await broker.start()
        await broker.deliver(self.ASKED)
        assert [(sent.address, sent.error) for sent in broker.sent] == [("back", None)]
        assert handler.calls == [1]


class TestDeadLetters:
    async def test_one_that_is_refused_is_tried_again(self, caplog: pytest.LogCaptureFixture) -> None:
        broker = Letters(refuses=2)
        broker.subscriber("in", retry=QUICK, dead_letter="dead")(Failing(9))
        await broker.start()
        await broker.deliver(b"1")
        assert len(broker.letters) == 1
        assert "'dead' does not take it, again in 0 s: no room" in caplog.text

    async def test_in_the_end_it_is_lost_and_told(self, caplog: pytest.LogCaptureFixture) -> None:
        broker = Letters(refuses=99)
        broker.subscriber("in", retry=QUICK, dead_letter="dead")(Failing(9))
        await broker.start()
        await broker.deliver(b"1")
        assert not broker.letters
        assert "'dead' does not take it, it is lost: no room" in caplog.text

    async def test_a_broker_without_any_says_so(self, caplog: pytest.LogCaptureFixture) -> None:
        broker = FakeBroker()
        broker.subscriber("in", retry=Retry(attempts=1), dead_letter="dead")(Failing(9))
        await broker.start()
        await broker.deliver(b"1")
        assert "no dead letters" in caplog.text


class TestStop:
    async def waiting(self, handler: Failing, **options: Any) -> tuple[Letters, "asyncio.Future[None]", Any]:
        """A message that waits for its next try."""
        broker, failed = Letters(), asyncio.Event()

        async def call(x: int) -> None:
            try:
                await handler(x)
            finally:
                failed.set()

        subscriber = broker.subscriber("in", retry=FOREVER, **options)
        subscriber(call)
        await broker.start()
        handling = asyncio.ensure_future(broker.deliver(b"1"))
        async with asyncio.timeout(LIMIT):
            await failed.wait()
        await asyncio.sleep(0)
        return broker, handling, subscriber

    @pytest.mark.parametrize(("times", "letters"), [(1, 0), (9, 1)])
    async def test_a_stop_makes_the_last_try_at_once(self, times: int, letters: int) -> None:
        handler = Failing(times)
        broker, handling, subscriber = await self.waiting(handler, dead_letter="dead")
        assert not handling.done()
        await subscriber.stop()
        await asyncio.wait_for(handling, LIMIT)
        assert (handler.calls, len(broker.letters)) == ([1, 1], letters)

    async def test_one_that_is_cancelled_while_it_waits_is_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = Failing(9)
        broker, handling, _ = await self.waiting(handler, dead_letter="dead")
        handling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handling
        assert (handler.calls, broker.letters) == ([1], [])
        assert "cancelled before the next try after try 1; payload: b'1'" in caplog.text
        await broker.stop()
        await broker.start()
        handler._times = 0
        await broker.deliver(b"2")
        assert handler.calls == [1, 2]

    async def test_after_a_new_start_it_waits_again(self) -> None:
        handler = Failing(1)
        broker, handling, subscriber = await self.waiting(handler)
        await subscriber.stop()
        await asyncio.wait_for(handling, LIMIT)
        await subscriber.start()
        again = asyncio.ensure_future(broker.deliver(b"2"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not again.done()
        await subscriber.stop()
        await asyncio.wait_for(again, LIMIT)
        assert handler.calls == [1, 1, 2, 2]


async def test_several_handlers_and_their_filters() -> None:
    broker, first, second = FakeBroker(), Failing(1), Failing(1)
    subscriber = broker.subscriber("in", retry=QUICK)
    subscriber(first, filter=lambda message: message.body == b"1")
    subscriber(second)
    await broker.start()
    await broker.deliver(b"1")
    await broker.deliver(b"2")
    assert (first.calls, second.calls) == ([1, 1], [2, 2])
