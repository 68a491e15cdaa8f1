"""Ordered consumers: every message once and in order, whatever happens on the way (ADR-17).

A consumer of our own, which acknowledges nothing and lives in the memory of one server, is pulled from. When
a message is missing, or the consumer, its leader or the connection goes, another one is made that begins
behind the last message that came in order.
"""

from __future__ import annotations

import asyncio
import builtins
from types import TracebackType
from typing import Self, Unpack

from tidings.nats.errors import ConnectionClosedError, Error, TimeoutError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import check_name
from tidings.nats.jetstream.consume import Consuming, JetStreamCallback
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.ordered_messages import OrderedMessages
from tidings.nats.jetstream.ordered_reading import OrderedOptions, OrderedSettings
from tidings.nats.jetstream.reading import ReadingOptions, ReadingSettings

__all__ = ["OrderedConsumer"]


class OrderedConsumer:
    """Reads a stream, each message once and in order; nothing is acknowledged.

    `messages` and `consume` each read from the beginning; `fetch` and `next` go on where the one before
    ended, until `aclose`.

    Attributes:
        api: the way to the server.
        stream_name: the stream.
        settings: see `OrderedSettings`.
    """

    def __init__(self, api: Api, stream_name: str, **options: Unpack[OrderedOptions]) -> None:
        self.api = api
        self.stream_name = check_name(stream_name, "stream")
        try:
            self.settings = OrderedSettings(**options)
        except TypeError as error:
            raise ConfigError(
                str(error).replace("OrderedSettings.__init__()", "ordered_consumer()")
            ) from None
        self._cursor: OrderedMessages | None = None
        self._given_back: list[JetStreamMsg] = []  # by fetches that were cancelled; the cursor is past them

    def messages(self, *, until_end: bool = False, **options: Unpack[ReadingOptions]) -> OrderedMessages:
        """The messages, as an iterator.

        Args:
            until_end: end with the message that is the last of the stream when it comes; without it the
                iterator waits for more.
            options: see `ReadingSettings`.

        Raises:
            ConfigError: an option that cannot work.
        """
        settings = ReadingSettings.of(options)
        return OrderedMessages(self.api, self.stream_name, self.settings, settings, until_end)

    async def consume(
        self, callback: JetStreamCallback, *, until_end: bool = False, **options: Unpack[ReadingOptions]
    ) -> Consuming:
        """Call a function, plain or async, with each message, in order.

        Args:
            callback: what it raises is reported, and it is called with the next one.
            until_end, options: as in `messages`.

        Raises:
            ConfigError: an option that cannot work.
        """
        if not callable(callback):
            raise ConfigError(f"callback is a function of one message, not {callback!r}")
        return Consuming(self.messages(until_end=until_end, **options), callback, 1)

    async def fetch(self, batch: int = 1, timeout: float = 5.0) -> list[JetStreamMsg]:
        """The next messages, at most `batch`, as many as come within `timeout` seconds.

        Raises:
            StreamNotFoundError, JetStreamError: it cannot be read any more.
            ConnectionClosedError: the client is closed.
        """
        if batch < 1 or not timeout > 0:
            raise ConfigError(f"a fetch of {batch} messages in {timeout} s")
        if self._cursor is None:
            self._cursor = self.messages(batch=max(batch, 100))
        cursor = self._cursor
        found, self._given_back = self._given_back[:batch], self._given_back[batch:]
        try:
            async with asyncio.timeout(timeout):
                while len(found) < batch:
                    found.append(await anext(cursor))
        except (builtins.TimeoutError, StopAsyncIteration):
            if not found and self.api.connection.is_closed:
                raise ConnectionClosedError("the client is closed; make a new one with connect()") from None
            if not found and cursor.failure is not None:  # told to the fetch before, which had messages
                raise cursor.failure from None
        except Error:
            if not found:
                raise
        except BaseException:
            self._given_back[:0] = found
            raise
        return found

    async def next(self, timeout: float = 5.0) -> JetStreamMsg:
        """The next message.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            The rest as `fetch`.
        """
        found = await self.fetch(1, timeout)
        if not found:
            raise TimeoutError(f"no message of stream {self.stream_name!r} within {timeout} s")
        return found[0]

    async def aclose(self) -> None:
        """Have the server forget what `fetch` and `next` read from."""
        cursor, self._cursor = self._cursor, None
        self._given_back.clear()
        if cursor is not None:
            await cursor.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
