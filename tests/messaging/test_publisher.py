"""Publishers as objects and as decorators."""

from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeDestination, Native, Sent
from tidings import SetupError
from tidings.brokers.memory import MemoryBroker


async def test_a_publisher_publishes_to_its_destination() -> None:
    broker = FakeBroker()
    publisher = broker.publisher("out", headers={"tenant": "t", "kind": "x"})
    await broker.start()
    await publisher.publish({"a": 1}, headers={"kind": "y"}, correlation_id="c-1")
    headers = {"correlation_id": "c-1", "content-type": "application/json", "tenant": "t", "kind": "y"}
    assert broker.sent == [Sent("out", b'{"a":1}', headers)]


async def test_a_publisher_requests_from_its_destination() -> None:
    broker = FakeBroker()
    await broker.start()
    answer = await broker.publisher("out").request([1])
    assert await answer.decode() == [1]


async def test_a_publisher_object_decorates_a_handler() -> None:
    broker = FakeBroker()
    publisher = broker.publisher("out", headers={"tenant": "t"})

    @publisher
    @broker.subscriber("in")
    async def handler(body: bytes) -> str:
        return "done"

    await broker.start()
    await broker.deliver(Native(headers={"correlation_id": "c-1"}))
    (sent,) = broker.sent
    assert sent == Sent(
        "out", b"done", {"correlation_id": "c-1", "content-type": "text/plain", "tenant": "t"}
    )


def test_the_options_are_those_of_the_destination() -> None:
    assert FakeBroker().publisher("out", reply_to="back").destination == FakeDestination(
        "out", reply_to="back"
    )


@pytest.mark.parametrize(
    ("option", "value", "takes"),
    [
        ("subject", 3, "a text, not one of type int"),
        ("headers", 3, "a dict of str to str"),
        ("headers", {"a": 3}, "a dict of str to str"),
        ("reply_to", 3, "a text"),
        ("title", 3, "a text"),
        ("encoder", "msgpack", "a function"),
    ],
)
def test_an_option_of_another_type_is_told_by_its_name(option: str, value: Any, takes: str) -> None:
    of = "a publisher" if option == "subject" else "'out'"
    with pytest.raises(SetupError, match=f"^{option} of {of} is {takes}"):
        MemoryBroker().publisher(**({"subject": "out"} | {option: value}))
