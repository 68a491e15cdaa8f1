"""What tests of the client wait with: callbacks that remember, and a check that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from tidings.nats import Client, Subscription
from tidings.nats.wire import Parser

__all__ = ["Gathered", "Ticks", "deliver", "eventually", "leaves_nothing", "numbers", "send"]


class Gathered(list[Any]):
    """A callback that keeps what it is called with; `await gathered.reach(3)` waits for three."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def __call__(self, *args: Any) -> None:
        self.append(args[0] if args else None)
        self._more.set()

    async def reach(self, count: int = 1) -> list[Any]:
        async with asyncio.timeout(20):
            while len(self) < count:
                self._more.clear()
                await self._more.wait()
        return self

    @property
    def data(self) -> list[bytes]:
        """The payloads, for a callback of messages."""
        return [message.data for message in self]


class Ticks:
    """Pings when the test says so, however busy the machine is: for ``ping_interval=Ticks.interval``."""

    interval = 3600.0

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._call_later = self._loop.call_later
        self._due: list[tuple[asyncio.TimerHandle, Callable[..., object], tuple[Any, ...]]] = []
        self._loop.call_later = self._note  # type: ignore[method-assign]

    def tick(self) -> None:
        """An interval is over."""
        due, self._due = self._due, []
        for handle, callback, args in due:
            if not handle.cancelled():
                handle.cancel()
                callback(*args)

    def _note(self, delay: float, callback: Callable[..., object], *args: Any, **more: Any) -> Any:
        handle = self._call_later(delay, callback, *args, **more)
        if delay == self.interval:
            self._due.append((handle, callback, args))
        return handle


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, for what has no event to wait for."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def deliver(sub: Subscription, data: str) -> None:
    """Have a message come for `sub` right now, as the link does it."""
    parser = Parser()
    parser.routes = {sub.sid: sub}
    parser.feed(f"MSG {sub.subject} {sub.sid} {len(data)}\r\n{data}\r\n".encode())
    for route in parser.take_touched():
        route.wake()


async def send(client: Client, subject: str, count: int, start: int = 0) -> None:
    """Publish numbers, and wait until they were delivered to this client too."""
    for i in range(start, start + count):
        await client.publish(subject, str(i))
    await client.flush()


def numbers(messages: list[Any]) -> list[int]:
    return [int(message.data) for message in messages]


def open_sockets() -> int:
    """Sockets of this process; a loop may keep other files of its own."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists them is gone by now
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
    return count


@contextlib.asynccontextmanager
async def leaves_nothing() -> AsyncIterator[None]:
    """Fails if the block leaves a task or an open socket that was not there before."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    yield
    for _ in range(3):  # what was cancelled needs a turn to end
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - tasks
    assert not left, f"tasks left: {left}"
    await eventually(lambda: open_sockets() <= sockets)  # a socket closes some turns after it was told to
