"""nats-py: a callback must be a coroutine function; subjects are checked, as by the others."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

MODULE = "nats"


async def connect(url: str) -> Client:
    client = Client()
    await client.connect(url)
    return client


def address(subject: str) -> str:
    return subject


async def on_message(client: Client, subject: str, handle: Callable[[Any], None]) -> None:
    async def callback(msg: Msg) -> None:
        handle(msg)

    await client.subscribe(subject, cb=callback)


async def messages(client: Client, subject: str) -> AsyncIterator[Msg]:
    return (await client.subscribe(subject)).messages


async def serve(client: Client, subject: str) -> None:
    async def echo(msg: Msg) -> None:
        await msg.respond(msg.data)

    await client.subscribe(subject, cb=echo)


def jetstream(client: Client) -> JetStreamContext:
    return client.jetstream()


async def acknowledged(js: JetStreamContext) -> None:
    await js.publish_async_completed()


async def consumer(js: JetStreamContext, stream: str) -> JetStreamContext.PullSubscription:
    return await js.pull_subscribe(">", stream=stream)


def fetch(consumer: JetStreamContext.PullSubscription, count: int) -> Awaitable[list[Msg]]:
    return consumer.fetch(count)


@asynccontextmanager
async def read_in_order(js: JetStreamContext, stream: str) -> AsyncIterator[AsyncIterator[Msg]]:
    subscription = await js.subscribe(">", stream=stream, ordered_consumer=True)
    yield subscription.messages
    await subscription.unsubscribe()
