"""Middlewares are checked for their shape."""

from collections.abc import Callable
from typing import Any

from tidings import BaseMiddleware, CallNext, ExceptionMiddleware, Message, Outgoing
from tidings.brokers.nats import NatsBroker, NatsRouter


async def around(message: Message[Any], call_next: CallNext) -> Any:
    return await call_next(message)


async def stamp(outgoing: Outgoing, call_next: CallNext) -> Any:
    outgoing.headers["stamp"] = outgoing.destination
    outgoing.header = {}  # error
    return await call_next(outgoing)


class Packing(BaseMiddleware):
    async def publish_scope(self, call_next: Callable[..., Any], msg: Any, **options: Any) -> Any:
        return await call_next(repr(msg), **options)


def no_coroutine(message: Message[Any], call_next: CallNext) -> int:
    return 1


async def too_few(message: Message[Any]) -> int:
    return 1


class Other: ...


broker = NatsBroker(middlewares=[around, Packing, ExceptionMiddleware()], publish_middlewares=[stamp])
NatsRouter(middlewares=[around])
broker.subscriber("in", middlewares=[around])
broker.publisher("out", middlewares=[stamp])
broker.add_middleware(no_coroutine)  # error
broker.add_middleware(too_few)  # error
broker.add_middleware(Other)  # error
broker.publisher("out", middlewares=[Packing])  # error
NatsRouter(middlewares=around)  # error


@broker.exception_handler(ValueError)
async def answer(error: ValueError, message: Message[Any]) -> str:
    return str(error)


@broker.exception_handler("ValueError")  # error
async def wrong(error: ValueError) -> str:
    return str(error)
