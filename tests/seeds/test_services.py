"""The talk's services: subscribers, publishers, requests, and the chain that they make up."""

import asyncio
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from tidings import App
from tidings.brokers.nats import NatsBroker

from .model import LIMIT, InputData, Prediction, model, seen_on


async def test_a_handler_without_annotations() -> None:
    broker = NatsBroker()
    app = App(broker)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber("input-subject")
    async def handler(msg):  # type: ignore[no-untyped-def]
        await seen.put(msg)

    async with app:
        await broker.publish("Hello", "input-subject")
        assert await asyncio.wait_for(seen.get(), LIMIT) == "Hello"


async def test_an_incoming_model() -> None:
    broker = NatsBroker()
    app = App(broker)
    seen: asyncio.Queue[Prediction] = asyncio.Queue()

    @broker.subscriber("input-subject")
    async def handler(data: InputData):  # type: ignore[no-untyped-def]
        prediction = model.predict(data)
        await seen.put(prediction)

    async with app:
        await broker.publish(InputData(username="Nikita", user_id=1), "input-subject")
        assert await asyncio.wait_for(seen.get(), LIMIT) == Prediction(result=0.5)


async def test_the_model_of_the_json_that_is_expected() -> None:
    class InputData(BaseModel):
        username: str
        user_id: int

    broker = NatsBroker()

    @broker.subscriber("input-subject")
    async def handler(data: InputData) -> str:
        return f"{data.username}, {data.user_id}"

    async with broker:
        await broker.start()
        json = b'{\n    "username": "Nikita",\n    "user_id": 1\n}'
        answer = await broker.request(json, "input-subject", timeout=LIMIT)
        assert await answer.decode() == "Nikita, 1"


async def test_publishing_a_dict() -> None:
    service = NatsBroker()
    seen: asyncio.Queue[InputData] = asyncio.Queue()

    @service.subscriber("input-subject")
    async def handler(data: InputData) -> None:
        await seen.put(data)

    await service.start()
    async with NatsBroker() as broker:
        await broker.publish(
            message={"username": "Nikita", "user_id": 1},
            subject="input-subject",
        )
    assert await asyncio.wait_for(seen.get(), LIMIT) == InputData(username="Nikita", user_id=1)
    await service.stop()


async def test_a_result_that_goes_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    broker = NatsBroker()
    app = App(broker)
    handled = asyncio.Event()

    @broker.subscriber("input-subject")
    async def handler(data: InputData) -> Prediction:
        prediction = model.predict(data)
        handled.set()
        return prediction

    async with app:
        everything = await seen_on(">", broker)
        await broker.publish({"username": "Nikita", "user_id": 1}, "input-subject")
        await asyncio.wait_for(handled.wait(), LIMIT)
        await broker.publish("the last one", "marker")
        seen = [(await asyncio.wait_for(everything.get(), LIMIT)).channel for _ in range(2)]
    assert seen == ["input-subject", "marker"]
    assert not caplog.records


async def test_rpc_over_mq() -> None:
    service = NatsBroker()

    @service.subscriber("input-subject")
    async def handler(data: InputData) -> Prediction:
        prediction = model.predict(data)
        return prediction

    await service.start()
    async with NatsBroker() as broker:
        response = await broker.request(
            message=InputData(username="Nikita", user_id=1),
            subject="input-subject",
            timeout=LIMIT,
        )
    assert await response.decode(Prediction) == Prediction(result=0.5)
    await service.stop()


async def test_reply_to() -> None:
    service = NatsBroker()
    seen: asyncio.Queue[Prediction] = asyncio.Queue()

    @service.subscriber("input-subject")
    async def handler(data: InputData) -> Prediction:
        return model.predict(data)

    @service.subscriber("reply")
    async def handle_prediction(msg: Prediction):  # type: ignore[no-untyped-def]
        await seen.put(msg)

    await service.start()
    async with NatsBroker() as broker:
        await broker.publish(
            message=InputData(username="Nikita", user_id=1),
            subject="input-subject",
            reply_to="reply",
        )
    assert await asyncio.wait_for(seen.get(), LIMIT) == Prediction(result=0.5)
    await service.stop()


async def test_publisher() -> None:
    broker = NatsBroker()
    app = App(broker)

    @broker.subscriber("input-subject")
    @broker.publisher("out-subject")
    async def handler(data: InputData) -> Prediction:
        prediction = model.predict(data)
        return prediction

    async with app:
        seen = await seen_on("out-subject", broker)
        await broker.publish(InputData(username="Nikita", user_id=1), "input-subject")
        assert (await asyncio.wait_for(seen.get(), LIMIT)).body == b'{"result":0.5}'


async def test_services_chain() -> None:
    broker = NatsBroker()
    finished: asyncio.Queue[Prediction] = asyncio.Queue()

    @broker.subscriber("input-subject")
    @broker.publisher("out-subject")
    async def service_1(data: InputData) -> Prediction:
        prediction = model.predict(data)
        return prediction

    @broker.subscriber("out-subject")
    @broker.publisher("final")
    async def service_2(data: Prediction) -> Prediction:
        return data

    @broker.subscriber("final")
    async def service_3(data: Prediction) -> None:
        await finished.put(data)

    async with broker:
        await broker.start()
        await broker.publish(InputData(username="Nikita", user_id=1), "input-subject")
        assert await asyncio.wait_for(finished.get(), LIMIT) == Prediction(result=0.5)
