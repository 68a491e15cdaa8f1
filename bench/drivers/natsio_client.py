"""natsio: `subscribe` is a plain call, and a plain callback is called without a coroutine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import natsio
from natsio.jetstream import Consumer, ConsumerConfig, JetStreamContext, JsMsg

MODULE = "natsio"


async def connect(url: str) -> natsio.Client:
    return await natsio.connect(url)


def address(subject: str) -> str:
    return subject


async def on_message(client: natsio.Client, subject: str, handle: Callable[[Any], None]) -> None:
    client.subscribe(subject, cb=handle)


async def messages(client: natsio.Client, subject: str) -> AsyncIterator[natsio.Msg]:
    return aiter(client.subscribe(subject))


async def serve(client: natsio.Client, subject: str) -> None:
    async def echo(msg: natsio.Msg) -> None:
        await msg.respond(msg.payload)

    client.subscribe(subject, cb=echo)


def jetstream(client: natsio.Client) -> JetStreamContext:
    return client.jetstream()


async def acknowledged(js: JetStreamContext) -> None:
    await js.publish_async_complete()


async def consumer(js: JetStreamContext, stream: str) -> Consumer:
    return await (await js.stream(stream)).create_consumer(ConsumerConfig())


def fetch(consumer: Consumer, count: int) -> Awaitable[list[JsMsg]]:
    return consumer.fetch(count)


def read(consumer: Consumer) -> AbstractAsyncContextManager[AsyncIterator[JsMsg]]:
    return consumer.consume()


@asynccontextmanager
async def read_in_order(js: JetStreamContext, stream: str) -> AsyncIterator[AsyncIterator[JsMsg]]:
    async with (await js.stream(stream)).ordered_consumer() as messages:
        yield aiter(messages)
