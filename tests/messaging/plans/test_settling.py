"""The table of `settling`: what a handler does, and how its message is settled; once, whatever happens."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeSettler, Native
from tidings.messaging.acks import (
    AckMessage,
    AckPolicy,
    NackMessage,
    RejectMessage,
    SkipMessage,
)
from tidings.messaging.batch import Batch
from tidings.messaging.errors import SetupError
from tidings.messaging.retry import Retry

FIRST, ACK, REJECT, NACK, MANUAL = AckPolicy
RETRY = Retry(attempts=3, backoff=1, max_delay=9, jitter=0)


async def started(handler: Callable[..., Any], **options: Any) -> tuple[FakeBroker, FakeSettler]:
    broker = FakeBroker()
    broker.adapter.settling = settler = FakeSettler()
    broker.subscriber("in", **options)(handler)
    await broker.start()
    return broker, settler


async def settled(handler: Callable[..., Any], native: Native, **options: Any) -> list[str]:
    broker, _ = await started(handler, **options)
    await broker.deliver(native)
    return native.settled


async def succeeds(x: int) -> None: ...
async def fails(x: int) -> None:
    raise KeyError("no")


@pytest.mark.parametrize(
    ("policy", "of_success"),
    [(FIRST, ["ack"]), (ACK, ["ack"]), (REJECT, ["ack"]), (NACK, ["ack"]), (MANUAL, [])],
)
async def test_success(policy: AckPolicy, of_success: list[str]) -> None:
    assert await settled(succeeds, Native(b"1"), ack_policy=policy) == of_success


@pytest.mark.parametrize(
    ("policy", "deliveries", "how"),
    [
        (ACK, 1, "nack 1"),
        (ACK, 3, "ack"),
        (REJECT, 1, "nack 1"),
        (REJECT, 2, "nack 2"),
        (REJECT, 3, "reject KeyError"),
        (REJECT, 7, "reject KeyError"),
        (NACK, 1, "nack 1"),
        (NACK, 3, "nack 4"),
        (NACK, 50, "nack 9"),
    ],
)
async def test_failure(policy: AckPolicy, deliveries: int, how: str) -> None:
    native = Native(b"1", deliveries=deliveries)
    assert await settled(fails, native, ack_policy=policy, retry=RETRY) == [how]


async def test_failure_where_nothing_is_tried_again() -> None:
    assert await settled(fails, Native(b"1"), ack_policy=ACK) == ["ack"]
    assert await settled(fails, Native(b"1"), ack_policy=FIRST) == ["ack"]
    assert await settled(fails, Native(b"1"), ack_policy=MANUAL) == []


@pytest.mark.parametrize(
    ("policy", "how"),
    [
        (FIRST, "ack"),
        (ACK, "ack"),
        (REJECT, "reject ValidationError"),
        (NACK, "nack 60"),
        (MANUAL, "reject ValidationError"),
    ],
)
async def test_what_is_not_valid_is_not_tried_again(
    policy: AckPolicy, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await settled(succeeds, Native(b"x"), ack_policy=policy) == [how]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert vars(record)["payload_head"] == b"x"


@pytest.mark.parametrize("policy", [ACK, REJECT, NACK, MANUAL])
@pytest.mark.parametrize(
    ("verdict", "how"),
    [
        (AckMessage(), "ack"),
        (SkipMessage(), "ack"),
        (NackMessage(), "nack 2"),
        (NackMessage(delay=0), "nack 0"),
        (RejectMessage("bad\nluck"), "reject bad luck"),
    ],
)
async def test_a_verdict(policy: AckPolicy, verdict: Exception, how: str) -> None:
    async def handler(x: int) -> None:
        raise verdict

    native = Native(b"1", deliveries=2)
    options = {} if policy is MANUAL else {"retry": RETRY}
    (found,) = await settled(handler, native, ack_policy=policy, **options)
    assert found == how or (policy is MANUAL and found.split()[0] == how.split()[0])  # the default's jitter


async def test_a_cancelled_handler_gives_back() -> None:
    running = asyncio.Event()

    async def handler(x: int) -> None:
        running.set()
        await asyncio.Event().wait()

    broker, _ = await started(handler)
    native = Native(b"1")
    task = asyncio.ensure_future(broker.deliver(native))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert native.settled == ["nack"]


async def test_a_cancelled_wait_of_the_handlers_own_is_a_failure() -> None:
    async def handler(x: int) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    assert await settled(handler, Native(b"1"), retry=Retry(attempts=1)) == ["reject CancelledError"]


async def test_what_the_broker_gives_up_by_itself_is_rejected_before() -> None:
    broker, settler = await started(fails, ack_policy=NACK, retry=RETRY)
    settler.max_deliveries = 2
    await broker.stop()
    await broker.start()
    first, last = Native(b"1"), Native(b"1", deliveries=2)
    await broker.deliver(first)
    await broker.deliver(last)
    assert (first.settled, last.settled) == (["nack 1"], ["reject KeyError"])


@pytest.mark.parametrize("policy", [FIRST, ACK, REJECT, NACK])
async def test_a_dead_letter(policy: AckPolicy) -> None:
    options = {} if policy is FIRST else {"retry": RETRY}
    broker, settler = await started(fails, ack_policy=policy, dead_letter="dead", **options)
    native = Native(b"1", {"correlation_id": "c"}, deliveries=3)
    await broker.deliver(native)
    assert native.settled == ["ack"]
    ((address, buried, headers),) = settler.buried
    assert (address, buried) == ("dead", native)
    assert headers["dead-letter-error"] == "KeyError: 'no'"
    assert (headers["dead-letter-source"], headers["dead-letter-attempts"]) == ("in", "3")


async def test_a_dead_letter_that_is_refused_is_tried_again() -> None:
    broker, settler = await started(fails, dead_letter="dead", retry=Retry(attempts=1, max_delay=7, jitter=0))
    settler.refuses.add("bury")
    native = Native(b"1")
    await broker.deliver(native)
    assert native.settled == ["nack 7"]


@pytest.mark.parametrize("handler", [succeeds, fails])
async def test_what_cannot_be_settled_is_logged(
    handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    broker, settler = await started(handler)
    settler.refuses |= {"ack", "nack"}
    await broker.deliver(Native(b"1"))
    assert "could not be settled" in caplog.text


async def test_acked_first_is_not_handled_where_that_cannot_be_said() -> None:
    handled = []

    async def handler(x: int) -> None:
        handled.append(x)

    broker, settler = await started(handler, ack_policy=FIRST)
    settler.refuses.add("ack")
    await broker.deliver(Native(b"1"))
    assert not handled


async def test_the_result_is_published_before_and_its_failure_counts() -> None:
    broker = FakeBroker()
    broker.adapter.settling = FakeSettler()
    broker.adapter.refused.add("out")

    @broker.subscriber("in", retry=RETRY)
    @broker.publisher("out")
    async def handler(x: int) -> int:
        return x

    await broker.start()
    native = Native(b"1")
    await broker.deliver(native)
    assert native.settled == ["nack 1"]
    broker.adapter.refused.clear()
    again = Native(b"1")
    await broker.deliver(again)
    assert (again.settled, broker.sent[0].body) == (["ack"], b"1")


@pytest.mark.parametrize("options", [{"ack_policy": ACK}, {"batch": Batch()}])
async def test_without_anything_to_settle_the_options_are_refused(options: dict[str, Any]) -> None:
    broker = FakeBroker()
    broker.subscriber("in", **options)(succeeds)
    with pytest.raises(SetupError, match=next(iter(options))):
        await broker.start()


@pytest.mark.parametrize("policy", [FIRST, MANUAL])
async def test_what_excludes_each_other(policy: AckPolicy) -> None:
    with pytest.raises(SetupError, match="retry"):
        await started(succeeds, ack_policy=policy, retry=RETRY)


@pytest.mark.parametrize("verdict", [AckMessage(), SkipMessage(), RejectMessage("no"), NackMessage(1)])
async def test_where_nothing_is_settled_a_verdict_ends_the_handler(
    verdict: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()

    @broker.subscriber("in")
    async def handler(x: int) -> None:
        raise verdict

    await broker.start()
    await broker.deliver(Native(b"1", reply="back"))
    answered = not isinstance(verdict, (AckMessage, SkipMessage))
    assert bool(broker.sent) == answered
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_message_of_a_source_without_settling_takes_it_all() -> None:
    broker = FakeBroker()
    message = broker.adapter.message_factory(None)(Native())  # type: ignore[arg-type]
    assert message.is_settled
    await message.ack()
    await message.nack(1)
    await message.reject("no")
    await message.in_progress()


def test_a_delay_is_not_negative() -> None:
    with pytest.raises(ValueError, match="delay"):
        NackMessage(-1)


class TestBatches:
    async def test_the_invalid_are_settled_alone_and_the_rest_together(self) -> None:
        seen = []

        async def handler(xs: list[int]) -> None:
            seen.append(xs)

        broker, _ = await started(handler, batch=Batch())
        natives = [Native(b"1"), Native(b"x"), Native(b"3")]
        await broker.adapter.handles["in"](natives)
        assert seen == [[1, 3]]
        assert [native.settled for native in natives] == [["ack"], ["reject ValidationError"], ["ack"]]

    async def test_nothing_valid_is_no_call(self) -> None:
        async def handler(xs: list[int]) -> None:
            raise AssertionError

        broker, _ = await started(handler, batch=Batch())
        native = Native(b"x")
        await broker.adapter.handles["in"]([native])
        assert native.settled == ["reject ValidationError"]

    async def test_a_failure_settles_each_by_its_own_count(self) -> None:
        async def handler(xs: list[int]) -> None:
            raise KeyError

        broker, _ = await started(handler, batch=Batch(), retry=RETRY)
        natives = [Native(b"1"), Native(b"2", deliveries=3)]
        await broker.adapter.handles["in"](natives)
        assert [native.settled for native in natives] == [["nack 1"], ["reject KeyError"]]

    async def test_cancelled_it_gives_all_back(self) -> None:
        running = asyncio.Event()

        async def handler(xs: list[int]) -> None:
            running.set()
            await asyncio.Event().wait()

        broker, _ = await started(handler, batch=Batch())
        natives = [Native(b"1"), Native(b"2")]
        task = asyncio.ensure_future(broker.adapter.handles["in"](natives))  # type: ignore[arg-type]
        await running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [native.settled for native in natives] == [["nack"], ["nack"]]

    @pytest.mark.parametrize(("policy", "during", "after"), [(FIRST, ["ack"], ["ack"]), (MANUAL, [], [])])
    async def test_policies(self, policy: AckPolicy, during: list[str], after: list[str]) -> None:
        native, seen = Native(b"1"), []

        async def handler(xs: list[Native]) -> None:
            seen.append(list(native.settled))

        broker, _ = await started(handler, batch=Batch(), ack_policy=policy)
        await broker.adapter.handles["in"]([native])
        assert (seen, native.settled) == ([during], after)

    async def test_untyped_items_and_a_decoder(self) -> None:
        seen: list[Any] = []

        async def handler(xs: list) -> None:  # type: ignore[type-arg]
            seen.extend(xs)

        broker, _ = await started(handler, batch=Batch())
        await broker.adapter.handles["in"]([Native(b'{"a":1}'), Native(b"text")])
        broker, _ = await started(handler, batch=Batch(), decoder=lambda message: message.body.upper())
        await broker.adapter.handles["in"]([Native(b"a")])
        assert seen == [{"a": 1}, "text", b"A"]
