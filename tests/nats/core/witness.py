"""A client that goes through a fault: subscribed in every way, under load, and asked afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing

from tidings.nats import Client, ConnectionClosedError, Error, Msg, Subscription, connect
from tidings.nats.errors import ConnectionReconnectingError, PossiblyLostError

__all__ = ["QUICK", "Witness", "witnessing"]

QUICK: dict[str, Any] = {
    "reconnect_time_wait": 0.005,
    "reconnect_jitter": 0.001,
    "max_reconnect_wait": 0.05,
    "max_reconnect_attempts": -1,
}

# Seconds. A call that was given less and takes more hangs.
_PATIENCE = 10.0
_WINDOW = 50
_names = itertools.count()


class Witness:
    """What one client saw. Made by `witnessing`.

    Attributes:
        lost, back, closed, errors: what its callbacks were called with.
        doubts: errors that say what a lost connection may have taken with it.
        confirmed, doubtful: numbers that were published under load, and whether a flush confirmed them.
        arrived: numbers of the load that came back.
    """

    def __init__(self) -> None:
        self.lost, self.back, self.closed, self.errors = Gathered(), Gathered(), Gathered(), Gathered()
        self.doubts = Gathered()
        self.confirmed: set[int] = set()
        self.doubtful: set[int] = set()
        self.arrived = Gathered()
        self.client: Client
        self._root = f"witness.{next(_names)}"
        self._called, self._iterated, self._queued, self._held = (Gathered() for _ in range(4))
        self._words = itertools.count()
        self._sent = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._going = True

    async def open(self, url: str | Sequence[str], **options: Any) -> None:
        callbacks = {
            "disconnected_cb": self.lost,
            "reconnected_cb": self.back,
            "closed_cb": self.closed,
            "error_cb": lambda error: (
                self.doubts(error) if isinstance(error, PossiblyLostError) else self.errors(error)
            ),
        }
        self.client = client = await connect(url, **(QUICK | callbacks | options))
        root = self._root
        self._reader = await client.subscribe(f"{root}.word")
        await client.subscribe(f"{root}.*", cb=self._take)
        await client.subscribe(f"{root}.word", "group", cb=self._queued)
        await client.subscribe(f"{root}.load.>", cb=lambda message: self.arrived(int(message.data)))
        await client.subscribe(f"{root}.held.>", cb=self._held)
        await client.subscribe(f"{root}.echo.me", cb=lambda message: message.respond(message.data))
        self._tasks.append(asyncio.create_task(self._iterate(await client.subscribe(f"{root}.word"))))
        await client.flush()

    async def work(self) -> None:
        """Publish windows of numbers, each with a flush behind it, until the end."""
        self._tasks.append(asyncio.create_task(self._produce()))
        await self.arrived.reach(len(self.arrived) + 1)

    async def goes_on(self) -> None:
        """The load comes through."""
        await self.arrived.reach(len(self.arrived) + 2 * _WINDOW)

    async def is_whole(self) -> None:
        """Every subscription is there and gets its message; a request has its answer."""
        client, word = self.client, str(next(self._words)).encode()
        async with asyncio.timeout(_PATIENCE):
            await client.publish(f"{self._root}.word", word)
            while (await self._reader.next_msg(_PATIENCE)).data != word:
                pass  # an earlier one, whose confirmation was lost
            for gathered in (self._called, self._iterated, self._queued):
                while word not in gathered.data:
                    await gathered.reach(len(gathered) + 1)
            assert (await client.request(f"{self._root}.echo.me", word, _PATIENCE)).data == word
            await client.flush()
        assert client.is_connected

    async def calls_end(self) -> None:
        """No call takes longer than it may, whatever became of the connection."""
        client, subject = self.client, f"{self._root}.nobody"
        was_connected = client.is_connected
        nobody = await client.subscribe(subject)
        async with asyncio.timeout(_PATIENCE):
            results = await asyncio.gather(
                client.flush(0.05),
                client.rtt(0.05),
                client.request(f"{self._root}.none.at.all", b"", 0.05),
                client.request(f"{self._root}.none.at.all", b"", 0.05, old_style=True),
                nobody.next_msg(0.05),
                return_exceptions=True,
            )
            await nobody.unsubscribe()
        for result in results:
            assert result is None or isinstance(result, float | Error), result
        if not was_connected:
            assert isinstance(results[0], ConnectionReconnectingError)

    async def hold(self, count: int) -> None:
        """Publish while the client is away."""
        assert not self.client.is_connected
        for number in range(count):
            await self.client.publish(f"{self._root}.held.back", str(number))

    async def held_arrive(self, count: int) -> None:
        """What was published while away is there, in order."""
        assert (await self._held.reach(count)).data == [str(number).encode() for number in range(count)]

    async def end(self) -> None:
        """Drain and close in time, and give account of the load."""
        client = self.client
        self._going = False
        async with asyncio.timeout(_PATIENCE):
            if len(self._tasks) > 1:
                await self._tasks[1]
            await client.drain(_PATIENCE / 2)
            await client.close()
            await self._tasks[0]
        assert (client.is_closed, client.is_connected, len(self.closed)) == (True, False, 1)
        with pytest.raises(ConnectionClosedError):
            await client.publish("a")
        assert len(self.arrived) == len(set(self.arrived)), "nothing comes twice"
        assert self.confirmed <= set(self.arrived), "nothing is lost in silence"
        assert self.confirmed | self.doubtful == set(range(self._sent))

    async def leave(self) -> None:
        """Let nothing of ours live on after a failure."""
        for task in self._tasks:
            task.cancel()
        await self.client.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, message: Msg) -> None:
        if message.subject.endswith(".word"):
            self._called(message)

    async def _iterate(self, sub: Subscription) -> None:
        async for message in sub:
            self._iterated(message)

    async def _produce(self) -> None:
        while self._going:
            window = range(self._sent, self._sent + _WINDOW)
            self._sent += _WINDOW
            for number in window:
                await self.client.publish(f"{self._root}.load.on", str(number))
            try:
                await self.client.flush(1.0)
                self.confirmed.update(window)
            except Error:
                self.doubtful.update(window)
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def witnessing(
    url: str | Sequence[str], *, is_alone: bool = True, **options: Any
) -> AsyncIterator[Witness]:
    """A witness, connected and whole; at the end it drains and gives account.

    Args:
        is_alone: nobody else makes tasks or sockets meanwhile, so that what is left is its own.
    """
    witness = Witness()
    async with leaves_nothing() if is_alone else contextlib.nullcontext():
        await witness.open(url, **options)
        try:
            await witness.is_whole()
            await witness.work()
            yield witness
            if not witness.client.is_closed:
                await eventually(lambda: witness.client.is_connected)
                await witness.is_whole()
                await witness.goes_on()
                await witness.end()
        finally:
            await witness.leave()
