"""Subscribers as decorators and as objects."""

import asyncio
from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeSettler, FakeSource, Native
from tidings.brokers.memory import MemoryBroker
from tidings.messaging.batch import Batch
from tidings.messaging.errors import NotConnectedError, SetupError
from tidings.messaging.message import Message
from tidings.messaging.params import Depends, Header
from tidings.messaging.response import Response
from tidings.messaging.subscriber import Subscriber


async def handler(body: bytes) -> int:
    return len(body)


async def test_the_function_stays_as_it_is_in_either_order() -> None:
    broker = FakeBroker()
    for address, decorate in {
        "a": lambda f: broker.subscriber("a")(broker.publisher("out")(f)),
        "b": lambda f: broker.publisher("out")(broker.subscriber("b")(f)),
    }.items():

        async def fresh(body: bytes) -> int:
            return len(body)

        assert decorate(fresh) is fresh
        assert await fresh(b"123") == 3
        await broker.start()
        await broker.deliver(b"12", address)
        assert [sent.body for sent in broker.sent] == [b"2"]
        broker.sent.clear()


async def test_one_function_may_have_many_subscribers_and_publishers() -> None:
    broker = FakeBroker()
    for address in ("a", "b"):
        broker.subscriber(address)(handler)
        broker.publisher(f"{address}-out")(handler)
    await broker.start()
    await broker.deliver(b"", "a")
    await broker.deliver(b"", "b")
    assert [sent.address for sent in broker.sent] == ["a-out", "b-out"] * 2


async def test_methods_are_handlers_too() -> None:
    class Service:
        def __init__(self, name: str) -> None:
            self.name = name

        async def handle(self, body: bytes) -> str:
            return self.name

    broker = FakeBroker()
    for name in ("one", "two"):
        service = Service(name)
        broker.subscriber(name)(broker.publisher(f"{name}-out")(service.handle))
    await broker.start()
    await broker.deliver(b"", "one")
    await broker.deliver(b"", "two")
    assert [(sent.address, sent.body) for sent in broker.sent] == [("one-out", b"one"), ("two-out", b"two")]


async def test_brokers_of_a_factory_do_not_share_what_decorates_a_function() -> None:
    def create() -> FakeBroker:
        broker = FakeBroker()
        broker.subscriber("in")(broker.publisher("out")(handler))
        return broker

    first, second = create(), create()
    await second.start()
    await second.deliver(b"")
    assert len(second.sent) == 1
    assert first.sent == []


async def test_a_subscriber_made_at_run_time_is_started_by_itself_or_by_the_broker() -> None:
    broker = FakeBroker()
    await broker.start()
    subscriber = broker.subscriber("a")
    subscriber(handler)
    assert not subscriber.is_running
    await subscriber.start()
    assert subscriber.is_running
    broker.subscriber("b")(handler)
    await broker.start()
    assert list(broker.adapter.handles) == ["a", "b"]
    await subscriber.stop()
    await subscriber.stop()
    await broker.start()
    assert list(broker.adapter.handles) == ["b"]
    await subscriber.start()
    assert list(broker.adapter.handles) == ["b", "a"]
    await broker.stop()
    assert not subscriber.is_running


async def test_a_source_may_differ_from_its_broker_in_how_it_reads() -> None:
    broker, seen = FakeBroker(validate=True), []

    @broker.subscriber("plain", validate=False)
    async def plain(x: int) -> None:
        seen.append(x)

    @broker.subscriber("decoded", decoder=lambda message: message.body.decode() * 2)
    async def decoded(x: int) -> None:
        seen.append(x)

    await broker.start()
    await broker.deliver(b'{"a":1}', "plain")
    await broker.deliver(b"1", "decoded")
    assert seen == [{"a": 1}, 11]


async def test_a_callable_that_has_no_hash_is_a_handler_too() -> None:
    class Handler:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return self is other

        async def __call__(self, body: bytes) -> str:
            return "done"

    broker, unhashable = FakeBroker(), Handler()
    broker.subscriber("in")(broker.publisher("out")(unhashable))
    await broker.start()
    await broker.deliver(b"")
    assert [sent.body for sent in broker.sent] == [b"done"]


async def test_what_the_stop_of_a_subscriber_leaves_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker()
    subscriber = broker.subscriber("a")
    subscriber(handler)
    await broker.start()
    broker.adapter.left = 2
    await subscriber.stop()
    assert "2 delivered messages not handled" in caplog.text


async def test_a_subscriber_has_one_handler() -> None:
    subscriber = FakeBroker().subscriber("a")
    subscriber(handler)
    with pytest.raises(SetupError, match=r"subscriber of 'a' has the handler .*handler: make a"):
        subscriber(handler)


async def test_a_subscriber_without_a_handler_does_not_listen() -> None:
    broker = FakeBroker()
    broker.subscriber("a")
    await broker.start()
    assert broker.adapter.handles == {}


async def test_a_start_before_the_broker_says_what_to_call() -> None:
    subscriber = FakeBroker().subscriber("a")
    subscriber(handler)
    with pytest.raises(NotConnectedError, match="call connect"):
        await subscriber.start()


def test_the_options_are_those_of_the_source() -> None:
    broker = FakeBroker()
    subscriber = broker.subscriber("a", no_reply=True)
    assert subscriber.source == FakeSource("a", no_reply=True)
    assert isinstance(subscriber, Subscriber)
    with pytest.raises(TypeError, match="unknown"):
        broker.subscriber("a", unknown=1)  # type: ignore[call-arg]


async def test_of_several_handlers_the_first_that_accepts_a_message_gets_it() -> None:
    broker = FakeBroker()
    subscriber = broker.subscriber("in")

    @subscriber
    async def rest(body: bytes) -> str:
        return "rest"

    @subscriber(filter=lambda message: message.headers.get("kind") == "a")
    @broker.publisher("out")
    async def of_kind(body: bytes, kind: str = Header()) -> str:
        return f"kind {kind}"

    async def is_long(message: Message[Any]) -> bool:
        return len(message.body) > 3

    @subscriber(filter=is_long)
    async def long(body: str) -> str:
        return "long"

    await broker.start()
    for native in (Native(b"long", {"kind": "a"}), Native(b"long"), Native(b"1")):
        native.reply = "back"
        await broker.deliver(native)
    assert [(sent.address, sent.body) for sent in broker.sent] == [
        ("back", b"kind a"),
        ("out", b"kind a"),
        ("back", b"long"),
        ("back", b"rest"),
    ]


async def test_a_message_that_no_handler_accepts_fails_visibly(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker()
    broker.adapter.settling = FakeSettler()

    @broker.subscriber("in", filter=lambda message: False, dead_letter="dead")
    async def never(body: bytes) -> None: ...

    await broker.start()
    await broker.deliver(native := Native(b"x"))
    assert native.settled == ["ack"]
    assert [address for address, _, _ in broker.adapter.settling.buried] == ["dead"]
    assert "no handler's filter accepts it" in caplog.text


async def test_a_filter_that_fails_is_a_failure_of_the_message() -> None:
    broker = FakeBroker(logger=None)

    @broker.subscriber("in", filter=lambda message: message.headers["kind"] == "a")
    async def handler(body: bytes) -> None: ...

    await broker.start()
    await broker.deliver(Native(reply="back"))
    assert [sent.error for sent in broker.sent] == [("500", "the handler failed with KeyError")]


async def test_a_handler_may_take_so_long_and_no_longer() -> None:
    broker = FakeBroker(logger=None)
    cancelled = []

    @broker.subscriber("in", timeout=0.01)
    async def handler(body: bytes) -> None:
        if body:
            raise TimeoutError("its own")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    await broker.start()
    await broker.deliver(Native(reply="back"))
    await broker.deliver(Native(b"x", reply="back"))
    assert [sent.error for sent in broker.sent] == [
        ("500", "the handler failed with HandlerTimeoutError"),
        ("500", "the handler failed with TimeoutError"),
    ]
    assert cancelled == [True]


@pytest.mark.parametrize(("options", "match"), [({"timeout": 0}, "above 0 seconds, not 0")])
async def test_options_that_cannot_work_are_refused(options: dict[str, Any], match: str) -> None:
    broker = FakeBroker()
    broker.subscriber("in", **options)(handler)
    with pytest.raises(SetupError, match=match):
        await broker.start()


async def test_the_filter_of_a_batch_is_refused() -> None:
    broker = FakeBroker()
    broker.adapter.settling = FakeSettler()

    @broker.subscriber("in", batch=Batch(), filter=lambda message: True)
    async def handler(bodies: list[bytes]) -> None: ...

    with pytest.raises(SetupError, match="filter of 'in': the handler of a batch takes all of it"):
        await broker.start()


async def test_dependencies_of_a_broker_and_a_subscriber_are_called_for_what_they_do() -> None:
    seen: list[str] = []

    def always() -> None:
        seen.append("always")

    async def checked(body: str, tenant: str = Header()) -> str:
        seen.append(f"{tenant} {body}")
        return tenant

    broker = FakeBroker(dependencies=[Depends(always)])

    @broker.subscriber("in", dependencies=[Depends(checked)])
    async def handler(body: str, tenant: str = Depends(checked)) -> None:
        seen.append(f"handler {tenant}")

    await broker.start()
    await broker.deliver(Native(b"x", {"tenant": "t"}))
    assert seen == ["always", "t x", "handler t"]
    broker.dependency_overrides[always] = lambda: seen.append("instead")
    seen.clear()
    await broker.deliver(Native(b"x", {"tenant": "t"}))
    assert seen[0] == "instead"


async def test_a_source_may_write_its_results_otherwise() -> None:
    broker = FakeBroker(encoder=lambda value: (b"broker", "b"))
    answers = iter([{"a": 1}, Response(1)])

    @broker.subscriber("in", encoder=lambda value: (repr(value).encode(), "r"))
    async def handler(body: bytes) -> Any:
        return next(answers)

    await broker.start()
    for _ in range(2):
        await broker.deliver(Native(reply="back"))
    assert [(sent.body, sent.headers["content-type"]) for sent in broker.sent] == [
        (b"{'a': 1}", "r"),
        (b"1", "r"),
    ]


@pytest.mark.parametrize(
    ("option", "value", "takes"),
    [
        ("subject", 3, "a text, not one of type int"),
        ("workers", "4", "an int, not one of type str"),
        ("workers", True, "an int, not one of type bool"),
        ("timeout", "2s", "a number of seconds"),
        ("title", 3, "a text"),
        ("description", 3, "a text"),
        ("include_in_schema", "no", "True or False"),
        ("no_reply", 1, "True or False"),
        ("validate", "yes", "True or False"),
        ("dead_letter", 3, "a text"),
        ("filter", "kind", "a function"),
        ("decoder", "msgpack", "a function"),
        ("encoder", "msgpack", "a function"),
        ("dependencies", Depends(print), "a list of Depends"),
        ("dependencies", [print], "a list of Depends"),
        ("ack_policy", "ack", "an AckPolicy"),
        ("retry", 3, "a Retry"),
        ("dedupe", "body:id", "a Dedupe"),
        ("batch", 10, "a Batch"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_an_option_of_another_type_is_told_by_its_name(option: str, value: Any, takes: str) -> None:
    broker = MemoryBroker(logger=None)

    @broker.subscriber(**({"subject": "in"} | {option: value}))
    async def handle(body: bytes) -> None: ...

    of = "a subscriber" if option == "subject" else "'in'"
    with pytest.raises(SetupError, match=f"^{option} of {of} is {takes}"):
        await broker.start()
    await broker.stop()


def test_what_is_no_function_is_no_handler() -> None:
    with pytest.raises(SetupError, match="the handler of 'in' is a function, not one of type int"):
        MemoryBroker().subscriber("in")(3)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("accepts", "why"),
    [
        (lambda: True, "is called with the message alone: too many positional arguments"),
        (lambda message, more: True, "is called with the message alone: missing a required argument: 'more'"),
        ("a", "is a function, not one of type str"),
    ],
    ids=["none", "two", "text"],
)
def test_a_filter_that_could_not_be_called_is_refused_at_once(accepts: Any, why: str) -> None:
    with pytest.raises(SetupError, match=f"^filter of 'in' {why}"):

        @FakeBroker().subscriber("in")(filter=accepts)
        async def handler(body: bytes) -> None: ...
