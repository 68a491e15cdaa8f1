"""Who writes to the stream and who reads from it while chaos happens, and what they note."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import Counter, deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scripts.chaos_jetstream_field import Line, persistently

from tidings.nats import Client, Error
from tidings.nats.jetstream import Consumer, JetStreamMsg, OrderedMessages, PubAck
from tidings.nats.jetstream.errors import ConsumerExistsError

__all__ = ["ALL", "SINGLE", "STREAM", "WINDOW", "Fetching", "Iterating", "Nexting", "Ordered", "Overdue",
           "Publisher", "Reader", "SinglePublisher"]  # fmt: skip

STREAM, ALL, SINGLE, WINDOW = "CHAOS", "chaos.*", "chaos.single", "chaos.window"
# Seconds that calls are given.
ACK_TIMEOUT, FETCH_TIMEOUT, NEXT_TIMEOUT = 2.0, 1.5, 1.0
# Seconds by which a call may be late on a machine that is busy; then it hangs. After more it is given up.
SLACK, GIVE_UP = 2.0, 20.0
READING: dict[str, Any] = {"batch": 500, "expires": 4.0, "heartbeat": 0.5, "on_error": lambda error: None}
# Async publishes that wait for their acknowledgement: at most, and at least when one is cut in their middle.
MOST_PENDING, MIDDLE = 1000, 8
# `Iterating` and `Ordered` change between the ways to iterate after so many messages.
_TURN = 500

T = TypeVar("T")


@dataclass
class Overdue:
    """Calls that did not come back in their time, and how late the latest of all calls was, in seconds."""

    calls: list[str] = field(default_factory=list)
    latest: float = 0.0

    def note(self, what: str, took: float, limit: float) -> None:
        """A call took so long, and was given `limit` seconds."""
        self.latest = max(self.latest, took - limit)
        if took > limit + SLACK:
            self.calls.append(f"{what} took {took:.1f} s and was given {limit:g}")

    async def watch(self, what: str, limit: float, call: Awaitable[T]) -> T:
        """Await a call that was given `limit` seconds."""
        start = time.monotonic()
        try:
            async with asyncio.timeout(limit + GIVE_UP):
                return await call
        finally:
            self.note(what, time.monotonic() - start, limit)


class Worker:
    """One client at work, behind proxies of its own."""

    def __init__(self, line: Line, client: Client, overdue: Overdue) -> None:
        self.line = line
        self.client = client
        self.overdue = overdue

    @property
    def is_in_the_middle(self) -> bool:
        """Whether it waits for something of the server now."""
        return True


class Publisher(Worker):
    """Publishes without waiting for each; what was not acknowledged again, with the same ``msg_id``.

    Args:
        numbers: what is published.
        seconds: how long that takes when nothing happens.
    """

    def __init__(
        self, line: Line, client: Client, overdue: Overdue, numbers: Sequence[int], seconds: float
    ) -> None:
        super().__init__(line, client, overdue)
        self.numbers = numbers
        self.pace = len(numbers) / seconds
        self.acknowledged: dict[int, int] = {}
        self.again = 0
        self._todo: deque[int] = deque()
        self._js = client.jetstream(
            timeout=ACK_TIMEOUT,
            publish_async_max_pending=MOST_PENDING,
            publish_async_ack_timeout=ACK_TIMEOUT,
        )

    @property
    def is_in_the_middle(self) -> bool:
        return self._js.publish_async_pending >= MIDDLE

    async def run(self) -> None:
        """Publish them, until each is acknowledged."""
        start, published = time.monotonic(), 0
        while len(self.acknowledged) < len(self.numbers):
            due = min(int((time.monotonic() - start) * self.pace) + 1, len(self.numbers))
            self._todo.extend(self.numbers[published:due])
            published = max(published, due)
            while self._todo:
                await self._publish(self._todo.popleft())
            await asyncio.sleep(0.02)

    async def _publish(self, number: int) -> None:
        begun = time.monotonic()
        try:
            future = await self._js.publish_async(WINDOW, str(number), msg_id=str(number))
        except Error:
            self.failed(number)
            await asyncio.sleep(0.02)
        else:
            future.add_done_callback(functools.partial(self._ended, number, begun))

    def _ended(self, number: int, begun: float, future: asyncio.Future[PubAck]) -> None:
        if future.cancelled():
            return
        self.overdue.note("publish_async", time.monotonic() - begun, ACK_TIMEOUT)
        if future.exception() is None:
            self.acknowledged[number] = future.result().seq
        else:
            self.failed(number)

    def failed(self, number: int) -> None:
        """It may or may not be stored."""
        self.again += 1
        self._todo.append(number)


class SinglePublisher(Publisher):
    """Waits for each acknowledgement."""

    async def _publish(self, number: int) -> None:
        call = self._js.publish(SINGLE, str(number), msg_id=str(number), timeout=ACK_TIMEOUT)
        try:
            ack = await self.overdue.watch("publish", ACK_TIMEOUT, call)
        except (Error, TimeoutError):
            self.failed(number)
            await asyncio.sleep(0.02)
        else:
            self.acknowledged[number] = ack.seq


class Reader(Worker):
    """Handles the messages of a consumer, which is made again when it was deleted.

    Attributes:
        consumer_name: what is read from now.
        handled: number → how often it came.
        wanted: how many different ones there will be.
        longest_pause: the most seconds between two messages.
    """

    subject = ALL

    def __init__(self, line: Line, client: Client, overdue: Overdue, wanted: int) -> None:
        super().__init__(line, client, overdue)
        self.consumer_name = type(self).__name__.lower()
        self.handled: Counter[int] = Counter()
        self.wanted = wanted
        self.longest_pause = 0.0
        self._made = 0
        self._last_at = time.monotonic()
        self._floor, self._above = 0, set[int]()

    @property
    def remade(self) -> int:
        """How often it had to begin anew, where need be with a new consumer."""
        return max(self._made - 1, 0)

    @property
    def is_done(self) -> bool:
        return len(self.handled) >= self.wanted

    def take(self, message: JetStreamMsg) -> None:
        """Handle a message."""
        now = time.monotonic()
        self.longest_pause, self._last_at = max(self.longest_pause, now - self._last_at), now
        self.handled[int(message.data)] += 1
        self._above.add(message.metadata.sequence.stream)
        if self.subject == ALL:  # others leave gaps
            while self._floor + 1 in self._above:
                self._floor += 1
                self._above.discard(self._floor)

    async def run(self) -> None:
        """Read until all has come."""
        self._last_at = time.monotonic()
        while not self.is_done:
            try:
                await self.read(await self.open())
            except (Error, TimeoutError):
                await asyncio.sleep(0.05)

    async def open(self) -> Consumer:
        """The consumer, made if need be; a new one begins with the first message that was not handled."""
        js = self.client.jetstream(timeout=ACK_TIMEOUT)
        config: dict[str, Any] = {"ack_wait": 2.0, "max_ack_pending": 5000, "filter_subject": self.subject}
        if self._floor:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self._floor + 1}
        try:
            consumer = await js.create_consumer(STREAM, durable_name=self.consumer_name, **config)
        except ConsumerExistsError:
            return await js.consumer(STREAM, self.consumer_name)
        self._made += 1
        return consumer

    async def read(self, consumer: Consumer) -> None:
        """Read until all has come, or an error says that the consumer is gone, or might be."""
        raise NotImplementedError


class Fetching(Reader):
    """Reads by `Consumer.fetch`."""

    _fetches = False

    @property
    def is_in_the_middle(self) -> bool:
        return self._fetches

    async def read(self, consumer: Consumer) -> None:
        while not self.is_done:
            self._fetches = True
            try:
                call = consumer.fetch(256, FETCH_TIMEOUT)
                messages = await self.overdue.watch("fetch", FETCH_TIMEOUT, call)
            finally:
                self._fetches = False
            for message in messages:
                self.take(message)
                await message.ack()


class Nexting(Reader):
    """Reads by `Consumer.next` what was published one by one."""

    subject = SINGLE

    async def read(self, consumer: Consumer) -> None:
        while not self.is_done:
            with contextlib.suppress(TimeoutError):
                call = consumer.next(NEXT_TIMEOUT)
                message = await self.overdue.watch("next", NEXT_TIMEOUT, call)
                self.take(message)
                await message.ack()


class Iterating(Reader):
    """Reads by `Consumer.messages`, with ``async for`` and with `Messages.next` in turn."""

    async def read(self, consumer: Consumer) -> None:
        async with consumer.messages(**READING) as messages:
            while not self.is_done:
                async for message in messages:
                    self.take(message)
                    await message.ack()
                    if self.is_done or len(self.handled) % _TURN == 0:
                        break
                for _ in range(0 if self.is_done else _TURN):
                    with contextlib.suppress(TimeoutError):
                        call = messages.next(NEXT_TIMEOUT)
                        message = await self.overdue.watch("Messages.next", NEXT_TIMEOUT, call)
                        self.take(message)
                        await message.ack()
                    if self.is_done:
                        break


class Ordered(Reader):
    """Reads by an ordered consumer; nobody makes that one anew but itself.

    Attributes:
        gaps, repeats: messages that were left out, and that came again or too late.
        ended_by: the error that ended the reading; None does.
    """

    _messages: OrderedMessages | None = None

    def __init__(self, line: Line, client: Client, overdue: Overdue, wanted: int) -> None:
        super().__init__(line, client, overdue, wanted)
        self.last_seq = self.gaps = self.repeats = 0
        self.ended_by: Exception | None = None

    def take(self, message: JetStreamMsg) -> None:
        super().take(message)
        seq = message.metadata.sequence.stream
        if seq <= self.last_seq:
            self.repeats += 1
        else:
            self.gaps += seq - self.last_seq - 1
            self.last_seq = seq

    async def run(self) -> None:
        self._last_at = time.monotonic()
        js = self.client.jetstream(timeout=ACK_TIMEOUT)
        stream = await persistently(lambda: js.stream(STREAM))  # a fault may come before it is found
        async with stream.ordered_consumer().messages(**READING) as messages:
            while not self.is_done:
                call = messages.next(NEXT_TIMEOUT)
                try:
                    self.take(await self.overdue.watch("OrderedMessages.next", NEXT_TIMEOUT, call))
                except TimeoutError:
                    continue
                except Error as error:
                    self.ended_by = error
                    return
                if messages.name != self.consumer_name:
                    self.consumer_name = messages.name
                    self._made += 1
