"""Routers: declared without a broker, included into one with all that is around them."""

from typing import Any

import pytest

from tests.messaging.fakes import FakeBroker, FakeDestination, FakeSource, Native
from tests.messaging.test_middleware import noting
from tidings.messaging.errors import SetupError
from tidings.messaging.message import Message
from tidings.messaging.middleware import BaseMiddleware
from tidings.messaging.params import Depends
from tidings.messaging.router import (
    BaseRouter,
    Route,
    Router,
    RouterPublisherMethod,
    RouterSubscriberMethod,
)


class FakeRouter(BaseRouter):
    subscriber = RouterSubscriberMethod(FakeSource)
    publisher = RouterPublisherMethod(FakeDestination)


async def upper(body: str) -> str:
    return body.upper()


async def start(*routers: Any, **options: Any) -> FakeBroker:
    broker = FakeBroker(**options)
    for router in routers:
        broker.include_router(router)
    await broker.start()
    return broker


def outputs(broker: FakeBroker) -> list[tuple[str, bytes]]:
    return [(sent.address, sent.body) for sent in broker.sent]


async def test_prefixes_are_put_before_subscribers_and_publishers_of_nested_routers_too() -> None:
    inner, outer = FakeRouter("b."), FakeRouter("a.")
    assert inner.subscriber("in")(inner.publisher("out")(upper)) is upper
    outer.include_router(inner, prefix="x.")
    broker = FakeBroker()
    broker.include_router(outer, prefix="top.")
    await broker.start()
    await broker.deliver(b"hi", "top.a.x.b.in")
    assert outputs(broker) == [("top.a.x.b.out", b"HI")]


async def test_one_function_in_two_places_publishes_where_it_was_called() -> None:
    routers = [FakeRouter("a."), FakeRouter("b.")]
    for router in routers:
        router.subscriber("in")(router.publisher("out")(upper))
    broker = await start(*routers)
    await broker.deliver(b"hi", "b.in")
    assert outputs(broker) == [("b.out", b"HI")]


async def test_a_router_may_be_included_into_several_brokers_of_a_factory() -> None:
    router = FakeRouter()
    publisher = router.publisher("out")
    router.subscriber("in")(publisher(upper))
    first, second = await start(router), await start(router)
    await second.deliver(b"hi")
    assert (outputs(first), outputs(second)) == ([], [("out", b"HI")])
    with pytest.raises(SetupError, match="included more than once"):
        await publisher.publish("x")


async def test_middlewares_and_dependencies_are_those_of_all_around() -> None:
    seen: list[str] = []

    async def dependency(body: str) -> None:
        seen.append(f"dependency {body}")

    inner = FakeRouter(middlewares=[noting("inner", seen)], dependencies=[Depends(dependency)])
    inner.subscriber("in", middlewares=[noting("own", seen)])(upper)
    outer = FakeRouter(middlewares=[noting("outer", seen)], routers=[inner])
    apart = FakeRouter()
    apart.subscriber("apart")(upper)
    broker = await start(outer, apart, middlewares=[noting("broker", seen)])
    await broker.deliver(b"hi")
    assert seen[:5] == ["broker in", "outer in", "inner in", "own in", "dependency hi"]
    seen.clear()
    await broker.deliver(b"hi", "apart")
    assert seen == ["broker in", "broker out"]


async def test_its_classes_and_exception_handlers_are_for_its_own_handlers() -> None:
    class Loud(BaseMiddleware):
        async def publish_scope(self, call_next: Any, msg: Any, **options: Any) -> Any:
            return await call_next(msg + "!", **options)

    router = FakeRouter(middlewares=[Loud])

    @router.exception_handler(ValueError)
    def sorry(error: ValueError) -> str:
        return "sorry"

    broker = FakeBroker(logger=None)
    for each in (router, broker):

        @each.subscriber("in" if each is broker else "routed")
        @each.publisher("out")
        async def handler(number: int) -> str:
            raise ValueError

    broker.include_router(router)
    await broker.start()
    await broker.deliver(Native(b"1", reply="back"), "routed")
    assert outputs(broker) == [("back", b"sorry!"), ("out", b"sorry!")]
    broker.sent.clear()
    await broker.deliver(Native(b"1", reply="back"))
    assert [sent.error is None for sent in broker.sent] == [False]


async def test_routes_are_given_at_once() -> None:
    router = FakeRouter(
        "a.", handlers=[Route(upper, "in", publishers=[FakeDestination("out")], no_reply=True)]
    )
    broker = await start(router)
    await broker.deliver(Native(b"hi", reply="back"), "a.in")
    assert outputs(broker) == [("a.out", b"HI")]


async def test_a_publisher_of_a_router_publishes_by_itself_once_it_is_included() -> None:
    router = FakeRouter("a.")
    publisher = router.publisher("out")
    with pytest.raises(SetupError, match="included nowhere"):
        await publisher.publish("x")
    broker = await start(router)
    await publisher.publish("x")
    assert await (await publisher.request("y")).decode() == "y"
    assert outputs(broker) == [("a.out", b"x"), ("a.out", b"y")]


async def test_a_router_of_no_broker_names_addresses() -> None:
    router = Router(handlers=[Route(upper, "in", publishers=["out"])])

    @router.subscriber("other", no_reply=True)
    @router.publisher("out", headers={"tenant": "t"})
    async def handler(body: str) -> str:
        return body

    broker = await start(router)
    await broker.deliver(b"hi")
    await broker.deliver(b"ho", "other")
    assert outputs(broker) == [("out", b"HI"), ("out", b"ho")]
    assert broker.sent[1].headers["tenant"] == "t"


async def test_filters_work_as_on_a_broker() -> None:
    router = FakeRouter()
    subscriber = router.subscriber("in")

    @subscriber(filter=lambda message: message.body == b"1")
    async def one(body: bytes) -> str:
        return "one"

    @subscriber
    async def rest(body: bytes) -> str:
        return "rest"

    broker = await start(router)
    for body in (b"1", b"2"):
        await broker.deliver(Native(body, reply="back"))
    assert [sent.body for sent in broker.sent] == [b"one", b"rest"]


async def test_what_comes_after_it_was_included_is_refused() -> None:
    router = FakeRouter()
    await start(router)
    for add in (
        lambda: router.subscriber("x"),
        lambda: router.publisher("x"),
        lambda: router.add_middleware(noting("x", [])),
        lambda: router.include_router(FakeRouter()),
        lambda: router.exception_handler(ValueError),
    ):
        with pytest.raises(SetupError, match="the router is included"):
            add()
    with pytest.raises(SetupError, match="cannot include itself"):
        (other := FakeRouter()).include_router(other)


async def test_one_of_another_kind_of_broker_is_refused() -> None:
    from tidings.brokers.nats import NatsRouter

    router = NatsRouter()
    router.subscriber("in")(upper)
    with pytest.raises(SetupError, match="'in' is a NatsSource, and a FakeBroker takes a FakeSource"):
        FakeBroker().include_router(router)


async def test_messages_are_typed_as_the_brokers() -> None:
    router, seen = FakeRouter(), []

    @router.subscriber("in")
    async def handler(message: Message[Any]) -> None:
        seen.append(message.body)

    await (await start(router)).deliver(b"x")
    assert seen == [b"x"]


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda: FakeRouter(None), "prefix of a router is a text, not one of type NoneType"),
        (lambda: FakeRouter(middlewares=noting("a", [])), "middlewares of a router is a list of middlewares"),
        (lambda: FakeRouter(dependencies=Depends(upper)), r"dependencies of a router is a list of Depends"),
        (lambda: FakeRouter(dependencies=[upper]), r"dependencies of a router is a list of Depends"),
        (lambda: FakeRouter(handlers=[upper]), r"handlers of a router are routes, such as Route\(handler, "),
        (lambda: Route(upper, "in", publishers="out"), "publishers of a route is a list, not 'out' alone"),
        (
            lambda: FakeRouter().include_router(FakeRouter),
            "takes a router, not the class FakeRouter: call it",
        ),
        (lambda: FakeRouter().include_router(FakeRouter(), prefix=1), "prefix of a router is a text"),
        (lambda: FakeBroker().include_router(FakeRouter(), prefix=1), "prefix of a router is a text"),
        (
            lambda: FakeBroker().include_router(FakeRouter),
            "takes a router, not the class FakeRouter: call it",
        ),
    ],
    ids=[
        "prefix",
        "middlewares",
        "one-dependency",
        "dependencies",
        "handlers",
        "publishers",
        "class",
        "prefix-of-include",
        "prefix-at-the-broker",
        "class-at-the-broker",
    ],
)
def test_what_a_router_does_not_take_is_told(declare: Any, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        declare()


def test_routers_that_include_each_other_are_refused() -> None:
    first, second, third = FakeRouter(), Router(), FakeRouter()
    first.include_router(second)
    second.include_router(third)
    with pytest.raises(SetupError, match="a router cannot include itself, nor one that includes it"):
        third.include_router(first)
