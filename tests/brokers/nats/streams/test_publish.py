"""Publishing into streams: acknowledged, or an error."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.brokers.harness import Seen
from tests.brokers.nats.streams.conftest import Outside
from tidings.brokers.nats import NatsBroker, NatsResponse
from tidings.messaging.errors import NotConnectedError, PublishError, SetupError
from tidings.nats.jetstream import Schedule, StreamConfig


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


async def test_a_timeout_that_is_none_is_refused_before_anything_is_sent(
    nats_url: str, name: str, stream: Outside
) -> None:
    never: Any = "5s"
    async with NatsBroker(nats_url) as broker:
        with pytest.raises(SetupError, match=r"^timeout is a number of seconds, such as 0\.5, not '5s'"):
            await broker.publish("refused", f"{name}.in", stream=name, timeout=never)
        with pytest.raises(SetupError, match=r"^timeout is a number of seconds"):
            await broker.publish_batch("refused", subject=f"{name}.in", stream=name, timeout=never)
        assert (await broker.publish("first", f"{name}.in", stream=name)).seq == 1


async def test_options_of_streams_need_one(nats_url: str) -> None:
    async with NatsBroker(nats_url) as broker:
        with pytest.raises(TypeError, match="stream="):
            await broker.publish(1, "in", msg_id="a")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="reply_to"):
            await broker.publish(1, "in", stream="S", reply_to="a")  # type: ignore[call-overload]


async def test_before_connecting_it_says_what_to_call() -> None:
    with pytest.raises(NotConnectedError, match="connect"):
        await NatsBroker().publish(1, "in", stream="S")


async def test_a_batch_is_stored_as_a_whole_or_not_at_all(nats_url: str, name: str) -> None:
    async with NatsBroker(nats_url) as broker:
        js = broker.client.jetstream()
        stream = await js.create_stream(name=f"{name}-A", subjects=[f"{name}-A.in"], allow_atomic=True)
        publish, to = broker.publish_batch, {"subject": f"{name}-A.in", "stream": f"{name}-A"}
        one, two = NatsResponse(1, msg_id="one"), NatsResponse(2, msg_id="two", headers={"of": "two"})
        ack = await publish(one, two, **to)
        assert ack is not None
        assert (ack.seq, ack.batch_size) == (2, 2)
        stored = await stream.get_msg(2)
        assert (stored.data, stored.headers["of"]) == (b"2", "two")
        with pytest.raises(PublishError, match="did not take a batch of 2"):
            await publish(3, one, **to)
        with pytest.raises(PublishError, match="did not take a batch of 2"):
            await publish(NatsResponse(3, expected_last_seq=7), 4, **to)
        single = await publish(5, **to)
        assert single is not None
        assert (single.seq, (await stream.info()).state.messages) == (3, 3)


async def test_a_batch_into_a_stream_that_takes_none(nats_url: str, name: str, stream: Outside) -> None:
    async with NatsBroker(nats_url) as broker:
        with pytest.raises(PublishError, match="did not take a batch of 2"):
            await broker.publish_batch(1, 2, subject=f"{name}.in", stream=name)
        with pytest.raises(PublishError, match="say stream="):
            await broker.publish_batch(NatsResponse(1, msg_id="a"), subject=f"{name}.in")
        with pytest.raises(TypeError, match="stream="):
            await broker.publish_batch(1, subject=f"{name}.in", timeout=1)  # type: ignore[call-overload]


async def test_a_message_for_later_comes_then(nats_url: str, name: str) -> None:
    seen = Seen[int]()
    config = StreamConfig(name=f"{name}-S", subjects=[f"{name}-S.>"], allow_msg_schedules=True)
    async with NatsBroker(nats_url) as broker:

        @broker.subscriber(f"{name}-S.due", stream=config)
        async def due(number: int) -> None:
            seen.add(number)

        await broker.start()
        soon = Schedule.at(datetime.now(UTC) + timedelta(seconds=1), target=f"{name}-S.due")
        await broker.publish(7, f"{name}-S.later.7", stream=f"{name}-S", schedule=soon)
        assert await seen.until(1) == [7]
