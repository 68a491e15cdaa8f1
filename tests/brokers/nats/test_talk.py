"""The snippets of the talk that the project started from, as a user would write them."""

import asyncio
import logging
import textwrap
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from tidings import App, BaseMiddleware, Logger
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsRouter

LIMIT = 20.0  # seconds


class InputData(BaseModel):
    username: str
    user_id: int


class Prediction(BaseModel):
    result: float


class Model:
    def predict(self, data: InputData) -> Prediction:
        return Prediction(result=data.user_id / 2)


model = Model()


@pytest.fixture(autouse=True)
def servers(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NatsBroker()` of the snippets finds the server of the tests."""
    monkeypatch.setenv("TIDINGS_NATS_SERVERS", nats_url)


async def seen_on(subject: str, broker: NatsBroker) -> "asyncio.Queue[NatsMessage]":
    queue: asyncio.Queue[NatsMessage] = asyncio.Queue()
    subscriber = broker.subscriber(subject)

    @subscriber
    async def keep(message: NatsMessage) -> None:
        await queue.put(message)

    await subscriber.start()
    return queue


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


async def test_an_incoming_model_and_a_published_dict() -> None:
    broker = NatsBroker()
    app = App(broker)
    seen: asyncio.Queue[Prediction] = asyncio.Queue()

    @broker.subscriber("input-subject")
    async def handler(data: InputData) -> None:
        prediction = model.predict(data)
        await seen.put(prediction)

    async with app:
        async with NatsBroker() as publishing:
            await publishing.publish(
                message={"username": "Nikita", "user_id": 1},
                subject="input-subject",
            )
        assert await asyncio.wait_for(seen.get(), LIMIT) == Prediction(result=0.5)


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
    async def handle_prediction(msg: Prediction) -> None:
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


async def test_incoming_and_outgoing_contract() -> None:
    broker = NatsBroker()

    @broker.subscriber("input-subject")
    async def handler(username: str, user_id: int) -> str:
        if user_id < 1:
            raise ValueError
        return f"User {username} created!"

    async with broker:
        await broker.start()
        result = await broker.request(
            {"username": "Nikita", "user_id": 1},
            subject="input-subject",
        )
        assert result.body == b"User Nikita created!"
    with pytest.raises(ValueError, match=r"^$"):
        await handler("Nikita", 0)


async def test_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tidings")
    broker = NatsBroker()
    app = App(broker)
    handled = asyncio.Event()

    @broker.subscriber("in")
    async def handler(msg: Any, logger: Logger) -> None:
        logger.info(msg)
        handled.set()

    async with app:
        await broker.publish("Hello, tidings!", "in", correlation_id="0fd3e176-f")
        await asyncio.wait_for(handled.wait(), LIMIT)
    hello = next(record for record in caplog.records if record.getMessage() == "Hello, tidings!")
    assert vars(hello)["channel"] == "in"
    assert vars(hello)["correlation_id"] == "0fd3e176-f"
    assert "in | 0fd3e176-f | handled" in caplog.text


async def test_a_global_broker_and_a_publisher_above() -> None:
    broker = NatsBroker()

    @broker.publisher("next-step")
    @broker.subscriber("user-created")
    async def handler(username: str, user_id: int) -> str:
        return f"Hello, {username}!"

    async with broker:
        await broker.start()
        seen = await seen_on("next-step", broker)
        await broker.publish({"username": "Nikita", "user_id": 1}, "user-created")
        assert (await asyncio.wait_for(seen.get(), LIMIT)).body == b"Hello, Nikita!"


async def test_a_broker_that_is_not_global(nats_url: str) -> None:
    async def handler(username: str, user_id: int) -> str:
        return f"Hello, {username}!"

    def create_broker() -> NatsBroker:
        broker = NatsBroker(nats_url)
        broker.subscriber("user-created")(broker.publisher("next-step")(handler))
        return broker

    create_broker()
    async with create_broker() as broker:
        await broker.start()
        seen = await seen_on("next-step", broker)
        await broker.publish({"username": "Nikita", "user_id": 1}, "user-created")
        assert (await asyncio.wait_for(seen.get(), LIMIT)).body == b"Hello, Nikita!"
        assert seen.empty()


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


async def test_custom_serialization() -> None:
    import json

    def decode_message(msg: NatsMessage) -> Any:
        return json.loads(msg.body[::-1])

    def encode_message(value: Any) -> tuple[bytes, str]:
        return json.dumps(value).encode()[::-1], "application/reversed"

    broker = NatsBroker(decoder=decode_message, encoder=encode_message)

    @broker.subscriber("reversed")
    async def handler(data: InputData) -> str:
        return data.username

    async with broker:
        await broker.start()
        answer = await broker.request({"username": "Nikita", "user_id": 1}, "reversed")
        assert answer.body == b'"Nikita"'[::-1]


def test_a_module_as_in_the_talk_can_be_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talk_main.py").write_text(
        textwrap.dedent(
            """
            from tidings import App
            from tidings.brokers.nats import NatsBroker

            broker = NatsBroker()
            app = App(broker)

            @broker.subscriber("input-subject")
            async def handler(msg):
                ...
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    module = import_module("talk_main")
    assert isinstance(module.app, App)
    assert len(module.broker.subscribers) == 1


async def test_a_router_in_the_place_of_a_global_broker() -> None:
    router = NatsRouter()

    @router.publisher("next-step")
    @router.subscriber("user-created")
    async def handler(username: str, user_id: int) -> str:
        return f"Hello, {username}!"

    def create_broker() -> NatsBroker:
        broker = NatsBroker()
        broker.include_router(router)
        return broker

    async with create_broker() as broker:
        seen = await seen_on("next-step", broker)
        await broker.start()
        await broker.publish({"username": "John", "user_id": 1}, "user-created")
        message = await asyncio.wait_for(seen.get(), LIMIT)
        assert await message.decode() == "Hello, John!"


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
