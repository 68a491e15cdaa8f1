"""Middlewares: nested in their order, left whatever fails, and nothing where there are none."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeMessage, FakeSettler, Native
from tidings.messaging.batch import Batch
from tidings.messaging.errors import SetupError, ValidationError
from tidings.messaging.message import Message
from tidings.messaging.middleware import BaseMiddleware, CallNext, Outgoing
from tidings.messaging.response import Response
from tidings.messaging.retry import Retry

Around = Callable[[Message[Any], CallNext], Awaitable[Any]]


def noting(name: str, seen: list[str]) -> Around:
    async def middleware(message: Message[Any], call_next: CallNext) -> Any:
        seen.append(f"{name} in")
        try:
            return await call_next(message)
        except Exception as error:
            seen.append(f"{name} {type(error).__name__}")
            raise
        finally:
            seen.append(f"{name} out")

    return middleware


class Noting(BaseMiddleware):
    def __init__(self, msg: Message[Any] | None, *, context: Any, seen: list[str], fails: str = "") -> None:
        super().__init__(msg, context=context)
        self.seen, self.fails = seen, fails

    def note(self, what: str) -> None:
        self.seen.append(what)
        if what == self.fails:
            raise ValueError(what)

    async def on_receive(self) -> None:
        assert isinstance(self.msg, FakeMessage)
        self.note("on_receive")

    async def consume_scope(self, call_next: CallNext, msg: Message[Any]) -> Any:
        self.note("consume")
        return await call_next(msg)

    async def after_processed(
        self, exc_type: Any = None, exc_val: BaseException | None = None, exc_tb: Any = None
    ) -> bool | None:
        self.note(f"after {exc_val!r}")
        return None


async def test_they_are_nested_from_the_broker_to_the_subscriber() -> None:
    seen: list[str] = []
    broker = FakeBroker(middlewares=[noting("a", seen)])
    broker.add_middleware(noting("b", seen))

    @broker.subscriber("in", middlewares=[noting("c", seen)])
    async def handler(body: bytes) -> None:
        seen.append("handler")

    await broker.start()
    await broker.deliver(b"")
    assert seen == ["a in", "b in", "c in", "handler", "c out", "b out", "a out"]


async def test_a_result_may_be_replaced_and_a_handler_left_out() -> None:
    async def doubled(message: Message[Any], call_next: CallNext) -> Any:
        if message.body == b"9":
            return 0
        return 2 * await call_next(message)

    broker, seen = FakeBroker(middlewares=[doubled]), []

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handler(number: int) -> int:
        seen.append(number)
        return number

    await broker.start()
    await broker.deliver(Native(b"4", reply="back"))
    await broker.deliver(b"9")
    assert [(sent.address, sent.body) for sent in broker.sent] == [
        ("back", b"8"),
        ("out", b"8"),
        ("out", b"0"),
    ]
    assert seen == [4]


async def test_what_is_not_valid_passes_through_them_and_fails_as_ever() -> None:
    seen: list[str] = []
    broker = FakeBroker(middlewares=[noting("a", seen)])

    @broker.subscriber("in")
    async def handler(number: int) -> None: ...

    await broker.start()
    await broker.deliver(Native(b"x", reply="back"))
    assert seen == ["a in", f"a {ValidationError.__name__}", "a out"]
    (sent,) = broker.sent
    assert sent.error is not None
    assert sent.error[0] == "400"


async def test_a_class_is_made_for_each_message_and_called_at_each_point() -> None:
    seen: list[str] = []
    broker = FakeBroker(middlewares=[partial(Noting, seen=seen)])

    @broker.subscriber("in", retry=Retry(attempts=1))
    @broker.publisher("out")
    async def handler(body: bytes) -> str:
        seen.append("handler")
        return "done"

    await broker.start()
    await broker.deliver(b"")
    assert seen == ["on_receive", "consume", "handler", "after None"]
    broker.adapter.refused.add("out")
    seen.clear()
    await broker.deliver(b"")
    assert seen == ["on_receive", "consume", "handler", "after PublishError('out refuses')"]


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        ("on_receive", ["on_receive", "on_receive", "after ValueError('on_receive')"]),
        ("consume", ["on_receive", "on_receive", "consume", "consume", *["after ValueError('consume')"] * 2]),
    ],
)
async def test_what_was_entered_is_left_and_nothing_else(fails: str, expected: list[str]) -> None:
    seen: list[str] = []
    outer, inner = partial(Noting, seen=seen), partial(Noting, seen=seen, fails=fails)
    broker = FakeBroker(middlewares=[outer, inner], logger=None)

    @broker.subscriber("in", retry=Retry(attempts=1))
    async def handler(body: bytes) -> None:
        seen.append("handler")

    await broker.start()
    await broker.deliver(b"")
    assert seen == expected


async def test_the_end_may_take_a_failure_for_none() -> None:
    class Forgiving(BaseMiddleware):
        async def after_processed(self, *error: Any) -> bool:
            return True

    broker = FakeBroker(middlewares=[Forgiving])
    broker.adapter.settling = FakeSettler()

    @broker.subscriber("in")
    async def handler(body: bytes) -> None:
        raise ValueError

    await broker.start()
    await broker.deliver(native := Native())
    assert native.settled == ["ack"]


async def test_a_cancellation_is_taken_by_none() -> None:
    class Forgiving(BaseMiddleware):
        async def after_processed(self, *error: Any) -> bool:
            return True

    broker = FakeBroker(middlewares=[Forgiving])
    broker.adapter.settling = FakeSettler()
    begun = asyncio.Event()

    @broker.subscriber("in")
    async def handler(body: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    await broker.start()
    delivery = asyncio.create_task(broker.deliver(native := Native()))
    await begun.wait()
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    assert native.settled == ["nack"]


async def test_functions_and_classes_keep_the_order_they_are_given_in() -> None:
    seen: list[str] = []
    broker = FakeBroker(middlewares=[noting("a", seen), partial(Noting, seen=seen), noting("b", seen)])

    @broker.subscriber("in")
    async def handler(body: bytes) -> None: ...

    await broker.start()
    await broker.deliver(b"")
    assert seen == ["on_receive", "a in", "consume", "b in", "b out", "a out", "after None"]


async def test_they_are_around_a_batch_and_get_its_first_message() -> None:
    seen: list[Any] = []

    async def middleware(message: Message[Any], call_next: CallNext) -> Any:
        seen.append(message.body)
        return await call_next(message)

    broker = FakeBroker(middlewares=[middleware])
    broker.adapter.settling = FakeSettler()

    @broker.subscriber("in", batch=Batch(2))
    @broker.publisher("out")
    async def handler(numbers: list[int]) -> int:
        return sum(numbers)

    await broker.start()
    await broker.adapter.handles["in"]([Native(b"1"), Native(b"2")])
    assert seen == [b"1"]
    assert [sent.body for sent in broker.sent] == [b"3"]


async def test_a_function_around_publishing_sees_every_publish_and_may_change_it() -> None:
    seen: list[tuple[str, Any]] = []

    async def stamped(outgoing: Outgoing, call_next: CallNext) -> Any:
        seen.append((outgoing.destination, outgoing.body))
        outgoing.headers["stamp"] = "s"
        return await call_next(outgoing)

    broker = FakeBroker(publish_middlewares=[stamped])
    out = broker.publisher("out")

    @broker.subscriber("in")
    @out
    async def handler(number: int) -> int:
        return number + 1

    await broker.start()
    await out.publish("direct")
    await out.request("asked")
    await broker.deliver(Native(b"1", {"correlation_id": "c-1"}, reply="back"))
    assert seen == [("out", "direct"), ("out", "asked"), ("back", 2), ("out", 2)]
    assert all(sent.headers["stamp"] == "s" for sent in broker.sent)
    assert {sent.headers["correlation_id"] for sent in broker.sent[2:]} == {"c-1"}


async def test_a_class_that_packs_what_goes_out_needs_no_encoder() -> None:
    class Packing(BaseMiddleware):
        async def publish_scope(
            self, call_next: Callable[..., Awaitable[Any]], msg: Any, **options: Any
        ) -> Any:
            return await call_next(repr(msg).encode(), **options)

    def unpack(message: Message[Any]) -> Any:
        return int(message.body)

    broker = FakeBroker(decoder=unpack, middlewares=(Packing,))

    @broker.subscriber("in")
    @broker.publisher("out", headers={"tenant": "t"})
    async def handler(number: int) -> int:
        return number + 1

    await broker.start()
    await broker.deliver(Native(b"41", {"correlation_id": "c"}))
    (sent,) = broker.sent
    assert (sent.body, sent.headers) == (b"42", {"correlation_id": "c", "tenant": "t"})


async def test_a_result_that_is_not_what_it_announces_is_refused_within_them_too() -> None:
    async def passing(outgoing: Outgoing, call_next: CallNext) -> Any:
        return await call_next(outgoing)

    broker = FakeBroker(publish_middlewares=[passing], logger=None)

    @broker.subscriber("in")
    async def handler(body: bytes) -> int:
        return "text"  # type: ignore[return-value]

    await broker.start()
    await broker.deliver(Native(reply="back"))
    (sent,) = broker.sent
    assert sent.error == ("500", "the handler failed with ResultError")


async def test_one_publisher_may_have_middlewares_of_its_own() -> None:
    async def loud(outgoing: Outgoing, call_next: CallNext) -> Any:
        outgoing.body = outgoing.body.upper()
        return await call_next(outgoing)

    broker = FakeBroker()

    @broker.subscriber("in")
    @broker.publisher("loud", middlewares=[loud])
    @broker.publisher("quiet")
    async def handler(body: str) -> str:
        return body

    await broker.start()
    await broker.deliver(b"hi")
    assert sorted((sent.address, sent.body) for sent in broker.sent) == [("loud", b"HI"), ("quiet", b"hi")]


async def test_a_response_says_more_of_a_result() -> None:
    broker = FakeBroker()
    answers = iter(
        [
            Response({"a": 1}, {"kind": "x"}, "c-2"),
            Response(1, reply=False),
            Response(b"2", publish=False),
            Response(None),
        ]
    )

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handler(body: bytes) -> Response[Any]:
        return next(answers)

    await broker.start()
    for _ in range(4):
        await broker.deliver(Native(headers={"correlation_id": "c-1"}, reply="back"))
    assert [(sent.address, sent.body) for sent in broker.sent] == [
        ("back", b'{"a":1}'),
        ("out", b'{"a":1}'),
        ("out", b"1"),
        ("back", b"2"),
        ("back", b""),
        ("out", b""),
    ]
    json = {"content-type": "application/json"}
    assert broker.sent[0].headers == {"correlation_id": "c-2", "kind": "x", **json}
    assert broker.sent[2].headers == {"correlation_id": "c-1", **json}


async def test_what_is_no_response_is_still_checked_by_the_rest_of_the_annotation() -> None:
    broker = FakeBroker(logger=None)
    answers = iter([Response("text"), 1, "text"])

    @broker.subscriber("in")
    async def handler(body: bytes) -> int | Response[str]:
        return next(answers)  # type: ignore[return-value]

    await broker.start()
    for _ in range(3):
        await broker.deliver(Native(reply="back"))
    assert [sent.error is None for sent in broker.sent] == [True, True, False]


async def test_what_is_no_middleware_is_refused_when_the_broker_starts() -> None:
    def plain(message: Any, call_next: Any) -> None: ...

    broker = FakeBroker(middlewares=[plain])  # type: ignore[list-item]
    broker.subscriber("in")(noting("handler", []))
    with pytest.raises(SetupError, match=r"neither an async function of \(message, call_next\)"):
        await broker.start()


async def test_what_is_no_publish_middleware_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(SetupError, match="neither an async function"):
        FakeBroker().publisher("out", middlewares=[BaseMiddleware])  # type: ignore[list-item]
    with pytest.raises(SetupError, match="neither an async function"):
        await FakeBroker(publish_middlewares=[print]).connect()  # type: ignore[list-item]


async def test_none_is_added_to_a_broker_that_is_connected() -> None:
    broker = FakeBroker()
    async with broker:
        with pytest.raises(SetupError, match="the broker is connected"):
            broker.add_middleware(noting("late", []))


async def test_a_requester_is_answered_where_a_failure_is_taken_for_none() -> None:
    class Taking(BaseMiddleware):
        async def after_processed(
            self, exc_type: Any = None, exc_val: BaseException | None = None, exc_tb: Any = None
        ) -> bool | None:
            return True

    broker = FakeBroker(middlewares=[Taking])

    @broker.subscriber("in")
    async def handler(body: bytes) -> bytes:
        raise ValueError("boom")

    await broker.start()
    await broker.deliver(Native(b"x", reply="back"))
    assert [(each.address, each.body) for each in broker.sent] == [("back", b"")]


class Bare(BaseMiddleware):
    def __init__(self) -> None: ...


class NotAsync(BaseMiddleware):
    def on_receive(self) -> None: ...  # type: ignore[override]


class NotAsyncPublish(BaseMiddleware):
    def publish_scope(self, call_next: Any, msg: Any, **options: Any) -> Any: ...


async def of_one(message: Any) -> None: ...


async def reversed_order(call_next: Any, message: Any) -> None: ...


@pytest.mark.parametrize(
    ("middleware", "why"),
    [
        (of_one, r"is called with \(message, call_next\): too many positional arguments"),
        (reversed_order, r"takes call_next first: it is \(message, call_next\)"),
        (Bare, r"is called with \(msg, context=\): "),
        (partial(Noting, unknown=1), r"is called with \(msg, context=\): "),
        (NotAsync, "on_receive of the middleware NotAsync is not async: write `async def on_receive`"),
        (NotAsyncPublish, "publish_scope of the middleware NotAsyncPublish is not async"),
    ],
    ids=["one-argument", "reversed", "class-without-arguments", "partial", "sync-method", "sync-publish"],
)
async def test_a_middleware_that_could_not_be_called_is_refused_at_the_start(
    middleware: Any, why: str
) -> None:
    broker = FakeBroker(middlewares=[middleware])

    @broker.subscriber("in")
    async def handler(body: bytes) -> None: ...

    with pytest.raises(SetupError, match=why):
        await broker.start()
