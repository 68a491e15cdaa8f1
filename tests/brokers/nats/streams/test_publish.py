"""Publishing into streams: acknowledged, or an error."""

import pytest

from tests.brokers.nats.streams.conftest import Outside
from tidings.brokers.nats import NatsBroker
from tidings.messaging.errors import NotConnectedError, PublishError, SetupError


async def test_the_acknowledgement_comes_back(nats_url: str, name: str, stream: Outside) -> None:
    async with NatsBroker(nats_url) as broker:
        ack = await broker.publish({"id": 1}, f"{name}.in", stream=name, msg_id="a", headers={"x": "y"})
        assert (ack.stream, ack.seq, ack.duplicate) == (name, 1, False)
        again = await broker.publish({"id": 1}, f"{name}.in", stream=name, msg_id="a")
        assert (again.seq, again.duplicate) == (1, True)
        with pytest.raises(PublishError, match="did not take"):
            await broker.publish(1, f"{name}.in", stream=name, expected_last_seq=7)
    stored = await stream.last("in")
    assert (stored.data, stored.headers["x"]) == (b'{"id":1}', "y")
    assert stored.headers["correlation_id"]


async def test_it_is_the_named_stream_that_stores_it(nats_url: str, name: str, stream: Outside) -> None:
    async with NatsBroker(nats_url) as broker:
        with pytest.raises(PublishError):
            await broker.publish(1, f"{name}.in", stream="another")
        with pytest.raises(PublishError):
            await broker.publish(1, f"nowhere.{name}", stream=name, timeout=1)


async def test_a_publisher_waits_for_the_stream(nats_url: str, name: str, stream: Outside) -> None:
    broker = NatsBroker(nats_url)
    publisher = broker.publisher(f"{name}.out", stream=name, headers={"always": "1"})
    async with broker:
        await publisher.publish("text")
        stored = await stream.last("out")
        assert (stored.data, stored.headers["always"]) == (b"text", "1")
        with pytest.raises(PublishError):
            await broker.publisher("nowhere", stream=name).publish("text")
        with pytest.raises(SetupError, match="reply_to"):
            await broker.publisher("out", stream=name, reply_to="back").publish("text")


async def test_options_of_streams_need_one(nats_url: str) -> None:
    async with NatsBroker(nats_url) as broker:
        with pytest.raises(TypeError, match="stream="):
            await broker.publish(1, "in", msg_id="a")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="reply_to"):
            await broker.publish(1, "in", stream="S", reply_to="a")  # type: ignore[call-overload]


async def test_before_connecting_it_says_what_to_call() -> None:
    with pytest.raises(NotConnectedError, match="connect"):
        await NatsBroker().publish(1, "in", stream="S")
