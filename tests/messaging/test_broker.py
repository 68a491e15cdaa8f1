"""What all brokers do alike: their life, and what they know of handlers."""

import asyncio
import logging
from typing import Any, get_type_hints

import pytest

from tests.messaging.fakes import FakeAdapter, FakeBroker, FakeSource, Native
from tidings.messaging.adapter import Handle, Stop
from tidings.messaging.broker import BrokerKeywords, BrokerOptions
from tidings.messaging.errors import (
    BrokerConnectionError,
    BrokerRefusedError,
    NotConnectedError,
    PublishError,
    SetupError,
)

QUICK: dict[str, Any] = {"connect_attempts": 3, "connect_wait": 0}


def away(*_: Any) -> BrokerConnectionError:
    error = BrokerConnectionError("connection refused")
    error.__cause__ = OSError(111, "refused")
    return error


async def test_each_failed_try_is_logged_and_a_later_one_connects(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker(**QUICK)
    broker.adapter.unreachable.extend([away(), away()])
    async with broker:
        assert await broker.ping()
    assert [record.getMessage() for record in caplog.records] == [
        "no connection to fake://here, try 1 of 3: connection refused",
        "no connection to fake://here, try 2 of 3: connection refused",
    ]


async def test_the_last_failed_try_says_where_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker(**QUICK)
    broker.adapter.unreachable.extend([away(), away(), away()])
    with pytest.raises(BrokerConnectionError) as caught:
        await broker.start()
    assert str(caught.value) == "no connection to fake://here: connection refused. Start the fake"
    assert isinstance(caught.value.__cause__, OSError)
    assert len(caplog.records) == 3
    await broker.stop()  # as an App does after a failed start


async def test_a_broker_that_refuses_us_is_not_asked_again() -> None:
    broker = FakeBroker(**QUICK)
    broker.adapter.unreachable.append(BrokerRefusedError("who are you?"))
    with pytest.raises(BrokerRefusedError):
        await broker.connect()
    await broker.connect()


async def test_publishing_before_connecting_says_what_to_call() -> None:
    broker = FakeBroker()
    with pytest.raises(NotConnectedError, match="call connect"):
        broker.adapter.client  # noqa: B018  a property that raises


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("validate", "no", "True or False, not one of type str"),
        ("decoder", 3, "a function, not 3"),
        ("encoder", "json", "a function, not one of type str"),
        ("graceful_timeout", "15s", "seconds above 0, not one of type str"),
        ("graceful_timeout", 0, "seconds above 0, not 0"),
        ("graceful_timeout", float("nan"), "seconds above 0, not nan"),
        ("logger", "shop", "a logging.Logger, or None, not one of type str"),
        ("log_level", "DEBUG", "a number such as logging.INFO, or None, not one of type str"),
        ("connect_attempts", 0, "a whole number, at least 1, not 0"),
        ("connect_attempts", 1.5, "a whole number, at least 1, not 1.5"),
        ("connect_wait", -1, "seconds, at least 0, not -1"),
        ("threads", True, "a whole number, at least 1, not True"),
        ("context", {}, "a ContextRepo, not one of type dict"),
        ("middlewares", print, "a list of middlewares, not one of type builtin"),
        ("publish_middlewares", print, "a list of middlewares, not one of type builtin"),
        ("dependencies", [print], r"a list of Depends\(…\), not one of type list"),
    ],
)
def test_an_option_says_what_it_takes(option: str, value: Any, why: str) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(SetupError, match=f"^{option} of a broker is {why}"):
        FakeBroker(**options)


async def test_entering_connects_and_only_start_listens() -> None:
    broker = FakeBroker()

    @broker.subscriber("in")
    async def handler(body: bytes) -> None: ...

    async with broker as entered:
        assert entered is broker
        assert broker.adapter.handles == {}
        await broker.start()
        await broker.start()
        assert list(broker.adapter.handles) == ["in"]
    assert not await broker.ping()


async def test_after_a_stop_a_start_works_again() -> None:
    broker, seen = FakeBroker(), []

    @broker.subscriber("in")
    async def handler(body: bytes) -> None:
        seen.append(body)

    for body in (b"1", b"2"):
        await broker.start()
        await broker.deliver(body)
        await broker.stop()
        await broker.stop()
    assert seen == [b"1", b"2"]


async def test_several_starts_at_once_are_one() -> None:
    opened, listened = [], []

    class Slow(FakeAdapter):
        async def open(self) -> None:
            opened.append(1)
            await asyncio.sleep(0)
            await super().open()

        async def listen(self, source: FakeSource, handle: Handle) -> Stop:
            listened.append(source.address)
            await asyncio.sleep(0)
            return await super().listen(source, handle)

    broker = FakeBroker()
    broker.adapter = Slow()
    subscriber, taker = broker.subscriber("in"), broker.subscriber("taken")

    @subscriber
    async def handler(body: bytes) -> None: ...

    await asyncio.gather(broker.connect(), broker.start(), broker.start(), broker.connect())
    assert (opened, listened) == ([1], ["in"])
    await broker.drain()
    await asyncio.gather(broker.start(), subscriber.start(), taker.start(), taker.start())
    assert (opened, listened) == ([1], ["in", "in", "taken"])
    await broker.stop()


async def test_what_a_stop_leaves_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    broker = FakeBroker(graceful_timeout=0.5)
    await broker.start()
    broker.adapter.left = 3
    await broker.stop()
    (record,) = caplog.records
    assert record.getMessage() == "stopped with 3 delivered messages not handled, graceful_timeout is 0.5 s"
    assert vars(record)["not_handled"] == 3


async def test_a_message_is_composed_of_body_and_headers() -> None:
    broker = FakeBroker()
    body, headers = broker.compose({"a": 1}, {"tenant": "t"}, "c-1")
    assert body == b'{"a":1}'
    assert headers == {"correlation_id": "c-1", "content-type": "application/json", "tenant": "t"}
    assert broker.compose(b"", None, "c-1") == (b"", {"correlation_id": "c-1"})


async def test_an_encoder_writes_in_the_place_of_json() -> None:
    broker = FakeBroker(encoder=lambda value: (b"packed", "application/x-pack"))

    @broker.subscriber("in")
    async def handler(body: bytes) -> dict[str, int]:
        return {"a": 1}

    await broker.start()
    await broker.publish({"a": 1}, "out")
    await broker.deliver(Native(reply="back"))
    assert [(each.body, each.headers["content-type"]) for each in broker.sent] == [
        (b"packed", "application/x-pack")
    ] * 2


async def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(PublishError, match="a value of type object has no JSON form"):
        FakeBroker().compose(object(), None, "")


async def test_plain_functions_run_beside_each_other_in_threads_of_the_broker() -> None:
    import threading

    together = threading.Barrier(2, timeout=10)
    broker = FakeBroker(threads=2)

    @broker.subscriber("in")
    def handler(body: bytes) -> str:
        together.wait()
        return threading.current_thread().name

    await broker.start()
    await asyncio.gather(broker.deliver(Native(reply="a")), broker.deliver(Native(reply="b")))
    await broker.stop()
    names = {each.body.decode() for each in broker.sent}
    assert len(names) == 2
    assert all(name.startswith("tidings-handler") for name in names)


def test_the_options_and_their_keywords_are_alike() -> None:
    options = get_type_hints(BrokerOptions)
    assert get_type_hints(BrokerKeywords) == options
    with pytest.raises(TypeError):
        FakeBroker(unknown=1)  # type: ignore[call-arg]


def test_a_logger_of_the_user_is_used() -> None:
    logger = logging.getLogger("mine")
    assert FakeBroker(logger=logger).logger is logger
