"""Somebody in the place of a stream, who answers what a test tells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from tidings.nats import Client, Msg, connect
from tidings.nats.core.events import Disconnected

__all__ = ["Taken", "away", "in_turn", "streaming"]


class Taken:
    """What was published so far."""

    def __init__(self) -> None:
        self.messages: list[Msg] = []
        self._news = asyncio.Event()

    def add(self, message: Msg) -> None:
        self.messages.append(message)
        self._news.set()

    async def reach(self, count: int) -> list[Msg]:
        """Wait for so many messages."""
        while len(self.messages) < count:
            self._news.clear()
            await self._news.wait()
        return self.messages


@contextlib.asynccontextmanager
async def streaming(
    url: str, subject: str, answer: Callable[[Msg], bytes | None] = lambda message: None
) -> AsyncIterator[Taken]:
    """Answers what is published on `subject`, which no stream takes; None answers nothing."""
    taken = Taken()

    async def respond(message: Msg) -> None:
        taken.add(message)
        if (data := answer(message)) is not None and message.reply:
            await message.respond(data)

    async with await connect(url) as client:
        await client.subscribe(subject, cb=respond)
        await client.flush()
        yield taken


def in_turn(answers: Iterable[bytes | None]) -> Callable[[Msg], bytes | None]:
    """Gives one answer after the other; nothing when there is none any more."""
    left: Iterator[bytes | None] = iter(answers)
    return lambda message: next(left, None)


async def away(client: Client) -> None:
    """Wait until `client` knows that its connection is lost."""
    events = client.events()
    if client.is_connected:
        async for event in events:
            if isinstance(event, Disconnected):
                return
