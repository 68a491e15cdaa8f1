"""The framework of tidings: the same handlers as its peer's, no line logged a message."""

import logging
from collections.abc import Callable

from pydantic import BaseModel

from bench.workloads.services import SINK, SOURCE
from bench.workloads.stream_services import STREAM, SUBJECT
from tidings import Context, Depends, Logger
from tidings.brokers.nats import NatsBroker, NatsMessage, Pull

MODULE = "tidings.brokers.nats"


class Reading(BaseModel):
    id: int
    v: float


def limit() -> float:
    return 100.0


QUIET = logging.getLogger("bench")
QUIET.setLevel(logging.WARNING)


async def model(url: str, handled: Callable[[], None]) -> NatsBroker:
    broker = NatsBroker(url, logger=None)

    @broker.subscriber(SOURCE)
    async def handler(reading: Reading) -> None:
        handled()

    await broker.start()
    return broker


async def injected(url: str, handled: Callable[[], None]) -> NatsBroker:
    broker = NatsBroker(url, logger=QUIET)

    @broker.subscriber(SOURCE)
    async def handler(
        reading: Reading,
        message: NatsMessage,
        logger: Logger,
        correlation_id: str = Context("message.correlation_id"),
        most: float = Depends(limit),
    ) -> None:
        handled()

    await broker.start()
    return broker


async def chain(url: str, handled: Callable[[], None]) -> NatsBroker:
    broker = NatsBroker(url, logger=None)

    @broker.subscriber(SOURCE)
    @broker.publisher(SINK)
    async def handler(reading: Reading) -> Reading:
        handled()
        return reading

    await broker.start()
    return broker


async def raw(url: str, handled: Callable[[], None]) -> NatsBroker:
    broker = NatsBroker(url, logger=None)

    @broker.subscriber(SOURCE)
    async def handler(body: bytes) -> None:
        handled()

    await broker.start()
    return broker


async def pulled(url: str, handled: Callable[[], None]) -> NatsBroker:
    broker = NatsBroker(url, logger=None)

    @broker.subscriber(SUBJECT, stream=STREAM, pull=Pull(batch=500))
    async def handler(reading: Reading) -> None:
        handled()

    await broker.start()
    return broker
