"""What a handler takes and gives is known to who calls it; its decorators change nothing of it."""

from dataclasses import dataclass
from typing import Any, assert_type

from tidings import Depends, Header, Response, Router
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsRouter

broker = NatsBroker()
router = NatsRouter("a.")
neutral = Router()


@dataclass
class Order:
    item: str


@dataclass
class Receipt:
    total: float


def price() -> float:
    return 1.0


@broker.subscriber("orders", queue="workers", timeout=2.0)
@broker.publisher("receipts")
async def on_order(order: Order, message: NatsMessage, each: float = Depends(price)) -> Receipt:
    return Receipt(each)


@router.subscriber("orders")
@router.publisher("receipts")
async def routed(order: Order, tenant: str = Header()) -> Response[Receipt]:
    return Response(Receipt(1.0), headers={"tenant": tenant})


@neutral.subscriber("orders")
def plain(order: Order) -> float:
    return 1.0


orders = broker.subscriber("orders")


@orders(filter=lambda message: message.content_type == "text/plain")
async def filtered(text: str) -> int:
    return len(text)


async def main(message: NatsMessage, order: Order) -> None:
    assert_type(await on_order(order, message), Receipt)
    assert_type(await routed(order), Response[Receipt])
    assert_type((await routed(order)).body, Receipt)
    assert_type(plain(order), float)
    assert_type(await filtered("x"), int)
    await on_order("text", message)  # error
    await on_order(order)  # error
    await routed(1)  # error
    plain(order, order)  # error
    await filtered(1)  # error
    assert_type(await message.decode(Order), Order)
    async for each in orders:
        print(each.no_such_name)  # error
    taken = await orders.get_one(timeout=1)
    print(taken.body)  # error
    print(taken.body if taken else b"")


broker.subscriber("orders", queues="x")  # error
router.subscriber("orders", timeout="x")  # error
broker.publisher()  # error
broker.include_router(broker)  # error
broker.include_router(router, prefix=1)  # error
Response(1, reply="no")  # error


@orders(filter=1)  # error
async def wrong(body: Any) -> None: ...
