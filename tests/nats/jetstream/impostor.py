"""Somebody who answers in the place of JetStream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from tidings.nats import Client, Msg, connect

__all__ = ["answering"]


@contextlib.asynccontextmanager
async def answering(url: str, prefix: str, answer: Callable[[Msg], bytes]) -> AsyncIterator[Client]:
    """A client, and beside it somebody who answers below `prefix` in the place of JetStream."""
    async with await connect(url) as server, await connect(url) as client:

        async def respond(request: Msg) -> None:
            await request.respond(answer(request))

        await server.subscribe(f"{prefix}.>", cb=respond)
        await server.flush()
        yield client
