"""The messages of an ordered consumer: one consumer after the other, each from where the last one ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from tidings.nats.core.events import Closed, EventStream, Reconnected
from tidings.nats.errors import (
    ConnectionClosedError,
    ConnectionDrainingError,
    Error,
)
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.consumer import Consumer
from tidings.nats.jetstream.consumers import ConsumersOfStream
from tidings.nats.jetstream.errors import (
    BadRequestError,
    ConfigError,
    ConsumerExistsError,
    StreamNotFoundError,
)
from tidings.nats.jetstream.infos import ConsumerInfo
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.messages import Iteration, next_of
from tidings.nats.jetstream.ordered_reading import OrderedReading, OrderedSettings, Place
from tidings.nats.jetstream.pull import Source
from tidings.nats.jetstream.reading import ReadingSettings, tell

__all__ = ["OrderedMessages"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
_DELETE_PATIENCE = 1.0


class OrderedMessages:
    """The messages of a stream, each once and in order, as an ``async for``; made by `OrderedConsumer`.

    What goes wrong on the way is mended, and told to ``on_error``; a deleted stream raises.
    """

    def __init__(
        self, api: Api, stream: str, options: OrderedSettings, settings: ReadingSettings, until_end: bool
    ) -> None:
        self._api = api
        self._stream = stream
        self._options = options
        self._settings = settings
        self._until_end = until_end
        self._place = Place()
        self._recheck: Callable[[], Awaitable[None]] | None = None
        self._prefix = options.name_prefix or api.connection.new_inbox().rpartition(".")[2]
        self._serial = 0
        self._handed = 0
        self._attempts = 0
        self._stopped = False
        self._reading: OrderedReading | None = None
        self._readers: list[asyncio.Task[Any] | None] = []
        self._tasks: Collection[asyncio.Task[None]] = ()
        self._turn = asyncio.Lock()
        self._left_over: set[str] = set()
        self._comeback: EventStream | None = None
        self.info: ConsumerInfo | None = None
        self.failure: Exception | None = None

    # What a reader does

    def __aiter__(self) -> AsyncIterator[JetStreamMsg]:
        return Iteration(self, self._readers)

    async def __anext__(self) -> JetStreamMsg:
        reading = self._reading
        if reading is not None:
            taken = reading.taken
            if taken < reading.check_at and reading.held:
                reading.taken = taken + 1
                return reading.held.popleft()
        message = await self._take()
        if message is None:
            raise StopAsyncIteration
        return message

    async def open(
        self, mark: JetStreamMsg | None = None, recheck: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Make the consumer now: what is stored from here on is read, whatever `deliver_policy` says.

        Args:
            mark: handed out by `take` once, behind the messages that are stored now, or at once if there are
                none.
            recheck: awaited when another consumer was made, before it is read from; a StreamNotFoundError
                that it raises ends the reading.

        Raises:
            StreamNotFoundError, JetStreamError, ConnectionClosedError: it cannot be read.
        """
        self._place.mark = mark
        self._recheck = recheck
        async with self._turn:
            name = self._next_name()
            try:
                self._reading = self._begin(await self._create(name))
            except BaseException:
                self._stopped = True
                self._delete_soon(name)  # it may have been made all the same
                raise

    def mark_again(self, mark: JetStreamMsg) -> None:
        """Hand out `mark` once more, as soon as the server has nothing to deliver."""
        self._place.mark = mark
        if self._reading is not None:
            self._reading.expect_all()

    async def take(self) -> JetStreamMsg | None:
        """The next message, or the mark; None at the end. Raises as `next`."""
        reading = self._reading
        if reading is not None:
            taken = reading.taken
            if taken < reading.check_at and reading.held:
                reading.taken = taken + 1
                return reading.held.popleft()
        return await self._take()

    async def next(self, timeout: float | None = None) -> JetStreamMsg:
        """The next message.

        Args:
            timeout: seconds; None waits until it ends.

        Raises:
            TimeoutError: none came in time; it goes on.
            BadSubscriptionError: it is stopped, or has handed out all that it should.
            StreamNotFoundError, JetStreamError: this ended it.
        """
        reading = self._reading
        if reading is not None and reading.held and reading.taken < reading.check_at:  # it is here: no timer
            return await self.__anext__()
        return await next_of(self._take(), timeout, f"stream {self._stream!r}")

    @property
    def name(self) -> str:
        """The consumer that is read from now."""
        return f"{self._prefix}_{self._serial}"

    @property
    def last_seq(self) -> int:
        """The last sequence of the stream that came in order; 0 before the first."""
        return self._place.last_seq

    @property
    def pending_msgs(self) -> int:
        """Messages that came and were not taken."""
        return len(self._reading.held) if self._reading is not None else 0

    def stop(self) -> None:
        """End it now; what was not taken is dropped. Idempotent."""
        self._stop()
        if self._reading is not None:
            self._reading.held.clear()
            self._reading.end()
            self._delete_soon(self._reading.source.consumer)

    async def drain(self, timeout: float | None = None) -> None:
        """Ask for nothing more, and end when what came is taken, by an ``async for`` that runs.

        Raises:
            DrainTimeoutError: messages were left after `timeout` seconds; None takes ``drain_timeout``.
        """
        self._stop()
        if self._reading is not None:
            await self._reading.drain(timeout)
            self._delete_soon(self._reading.source.consumer)

    async def aclose(self) -> None:
        """End it, and have the server forget the consumer."""
        reading, self._reading = self._reading, None
        self._stop()
        if reading is not None:
            reading.end()
            await self._delete(reading.source.consumer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _stop(self) -> None:
        self._stopped = True
        if self._comeback is not None:  # whoever waits for the connection need not any more
            self._comeback.end()

    def __del__(self) -> None:
        if self._reading is not None:
            with suppress(RuntimeError):  # the loop may be gone by now
                self._reading.end()

    # What `Consuming` does

    def start(self, tasks: Collection[asyncio.Task[None]]) -> None:
        """`tasks` will take the messages, and are cancelled when the client closes."""
        self._tasks = tasks

    def report(self, error: Exception) -> None:
        """Report an error that does not end it."""
        tell(self._api.connection, self._settings.on_error, error)

    def worker_ended(self) -> None:
        """One of those who read is done: let a drain look again."""
        if self._reading is not None:
            self._reading.settle()

    # One consumer after the other

    async def _take(self) -> JetStreamMsg | None:
        async with self._turn:
            try:
                return await self._take_in_turn()
            except Error as error:
                self.failure = error
                self._stopped = True
                raise

    async def _take_in_turn(self) -> JetStreamMsg | None:
        while True:
            reading = self._reading
            if reading is None:
                if self._stopped:
                    return None
                reading = await self._make()
                if reading is None:
                    continue
                self._reading = reading
            message = await reading.take_next()
            if message is not None:
                return message
            self._handed += reading.taken
            if reading.broken is None or self._stopped:
                self._stopped = True
                self._delete_soon(reading.source.consumer)
                return None
            self._reading = None
            if not self._api.connection.is_closed:
                self.report(reading.broken)
                self._delete_soon(reading.source.consumer)

    async def _make(self) -> OrderedReading | None:
        """Make a consumer and begin to read; None when that has to be tried again, or is not wanted."""
        if not await self._wait_for_connection():
            return None
        if self._serial and self._api.connection.is_closed:
            self._stopped = True
            return None
        name = self._next_name()
        try:
            consumer = await self._create(name)
            if self._recheck is not None:
                await self._recheck()
        except (asyncio.CancelledError, StreamNotFoundError):
            self._delete_soon(name)
            raise
        except (ConnectionClosedError, ConnectionDrainingError):
            raise
        except Error as error:
            refused = isinstance(error, BadRequestError | ConfigError) and not isinstance(
                error, ConsumerExistsError
            )
            self._attempts += 1
            limit = self._options.max_reset_attempts
            if refused or (limit is not None and self._attempts >= limit):
                raise
            self.report(error)
            self._left_over.add(name)  # it may have been made all the same
            await asyncio.sleep(min(_FIRST_PAUSE * 2**self._attempts, _LONGEST_PAUSE))
            return None
        self._attempts = 0
        while self._left_over:
            self._delete_soon(self._left_over.pop())
        if self._stopped:
            self._delete_soon(name)
            return None
        return self._begin(consumer)

    def _next_name(self) -> str:
        self._serial += 1
        return self.name

    async def _create(self, name: str) -> Consumer:
        config = self._options.config(name, self._place.behind)
        return await ConsumersOfStream(self._api, self._stream).create_consumer(config)

    def _begin(self, consumer: Consumer) -> OrderedReading:
        self.info = info = consumer.cached_info
        settings = self._settings
        if settings.stop_after is not None:
            settings = replace(settings, stop_after=settings.stop_after - self._handed)
        source = Source(self._api, self._stream, consumer.name, {}, takes_acks=False)
        if self._place.behind is None:
            # Should this consumer go before its first message, the next one begins where this one did.
            self._place.behind = info.delivered.stream_seq
        reading = OrderedReading(source, settings, self._place, self._until_end, info.num_pending)
        reading.workers = self._tasks
        reading.readers = self._readers
        reading.start()
        if info.num_pending == 0:
            reading.nothing_to_come()
        return reading

    async def _wait_for_connection(self) -> bool:
        """Whether a consumer is still wanted, once there is a connection or none will come."""
        connection = self._api.connection
        events = connection.events()
        if connection.is_connected or connection.is_closed:
            return not self._stopped
        self._comeback = events
        try:
            async for event in events:
                if isinstance(event, Reconnected | Closed):
                    break
        finally:
            self._comeback = None
        return not self._stopped

    def _delete_soon(self, name: str) -> None:
        """Have the server forget a consumer; it would do so by itself in `inactive_threshold`."""
        connection = self._api.connection
        if not connection.is_connected:
            self._left_over.add(name)
        else:
            with suppress(Error):
                connection.writer.encoder.publish(
                    f"{self._api.prefix}.CONSUMER.DELETE.{self._stream}.{name}", b"", connection.new_inbox()
                )

    async def _delete(self, name: str) -> None:
        with suppress(Error):
            if self._api.connection.is_connected:
                await self._api.request(f"CONSUMER.DELETE.{self._stream}.{name}", timeout=_DELETE_PATIENCE)
