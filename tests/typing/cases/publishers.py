"""A publisher takes any message, or what it is declared to publish."""

from dataclasses import dataclass
from typing import Any, assert_type

from tidings.brokers.nats import NatsBroker, NatsRouter
from tidings.messaging.publisher import Publisher
from tidings.messaging.router import RoutedPublisher

broker = NatsBroker()
router = NatsRouter()


@dataclass
class Receipt:
    total: float


anything = broker.publisher("out")
receipts: Publisher[Receipt] = broker.publisher("receipts", reply_to="back")
routed: RoutedPublisher[Receipt] = router.publisher("receipts")


@receipts
async def make(body: bytes) -> Receipt:
    return Receipt(1.0)


async def main() -> None:
    assert_type(anything, Publisher[Any])
    await anything.publish("text")
    await receipts.publish(Receipt(1.0), headers={"a": "b"})
    await routed.publish(await make(b""))
    await receipts.publish("text")  # error
    await receipts.publish(Receipt(1.0), header={})  # error
    await routed.publish(1)  # error
    await receipts.request({"total": 1.0})  # error
    assert_type((await receipts.request(Receipt(1.0))).body, bytes)
