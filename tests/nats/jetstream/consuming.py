"""A stream with numbers in it, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from tidings.nats import Client, connect
from tidings.nats.jetstream import ConsumerInfo, JetStreamMsg, Stream

__all__ = ["fill", "numbered", "numbers", "sequences", "unacknowledged"]


async def fill(client: Client, subject: str, count: int, start: int = 1) -> None:
    """Publish the numbers from `start` on, and wait until the last is stored."""
    for number in range(start, start + count - 1):
        await client.publish(subject, str(number))
    await client.request(subject, str(start + count - 1), 10)


@contextlib.asynccontextmanager
async def numbered(
    url: str, name: str, count: int = 0, **options: Any
) -> AsyncIterator[tuple[Client, Stream]]:
    """A client, and a stream of that name with the numbers from 1 to `count` on ``<name>.n``."""
    client = await connect(url, **options)
    try:
        stream = await client.jetstream().create_stream(name=name, subjects=[f"{name}.>"])
        if count:
            await fill(client, f"{name}.n", count)
        yield client, stream
        if not client.is_closed:
            await client.jetstream().delete_stream(name)
    finally:
        await client.close()


def numbers(messages: Iterable[JetStreamMsg]) -> list[int]:
    return [int(message.data) for message in messages]


def sequences(messages: Iterable[JetStreamMsg]) -> list[int]:
    return [message.metadata.sequence.stream for message in messages]


async def unacknowledged(info: Callable[[], Awaitable[ConsumerInfo]], count: int) -> ConsumerInfo:
    """Wait until the consumer waits for so many acknowledgements: the server takes them in when it likes."""
    async with asyncio.timeout(20):
        while (found := await info()).num_ack_pending != count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return found
