"""nats-core: subjects as bytes spare an encode, `add_callback` runs in the read loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from nats.client import Client, Message
from nats.client import connect as nats_connect

MODULE = "nats.client"
_tasks: set[asyncio.Task[None]] = set()


async def connect(url: str) -> Client:
    return await nats_connect(url)


def address(subject: str) -> bytes:
    return subject.encode()


async def on_message(client: Client, subject: str, handle: Callable[[Any], None]) -> None:
    # A message goes to the callback and into the queue as well, which nobody reads here: past the
    # limits each one would be logged as dropped.
    unlimited = {"max_pending_messages": None, "max_pending_bytes": None}
    subscription = await client.subscribe(subject, **unlimited)
    subscription.add_callback(handle)


async def messages(client: Client, subject: str) -> AsyncIterator[Message]:
    return aiter(await client.subscribe(subject))


async def serve(client: Client, subject: str) -> None:
    subscription = await client.subscribe(subject)

    async def echo() -> None:
        async for msg in subscription:
            await client.publish(msg.reply, msg.data)

    task = asyncio.create_task(echo())
    _tasks.add(task)
