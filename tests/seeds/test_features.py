"""What the talk answers to its critics with: no global broker, the broker's own features, no pydantic."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from tidings import App, BaseMiddleware, Logger
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsRouter

from .model import LIMIT, InputData, seen_on


async def test_the_service_that_is_described() -> None:
    broker = NatsBroker()
    app = App(broker)

    class InputData(BaseModel):
        data: bytes

    class Prediction(BaseModel):
        result: float

    class Model:
        def predict(self, msg: InputData) -> Prediction:
            return Prediction(result=len(msg.data))

    model = Model()

    @broker.subscriber("test-subject")
    @broker.publisher("out-subject")
    async def handle_prediction(msg: InputData) -> Prediction:
        predict = model.predict(msg)
        return predict

    async with app:
        seen = await seen_on("out-subject", broker)
        await broker.publish({"data": "string"}, "test-subject")
        assert await (await asyncio.wait_for(seen.get(), LIMIT)).decode() == {"result": 6.0}


async def test_a_global_broker(nats_url: str) -> None:
    broker = NatsBroker(nats_url)

    @broker.publisher("next-step")
    @broker.subscriber("user-created")
    async def handler(username: str, user_id: int):  # type: ignore[no-untyped-def]
        return f"Hello, {username}!"

    async with broker:
        await broker.start()
        seen = await seen_on("next-step", broker)
        await broker.publish({"username": "Nikita", "user_id": 1}, "user-created")
        assert (await asyncio.wait_for(seen.get(), LIMIT)).body == b"Hello, Nikita!"


async def test_a_router_in_the_place_of_a_global_broker(nats_url: str) -> None:
    router = NatsRouter()

    @router.publisher("next-step")
    @router.subscriber("user-created")
    async def handler(username: str, user_id: int):  # type: ignore[no-untyped-def]
        return f"Hello, {username}!"

    def create_broker() -> NatsBroker:
        broker = NatsBroker(nats_url)
        broker.include_router(router)
        return broker

    create_broker()
    async with create_broker() as broker:
        seen = await seen_on("next-step", broker)
        await broker.start()
        await broker.publish({"username": "John", "user_id": 1}, "user-created")
        await broker.publish("the last one", "next-step")
        bodies = [(await asyncio.wait_for(seen.get(), LIMIT)).body for _ in range(2)]
        assert sorted(bodies) == [b"Hello, John!", b"the last one"]


async def test_a_subscriber_of_two_fields() -> None:
    broker = NatsBroker()

    @broker.subscriber("user-created")
    async def handler(username: str, user_id: int):  # type: ignore[no-untyped-def]
        return f"Hello, {username}!"

    async with broker:
        await broker.start()
        answer = await broker.request({"username": "John", "user_id": 1}, "user-created", timeout=LIMIT)
        assert answer.body == b"Hello, John!"


async def test_watching_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tidings")
    broker = NatsBroker()
    app = App(broker)
    seen: asyncio.Queue[int] = asyncio.Queue()

    @broker.subscriber("some-key", kv_watch="bucket")
    async def handler(msg: int, logger: Logger):  # type: ignore[no-untyped-def]
        logger.info(msg)
        await seen.put(msg)

    @app.after_startup
    async def test():  # type: ignore[no-untyped-def]
        kv = await broker.key_value("bucket")
        await kv.put("some-key", b"1")

    async with app:
        assert await asyncio.wait_for(seen.get(), LIMIT) == 1
        await broker.client.jetstream().delete_key_value("bucket")
    assert "1" in [record.getMessage() for record in caplog.records]


async def test_pydantic_is_not_nailed_down() -> None:
    broker = NatsBroker(validate=False)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    @broker.subscriber("user-created")
    async def handler(username: str, user_id: int) -> None:
        await seen.put((username, user_id))

    async with broker:
        await broker.start()
        await broker.publish({"username": 1, "user_id": "x"}, "user-created")
        assert await asyncio.wait_for(seen.get(), LIMIT) == (1, "x")


async def test_another_serialization_by_a_decoder_and_a_middleware() -> None:
    class MsgPackMiddleware(BaseMiddleware):
        async def publish_scope(self, call_next, msg, **options):  # type: ignore[no-untyped-def]
            return await call_next(
                msgspec.msgpack.encode(msg),
                **options,
            )

    def decode_message(msg: NatsMessage) -> Any:
        return msgspec.msgpack.decode(msg.body)

    broker = NatsBroker(
        decoder=decode_message,
        middlewares=(MsgPackMiddleware,),
    )

    @broker.subscriber("in")
    async def handler(data: InputData) -> dict[str, int]:
        return {"id": data.user_id}

    async with broker:
        await broker.start()
        answer = await broker.request({"username": "John", "user_id": 1}, "in", timeout=LIMIT)
        assert decode_message(answer) == {"id": 1}
