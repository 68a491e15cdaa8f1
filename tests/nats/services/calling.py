"""What tests of services share: names of their own on a shared server, and a handler that waits."""

from __future__ import annotations

import asyncio
import itertools
import os

from tidings.nats.services import Request

__all__ = ["Gate", "double", "unique"]

_numbers = itertools.count()


def unique(word: str = "svc") -> str:
    """A name, and a subject, that no other test has."""
    return f"{word}-{os.getpid()}-{next(_numbers)}"


def double(request: Request) -> bytes:
    return request.data * 2


class Gate:
    """A handler whose requests wait until it is opened."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.open = asyncio.Event()
        self.running = 0
        self.most = 0

    async def __call__(self, request: Request) -> bytes:
        self.running += 1
        self.most = max(self.most, self.running)
        self.entered.release()
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        return request.data

    async def reached(self, count: int = 1) -> None:
        async with asyncio.timeout(20):
            for _ in range(count):
                await self.entered.acquire()
