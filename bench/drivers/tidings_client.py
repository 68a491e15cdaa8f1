"""tidings: a plain callback is called without a coroutine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tidings.nats import Client, Msg
from tidings.nats import connect as nats_connect
from tidings.nats.jetstream import Consumer, JetStream, JetStreamMsg, Messages, OrderedMessages

MODULE = "tidings.nats"


async def connect(url: str) -> Client:
    return await nats_connect(url)


def address(subject: str) -> str:
    return subject


async def on_message(client: Client, subject: str, handle: Callable[[Any], None]) -> None:
    await client.subscribe(subject, cb=handle)


async def messages(client: Client, subject: str) -> AsyncIterator[Msg]:
    return aiter(await client.subscribe(subject))


async def serve(client: Client, subject: str) -> None:
    async def echo(msg: Msg) -> None:
        await msg.respond(msg.data)

    await client.subscribe(subject, cb=echo)


def jetstream(client: Client) -> JetStream:
    return client.jetstream()


async def acknowledged(js: JetStream) -> None:
    await js.publish_async_completed()


async def consumer(js: JetStream, stream: str) -> Consumer:
    return await js.create_consumer(stream)


def fetch(consumer: Consumer, count: int) -> Awaitable[list[JetStreamMsg]]:
    return consumer.fetch(count)


def read(consumer: Consumer) -> Messages:
    return consumer.messages()


@asynccontextmanager
async def read_in_order(js: JetStream, stream: str) -> AsyncIterator[OrderedMessages]:
    async with (await js.stream(stream)).ordered_consumer().messages() as messages:
        yield messages
