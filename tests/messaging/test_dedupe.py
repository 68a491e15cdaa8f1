"""Dedupe on its own: keys, what is refused, and what becomes of a claim whatever happens."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeMessage, FakeSettler, Native
from tidings import (
    AckPolicy,
    Batch,
    Dedupe,
    MemoryMarks,
    RejectMessage,
    Retry,
    SetupError,
    SkipMessage,
)
from tidings.messaging.acks import Settler
from tidings.messaging.bodies.codec import decode_any

KEY = Dedupe(key="header:id")


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def started(
    dedupe: Dedupe, handle: Any, settling: FakeSettler | None = None, **options: Any
) -> FakeBroker:
    broker = FakeBroker()
    broker.adapter.settling = settling
    broker.subscriber("in", dedupe=dedupe, **options)(handle)
    await broker.start()
    return broker


def message(key: str = "a", data: bytes = b"1", **fields: Any) -> Native:
    return Native(data, {"id": key}, **fields)


class Calls:
    """A handler that counts, and fails as it is told."""

    def __init__(self) -> None:
        self.count = 0
        self.fails: Exception | None = None

    async def __call__(self, body: bytes) -> None:
        self.count += 1
        if self.fails is not None:
            raise self.fails


async def test_a_duplicate_is_acknowledged() -> None:
    calls, first, second = Calls(), message(), message()
    broker = await started(Dedupe(key="header:id"), calls, FakeSettler())
    await broker.deliver(first)
    await broker.deliver(second)
    assert calls.count == 1
    assert [first.settled, second.settled] == [["ack"], ["ack"]]


async def test_a_key_is_forgotten_after_its_ttl() -> None:
    calls, time = Calls(), Time()
    broker = await started(Dedupe(key="header:id", ttl="10s", store=MemoryMarks(clock=time)), calls)
    await broker.deliver(message())
    time.now = 9.9
    await broker.deliver(message())
    assert calls.count == 1
    time.now = 10.1
    await broker.deliver(message())
    assert calls.count == 2


@pytest.mark.parametrize(
    ("key", "native", "other"),
    [
        ("header:id", message("a"), message("b")),
        ("body:order.id", Native(b'{"order":{"id":1}}'), Native(b'{"order":{"id":2}}')),
        ("body:id", Native(b'{"id":"x"}'), Native(b'{"id":"y"}')),
        (lambda each: each.body.decode(), Native(b"x"), Native(b"y")),
    ],
    ids=["header", "nested", "field", "function"],
)
async def test_a_key(key: Any, native: Native, other: Native) -> None:
    calls = Calls()
    broker = await started(Dedupe(key=key), calls)
    for each in (native, native, other):
        await broker.deliver(each)
    assert calls.count == 2


async def test_a_field_of_what_the_decoder_gives() -> None:
    seen = []

    async def handle(order: dict[str, int]) -> None:
        seen.append(order["id"])

    broker = await started(
        Dedupe(key="body:id"), handle, decoder=lambda each: decode_any(each.body[1:], "application/json")
    )
    for body in (b'#{"id":1}', b'#{"id":1}', b'#{"id":2}'):
        await broker.deliver(body)
    assert seen == [1, 2]


async def test_a_field_of_what_an_async_decoder_gives_by_default() -> None:
    seen = []

    async def handle(order: dict[str, int]) -> None:
        seen.append(order["id"])

    async def decoder(each: FakeMessage, read: Any) -> Any:
        return {"id": (await read(each))["number"]}

    broker = await started(Dedupe(key="body:id"), handle, decoder=decoder)
    for body in (b'{"number":1}', b'{"number":1}', b'{"number":2}'):
        await broker.deliver(body)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("key", "body", "why"),
    [
        ("header:nope", b"1", "the header has no 'nope', its key"),
        ("body:order.id", b'{"order":{}}', "the body has no 'order.id', its key"),
        ("body:id", b'{"id":null}', "the body has no 'id', its key"),
        ("body:id", b'{"id":[1]}', "a key is a text or a number, not a list"),
        ("body:id", b"text", "the body has no 'id', its key"),
        (lambda each: None, b"1", "the function of its dedupe gives no key"),
    ],
    ids=["header", "nested", "null", "list", "text", "function"],
)
async def test_without_a_key_it_is_not_valid(
    key: Any, body: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls, native = Calls(), Native(body)
    broker = await started(Dedupe(key=key), calls, FakeSettler())
    await broker.deliver(native)
    assert calls.count == 0
    assert native.settled == ["reject ValidationError"]
    assert why in caplog.text


async def test_a_key_function_that_fails_is_a_failure() -> None:
    def key(each: FakeMessage) -> str:
        raise RuntimeError("no")

    native = message()
    broker = await started(Dedupe(key=key), Calls(), FakeSettler(), retry=Retry(attempts=2, jitter=0))
    await broker.deliver(native)
    assert native.settled == ["nack 1"]


@pytest.mark.parametrize("fails", [RuntimeError("no"), RejectMessage()], ids=["failed", "rejected"])
async def test_what_failed_is_handled_when_it_comes_again(fails: Exception) -> None:
    calls = Calls()
    broker = await started(Dedupe(key="header:id"), calls, FakeSettler())
    calls.fails = fails
    await broker.deliver(message())
    calls.fails = None
    again = message()
    await broker.deliver(again)
    await broker.deliver(message())
    assert calls.count == 2
    assert again.settled == ["ack"]


class FailsAtFirst(Calls):
    """A handler whose first tries fail, however often its message comes."""

    def __init__(self, tries: int, error: Exception | None = None) -> None:
        super().__init__()
        self.tries = tries
        self.error = error or RuntimeError("not yet")

    async def __call__(self, body: bytes) -> None:
        self.count += 1
        if self.count <= self.tries:
            raise self.error


IN_PLACE = Retry(attempts=3, backoff=0, jitter=0)


async def test_tries_in_place_are_made_within_one_mark() -> None:
    made: list[str] = []

    class Counting(MemoryMarks):
        async def create(self, key: str, text: str, seconds: float | None) -> int | None:
            made.append(key)
            return await super().create(key, text, seconds)

    calls = FailsAtFirst(2)
    broker = await started(Dedupe(key="header:id", store=Counting()), calls, retry=IN_PLACE)
    await broker.deliver(message())
    assert calls.count == 3
    assert len(made) == 1
    await broker.deliver(message())
    assert calls.count == 3


async def test_what_was_given_up_in_place_is_handled_when_it_comes_again() -> None:
    calls = FailsAtFirst(3)
    broker = await started(Dedupe(key="header:id"), calls, retry=IN_PLACE)
    await broker.deliver(message())
    assert calls.count == 3
    await broker.deliver(message())
    await broker.deliver(message())
    assert calls.count == 4


async def test_skipped_in_place_it_was_handled() -> None:
    calls = FailsAtFirst(9, SkipMessage())
    broker = await started(Dedupe(key="header:id"), calls, retry=IN_PLACE)
    await broker.deliver(message())
    await broker.deliver(message())
    assert calls.count == 1


async def test_a_key_function_is_tried_again_in_place() -> None:
    asked = 0

    def key(each: FakeMessage) -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("not yet")
        return "k"

    calls = Calls()
    broker = await started(Dedupe(key=key), calls, retry=IN_PLACE)
    await broker.deliver(message())
    await broker.deliver(message())
    assert (asked, calls.count) == (3, 1)


class Slow:
    """A handler that waits."""

    def __init__(self) -> None:
        self.count = 0
        self.entered, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, body: bytes) -> None:
        self.count += 1
        self.entered.set()
        await self.opened.wait()


async def test_one_that_another_handles_comes_again_later() -> None:
    slow, store = Slow(), MemoryMarks()
    dedupe = Dedupe(key="header:id", store=store, name="n")
    one, other = await started(dedupe, slow, FakeSettler()), await started(dedupe, slow, FakeSettler())
    first = asyncio.create_task(one.deliver(message()))
    await slow.entered.wait()
    busy = message()
    await other.deliver(busy)
    assert busy.settled
    assert busy.settled[0].startswith("nack ")
    slow.opened.set()
    await first
    done = message()
    await other.deliver(done)
    assert done.settled == ["ack"]
    assert slow.count == 1


async def test_the_last_delivery_waits_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, store, settler = Slow(), MemoryMarks(), FakeSettler()
    settler.max_deliveries = 3
    dedupe = Dedupe(key="header:id", store=store, name="n")
    one, other = await started(dedupe, slow, settler), await started(dedupe, slow, settler)
    first = asyncio.create_task(one.deliver(message()))
    await slow.entered.wait()
    last = message(deliveries=3)
    second = asyncio.create_task(other.deliver(last))
    await asyncio.sleep(0)
    assert not last.settled
    slow.opened.set()
    await asyncio.gather(first, second)
    assert last.settled == ["ack"]
    assert slow.count == 1


async def test_a_claim_of_a_dead_process_ends() -> None:
    time = Time()
    store, calls, slow = MemoryMarks(clock=time), Calls(), Slow()
    dedupe = Dedupe(key="header:id", store=store, lease="30s", name="n")
    dead, alive = await started(dedupe, slow, FakeSettler()), await started(dedupe, calls, FakeSettler())
    task = asyncio.create_task(dead.deliver(message()))
    await slow.entered.wait()
    time.now = 29.0
    await alive.deliver(message())
    assert calls.count == 0
    time.now = 31.0
    await alive.deliver(message())
    assert calls.count == 1
    slow.opened.set()
    await task  # it was not dead after all: it changes nothing
    await alive.deliver(message())
    assert calls.count == 1


async def test_a_cancelled_handler_gives_its_claim_back() -> None:
    slow, calls, store = Slow(), Calls(), MemoryMarks()
    dedupe = Dedupe(key="header:id", store=store, name="n")
    stopped, alive = await started(dedupe, slow, FakeSettler()), await started(dedupe, calls, FakeSettler())
    native = message()
    task = asyncio.create_task(stopped.deliver(native))
    await slow.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert native.settled == ["nack"]
    await alive.deliver(message())
    assert calls.count == 1


async def test_one_that_waits_for_another_can_be_cancelled() -> None:
    slow, store = Slow(), MemoryMarks()
    dedupe = Dedupe(key="header:id", store=store, name="n")
    one, other = await started(dedupe, slow), await started(dedupe, slow)
    first = asyncio.create_task(one.deliver(message()))
    await slow.entered.wait()
    second = asyncio.create_task(other.deliver(message()))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    slow.opened.set()
    await first
    assert slow.count == 1


async def test_a_handler_that_settles_by_hand_is_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    count = 0

    async def handle(native: Native) -> None:
        nonlocal count
        count += 1
        native.settled.append("nack")

    broker = await started(Dedupe(key="header:id"), handle, FakeSettler())
    await broker.deliver(message())
    await broker.deliver(message())
    assert count == 2
    assert "settled by its handler, so not remembered" in caplog.text


async def test_acknowledged_first_it_is_handled_once_too() -> None:
    calls = Calls()
    broker = await started(Dedupe(key="header:id"), calls, FakeSettler(), ack_policy=AckPolicy.ACK_FIRST)
    first, second = message(), message()
    await broker.deliver(first)
    await broker.deliver(second)
    assert calls.count == 1
    assert [first.settled, second.settled] == [["ack"], ["ack"]]


async def test_a_requester_is_told_of_a_duplicate() -> None:
    calls = Calls()
    broker = await started(Dedupe(key="header:id"), calls)
    await broker.deliver(message(reply="inbox"))
    await broker.deliver(message(reply="inbox"))
    assert [each.error for each in broker.sent] == [None, ("409", "a message of this key was handled before")]


class Down(MemoryMarks):
    """A store whose methods fail as named."""

    def __init__(self, *fails: str) -> None:
        super().__init__()
        self.fails = set(fails)

    async def create(self, key: str, text: str, seconds: float | None) -> int | None:
        if "create" in self.fails:
            raise ConnectionError("no store")
        return await super().create(key, text, seconds)

    async def update(self, key: str, text: str, revision: int, seconds: float | None) -> int | None:
        if "update" in self.fails:
            raise ConnectionError("no store")
        return await super().update(key, text, revision, seconds)


@pytest.mark.parametrize(
    ("settler", "deliveries", "count", "settled"),
    [(FakeSettler(), 1, 0, "nack"), (FakeSettler(), 3, 1, "ack"), (None, 1, 1, "")],
    ids=["comes-again", "last-delivery", "not-settled"],
)
async def test_a_store_that_does_not_answer(
    settler: Any, deliveries: int, count: int, settled: str, caplog: pytest.LogCaptureFixture
) -> None:
    if settler is not None:
        settler.max_deliveries = 3
    calls, native = Calls(), message(deliveries=deliveries)
    broker = await started(Dedupe(key="header:id", store=Down("create")), calls, settler)
    await broker.deliver(native)
    assert calls.count == count
    assert "".join(native.settled).startswith(settled)
    assert "the store of its dedupe does not answer" in caplog.text
    assert "no store" in caplog.text


async def test_a_store_that_does_not_take_that_it_was_handled(caplog: pytest.LogCaptureFixture) -> None:
    calls, native = Calls(), message()
    broker = await started(Dedupe(key="header:id", store=Down("update")), calls, FakeSettler())
    await broker.deliver(native)
    assert native.settled == ["ack"]
    assert "is handled, and a duplicate would be too" in caplog.text


async def test_an_answer_that_was_lost_leaves_the_claim_ours() -> None:
    class Lossy(MemoryMarks):
        async def create(self, key: str, text: str, seconds: float | None) -> int | None:
            await super().create(key, text, seconds)
            return None  # stored by a first try; a second one finds it there

    calls, native = Calls(), message()
    broker = await started(Dedupe(key="header:id", store=Lossy()), calls, FakeSettler())
    await broker.deliver(native)
    assert calls.count == 1
    assert native.settled == ["ack"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"key": "nope"},
            'key of a Dedupe is "header:…", "body:…" or a function of the message, not \'nope\'',
        ),
        ({"key": "header:"}, "key of a Dedupe"),
        ({"key": 7}, "key of a Dedupe is a text or a function"),
        ({"ttl": 0}, "ttl of a Dedupe is above 0 seconds"),
        ({"lease": "soon"}, "lease of a Dedupe is a duration"),
        ({"missing": "drop"}, 'missing of a Dedupe is "refuse" or "handle"'),
    ],
    ids=["no-kind", "no-name", "number", "ttl", "lease", "missing"],
)
def test_what_cannot_be_is_refused(options: Any, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        Dedupe(**options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"batch": Batch(10)}, "the messages of a batch succeed and fail together"),
        ({"ack_policy": AckPolicy.MANUAL}, "nobody knows whether the handler succeeded"),
        ({"timeout": 60.0}, "a handler that may take 60 s needs a lease that is longer"),
    ],
    ids=["batch", "manual", "timeout"],
)
async def test_what_does_not_go_together_is_refused(options: Any, why: str) -> None:
    settler: Settler = FakeSettler()
    broker = FakeBroker()
    broker.adapter.settling = settler  # type: ignore[assignment]
    broker.subscriber("in", dedupe=KEY, **options)(Calls())
    with pytest.raises(SetupError, match=f"dedupe of 'in': .*{why}"):
        await broker.start()


async def test_messages_taken_by_hand_are_not_deduplicated() -> None:
    broker = FakeBroker()
    await broker.connect()
    with pytest.raises(SetupError, match="dedupe of the subscriber of 'in' is for a handler"):
        await broker.subscriber("in", dedupe=KEY).start()


async def test_a_duplicate_is_told_quietly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broker = await started(Dedupe(key="header:id"), Calls())
    await broker.deliver(message())
    await broker.deliver(message())
    assert "handled before" in caplog.text
