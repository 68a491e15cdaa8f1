"""On a real server: routers, middlewares, filters and messages taken by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidings import (
    BaseMiddleware,
    CallNext,
    Depends,
    Header,
    Message,
    Outgoing,
    Path,
    RemoteError,
    Response,
    Router,
)
from tidings.brokers.nats import (
    NatsBroker,
    NatsMessage,
    NatsPublisher,
    NatsRoute,
    NatsRouter,
)
from tidings.messaging.errors import SetupError

LIMIT = 20.0  # seconds
PublishNext = Callable[..., Awaitable[Any]]


@pytest.fixture
def broker(nats_url: str) -> NatsBroker:
    return NatsBroker(nats_url, logger=None, connect_attempts=1)


async def ask(broker: NatsBroker, message: Any, subject: str) -> Any:
    return await (await broker.request(message, subject, timeout=LIMIT)).decode()


async def test_a_router_brings_its_prefix_middlewares_and_publishers(broker: NatsBroker) -> None:
    seen: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def noting(message: Message[Any], call_next: CallNext) -> Any:
        assert isinstance(message, NatsMessage)
        result = await call_next(message)
        await seen.put((message.subject, result))
        return result

    router = NatsRouter("a.", middlewares=[noting])

    @router.subscriber("{name}.in", queue="workers")
    @router.publisher("out")
    async def handler(number: int, name: str = Path()) -> str:
        return f"{name} {number}"

    results = NatsRouter("a.")

    @results.subscriber("out")
    async def on_result(text: str, message: NatsMessage) -> None:
        await seen.put((message.subject, text))

    broker.include_router(router, prefix="top.")
    broker.include_router(results, prefix="top.")
    async with broker:
        await broker.start()
        assert await ask(broker, 7, "top.a.x.in") == "x 7"
        async with asyncio.timeout(LIMIT):
            assert [await seen.get(), await seen.get()] == [("top.a.x.in", "x 7"), ("top.a.out", "x 7")]


async def test_routes_and_a_neutral_router(broker: NatsBroker) -> None:
    async def double(number: int) -> int:
        return 2 * number

    router = NatsRouter(handlers=[NatsRoute(double, "routed", publishers=[NatsPublisher("out")], queue="q")])
    neutral = Router("any.")
    neutral.subscriber("double")(double)
    broker.include_router(router)
    broker.include_router(neutral)
    async with broker:
        await broker.start()
        assert await ask(broker, 2, "routed") == 4
        assert await ask(broker, 3, "any.double") == 6


async def test_every_publish_passes_the_middlewares_around_publishing(nats_url: str) -> None:
    class Stamping(BaseMiddleware):
        async def publish_scope(
            self, call_next: Callable[..., Awaitable[Any]], msg: Any, **options: Any
        ) -> Any:
            options["headers"] = {**options["headers"], "Stamp": options["destination"]}
            return await call_next(msg, **options)

    async def shout(outgoing: Outgoing, call_next: CallNext) -> Any:
        outgoing.body = str(outgoing.body).upper()
        return await call_next(outgoing)

    broker = NatsBroker(nats_url, middlewares=[Stamping], publish_middlewares=[shout], logger=None)
    listening = broker.subscriber("out")

    @broker.subscriber("in")
    @broker.publisher("out")
    async def handler(body: str, stamp: str = Header("Stamp")) -> str:
        return f"{stamp}: {body}"

    async with broker:
        await broker.start()
        await listening.start()
        answer = await broker.request("hi", "in", timeout=LIMIT)
        assert answer.body == b"IN: HI"
        published = await listening.get_one(LIMIT)
        assert published is not None
        assert (published.body, published.headers["Stamp"]) == (b"IN: HI", "out")
        await broker.publish("direct", "out")
        published = await listening.get_one(LIMIT)
        assert published is not None
        assert published.body == b"DIRECT"


async def test_an_exception_handler_answers_at_once(broker: NatsBroker) -> None:
    @broker.exception_handler(LookupError)
    async def missing(error: LookupError) -> Response[dict[str, str]]:
        return Response({"missing": str(error.args[0])}, {"Kind": "missing"})

    @broker.subscriber("find")
    async def find(name: str) -> int:
        raise {"a": LookupError("a"), "b": ValueError("b")}[name]

    async with broker:
        await broker.start()
        answer = await broker.request("a", "find", timeout=LIMIT)
        assert await answer.decode() == {"missing": "a"}
        assert answer.headers["Kind"] == "missing"
        with pytest.raises(RemoteError, match="500"):
            await broker.request("b", "find", timeout=LIMIT)


async def test_one_of_several_handlers_gets_a_message(broker: NatsBroker) -> None:
    subscriber = broker.subscriber("in")

    @subscriber(filter=lambda message: message.content_type == "text/plain")
    async def text(body: str) -> str:
        return "text"

    @subscriber
    async def rest(body: Any) -> str:
        return "rest"

    async with broker:
        await broker.start()
        assert [await ask(broker, each, "in") for each in ("x", 1)] == ["text", "rest"]


async def test_messages_are_taken_one_by_one_at_run_time(broker: NatsBroker) -> None:
    async with broker:
        subscriber = broker.subscriber("logs.{level}")
        await subscriber.start()
        for number in range(3):
            await broker.publish(number, "logs.info")
        first = await subscriber.get_one(timeout=LIMIT)
        assert first is not None
        assert (first.path, await first.decode(int)) == ({"level": "info"}, 0)
        found = []
        async with asyncio.timeout(LIMIT):
            async for message in subscriber:
                found.append(await message.decode(int))
                if len(found) == 2:
                    await subscriber.stop()
        assert found == [1, 2]
        assert not subscriber.is_running


async def test_a_reader_gets_what_was_delivered_before_a_stop(broker: NatsBroker) -> None:
    found: list[bytes] = []
    subscriber = broker.subscriber("in")

    async def read() -> None:
        async for message in subscriber:
            found.append(message.body)

    async with broker:
        await subscriber.start()
        reading = asyncio.create_task(read())
        for number in range(100):
            await broker.publish(str(number), "in")
        assert await broker.ping()
    await asyncio.wait_for(reading, LIMIT)
    assert len(found) == 100


async def test_dependencies_of_a_broker_may_refuse_a_message(nats_url: str) -> None:
    def check(token: str = Header("Token", default="")) -> None:
        if token != "secret":
            raise RemoteError("401", "no")

    broker = NatsBroker(nats_url, logger=None, dependencies=[Depends(check)])

    @broker.subscriber("in")
    async def handler(body: str) -> str:
        return body

    async with broker:
        await broker.start()
        with pytest.raises(RemoteError, match="401: no"):
            await broker.request("x", "in", timeout=LIMIT)
        answer = await broker.request("x", "in", timeout=LIMIT, headers={"Token": "secret"})
        assert answer.body == b"x"


async def test_a_prefix_is_refused_where_a_source_takes_none(broker: NatsBroker) -> None:
    from tests.messaging.fakes import FakeDestination

    with pytest.raises(SetupError, match="is a FakeDestination, and a NatsBroker takes a NatsDestination"):
        broker.include_router(NatsRouter(handlers=[NatsRoute(ask, "x", publishers=[FakeDestination("y")])]))
