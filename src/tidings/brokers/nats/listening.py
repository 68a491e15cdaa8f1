"""Reading a stream for a subscriber: its workers, what happens when the consumer goes, and the end."""

import asyncio
from contextlib import suppress
from contextvars import copy_context
from logging import Logger
from typing import TypeAlias

from tidings.messaging.adapter import Handle
from tidings.messaging.batch import Batch
from tidings.messaging.errors import TidingsError
from tidings.nats import DrainTimeoutError, Error
from tidings.nats.core.callbacks import start_task
from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.jetstream import Consumer, JetStream, Messages, OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages

from .declaring import declare, reading_options, refused
from .options import NatsSource
from .pushing import PushMessages

__all__ = ["StreamListening"]

_IN_A_ROW = 1024  # messages handled before other tasks get a turn
_PATIENCE = 2.0  # seconds that cancelled handlers have to come to their end
_FAREWELL = 1.0  # seconds to have the server forget a consumer of our own, which it does anyway
_LEAST_WAIT, _MOST_WAIT = 1.0, 30.0  # seconds before a consumer that is gone is looked for


_Reading: TypeAlias = Messages | OrderedMessages | PushMessages


class StreamListening:
    """Hands the messages that a consumer delivers to a handler.

    A consumer that is gone, or was made anew by somebody, ends the reading; then it is looked for or made
    as at the start, until it is there again. Each try is logged.

    Attributes:
        tasks: the workers.
    """

    def __init__(self, js: JetStream, source: NatsSource, handle: Handle, logger: Logger) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._js = js
        self._source = source
        self._handle = handle
        self._logger = logger
        self._consumer: Consumer | OrderedConsumer | None = None
        self._messages: _Reading | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._gone = ""  # why it is looked for
        self._ended = False

    async def declare(self) -> None:
        """Look up or make what is read from; raises as `declaring.declare`."""
        self._consumer = await declare(self._js, self._source)

    def begin(self) -> None:
        """Ask for messages; does nothing where it does already."""
        consumer, source = self._consumer, self._source
        if consumer is None or self._messages is not None or self._ended:
            return
        try:
            messages = self._pushed(consumer) if source.pushes else self._pulled(consumer)
            messages.start(self.tasks)
        except Error as error:
            raise refused(source, error) from error
        self._messages = messages
        for number in range(source.workers):
            name = f"{source.subject} worker {number}"
            self.tasks.add(start_task(self._work(messages), name=name, context=copy_context()))

    def _pulled(self, consumer: Consumer | OrderedConsumer) -> Messages | OrderedMessages:
        return consumer.messages(**reading_options(self._source))

    def _pushed(self, consumer: Consumer | OrderedConsumer) -> PushMessages:
        assert isinstance(consumer, Consumer)
        limits = SubscriptionLimits(
            msgs=self._source.pending_msgs_limit, bytes=self._source.pending_bytes_limit
        )
        return PushMessages(self._js.api, consumer, limits)

    async def _work(self, messages: _Reading) -> None:
        try:
            if self._source.batch is None:
                await self._one_by_one(messages)
            else:
                await self._in_batches(messages, self._source.batch)
        except Error as error:
            messages.stop()
            self._come_back(error)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self.tasks.discard(task)
            messages.worker_ended()

    async def _one_by_one(self, messages: _Reading) -> None:
        handle, handled = self._handle, 0
        async for message in messages:
            await handle(message)
            handled += 1
            if handled % _IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _in_batches(self, messages: _Reading, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        async for message in messages:
            gathered = [message]
            until = loop.time() + batch.timeout
            try:
                with suppress(Error):  # nothing more in time, or at all: then the loop ends with it
                    while len(gathered) < batch.size:
                        gathered.append(await messages.next(max(0.0, until - loop.time())))
            except asyncio.CancelledError:
                for each in gathered:
                    with suppress(Error):
                        await each.nak()
                raise
            await self._handle(gathered)
            await asyncio.sleep(0)

    # A consumer that is gone

    def _come_back(self, error: Error) -> None:
        if self._ended or self._coming_back is not None or self._js.api.connection.is_closed:
            return
        self._gone = f"its consumer is gone, and is looked for: {error}"
        self._logger.error("%s: %s", self._source.channel, self._gone)
        self._coming_back = start_task(self._look())

    async def _look(self) -> None:
        wait = _LEAST_WAIT
        try:
            while not self._js.api.connection.is_closed:
                await asyncio.sleep(wait)
                if self.tasks:
                    await asyncio.wait(self.tasks)
                wait = min(2 * wait, _MOST_WAIT)
                try:
                    await self.declare()
                    self._messages = None
                    self.begin()
                except TidingsError as error:
                    self._logger.error("%s: again in %g s: %s", self._source.channel, wait, error)
                else:
                    self._logger.warning("%s: its consumer is there again", self._source.channel)
                    return
        finally:
            self._coming_back = None

    @property
    def trouble(self) -> str:
        """What keeps messages from the handler; empty where nothing does."""
        if self._coming_back is not None:
            return self._gone
        if self._messages is None:
            return "it does not read yet: call `start`"
        missing = self._source.workers - len(self.tasks)
        return f"{missing} of its {self._source.workers} workers have ended" if missing else ""

    # The end

    @property
    def runs_here(self) -> bool:
        """Whether the current task is one of its workers."""
        return asyncio.current_task() in self.tasks

    async def end(self, timeout: float) -> None:
        """Stop reading; what is here is handled, and what is not in that time is given back.

        Called by one of its own handlers it returns when nothing more can come.

        Args:
            timeout: seconds. Handlers that run then are cancelled, and their messages given back.
        """
        self._ended = True
        if self._coming_back is not None:
            self._coming_back.cancel()
        messages = self._messages
        if messages is None:
            return
        if not self.tasks:
            messages.stop()
            await self._forget_consumer()
            return
        try:
            if timeout <= 0:
                await messages.__aexit__(None, None, None)
            else:
                await messages.drain(timeout)
        except DrainTimeoutError:
            pass
        except Error as error:
            self._logger.warning("%s: %s", self._source.channel, error)
        current = asyncio.current_task()
        if self.runs_here and timeout > 0:
            return
        others = [task for task in self.tasks if task is not current]
        for task in others:
            task.cancel()
        if others:
            self._logger.warning(
                "%s: %d handlers were cancelled; their messages go back to the stream",
                self._source.channel,
                len(others),
            )
            await asyncio.wait(others, timeout=_PATIENCE)
        messages.stop()
        await self._forget_consumer()

    async def _forget_consumer(self) -> None:
        """A consumer of our own goes with us; if it cannot be said now, the server finds out."""
        messages, consumer = self._messages, self._consumer
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                if isinstance(messages, OrderedMessages):
                    await messages.aclose()
                elif isinstance(consumer, Consumer) and not (self._source.durable or self._source.config):
                    await consumer.delete()
