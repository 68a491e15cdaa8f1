"""A response is of what it holds, and what it asks of a stream has types."""

from dataclasses import dataclass
from typing import Any, assert_type

from tidings import Response
from tidings.brokers.nats import NatsBroker, NatsMessage, NatsResponse
from tidings.nats.jetstream import Schedule

broker = NatsBroker()


@dataclass
class Order:
    item: str


@dataclass
class Receipt:
    total: float


assert_type(NatsResponse(Receipt(1.0), msg_id="a", ttl=3600), NatsResponse[Receipt])
assert_type(NatsResponse(Receipt(1.0)).body, Receipt)


@broker.subscriber("orders")
@broker.publisher("receipts", stream="RECEIPTS")
async def on_order(order: Order, message: NatsMessage) -> NatsResponse[Receipt]:
    later = Schedule.every(60, target="reminders")
    return NatsResponse(
        Receipt(1.0),
        headers={"item": order.item},
        correlation_id=message.correlation_id,
        msg_id="a",
        ttl=60,
        rollup="sub",
        schedule=later if order.item else None,
        expected_last_seq=1,
    )


@broker.subscriber("any")
async def on_any(order: Order) -> Response[Receipt]:
    return NatsResponse(Receipt(1.0), msg_id="a")  # one that asks something is a response like any other


async def called(message: NatsMessage) -> None:
    assert_type(await on_order(Order("tea"), message), NatsResponse[Receipt])
    many: list[NatsResponse[Any]] = [NatsResponse(1, msg_id="a"), NatsResponse("b", msg_id="b")]
    await broker.publish_batch(*many, subject="out", stream="OUT")


async def wrong(order: Order) -> NatsResponse[Receipt]:
    NatsResponse(Receipt(1.0), msg_id=1)  # error
    NatsResponse(Receipt(1.0), rollup="none")  # error
    NatsResponse(Receipt(1.0), schedule="@every 1m")  # error
    NatsResponse(Receipt(1.0), msgid="a")  # error
    NatsResponse(Receipt(1.0), headers={"n": 1})  # error
    return NatsResponse(order)  # error
