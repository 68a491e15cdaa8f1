"""A stream of JetStream from threads: what is published is stored in it, what is read is acknowledged."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from tidings.nats import Client, Error
from tidings.nats.jetstream import Consumer, ConsumerConfig, JetStreamMsg
from tidings.nats.jetstream.errors import ConsumerNotFoundError
from tidings.pubsub.background import Background
from tidings.pubsub.base import Held
from tidings.pubsub.errors import PubSubError
from tidings.pubsub.inbox import Inbox
from tidings.pubsub.nats_core import flushed
from tidings.pubsub.nats_storing import Storing
from tidings.pubsub.settings import Settings

__all__ = ["StreamWay"]

# A consumer without a name outlives the time that its connection may be away by so many seconds.
_GRACE = 30.0
# A message that waits for the loop body is kept from being delivered again, so often in its ``ack_wait``.
_SIGNS = 3
# Messages asked for at once; their number in all is limited by the consumer's max_ack_pending.
_BATCH = 500


class StreamWay:
    """Publishes into a stream and reads from it; lives in the client's loop, but for `publish` and `settle`.

    Args:
        client: connected.
        background: its loop.
        inbox: where messages go, as `Held` with the `JetStreamMsg` as token.
        settings: with the stream, which is there already.
        lose: called with how many messages were not stored, and why.
    """

    def __init__(
        self,
        client: Client,
        background: Background,
        inbox: Inbox[Held],
        settings: Settings,
        lose: Callable[[int, BaseException | None], None],
    ) -> None:
        self._client = client
        self._soon = background.soon
        self._inbox = inbox
        self._js = client.jetstream()
        self._stream: str = settings["stream"]
        self._durable: str = settings["durable"] or settings["group_id"] or ""
        self._ack_wait: float = settings["ack_wait"]
        self._patience: float = settings["reconnect_timeout"]
        self._storing = Storing(client, self._js, background, lose)
        self.outbox = self._storing.outbox
        self.publish = self._storing.publish
        self._name = self._durable or os.urandom(11).hex()
        self._consumer: Consumer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._room = asyncio.Event()
        self._unsettled: dict[str, Held] = {}
        self._done: deque[JetStreamMsg] = deque()  # by the loop bodies
        self._is_ack_due = False
        self._acking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Look whether the stream is there. Raises StreamNotFoundError, and what a JetStream request does."""
        await self._js.stream(self._stream)

    def is_back(self) -> None:
        """There is a connection again; nothing to do."""

    async def subscribe(self, subject: str) -> None:
        """Read the messages of `subject` too, from the consumer that is shared, or one of our own.

        Raises:
            Error: as `JetStream.create_consumer`.
            PubSubError: the consumer of that name is none to pull from.
        """
        consumer = await self._consumer_for(subject)
        if self._consumer is None:
            self._consumer = consumer
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._read(consumer)), loop.create_task(self._keep())]

    def resume(self) -> None:
        """The inbox has room: read on."""
        self._room.set()

    def settle(self, message: JetStreamMsg) -> None:
        """A loop body is done with `message`. Called by any thread."""
        self._done.append(message)
        if not self._is_ack_due:
            self._is_ack_due = True
            self._soon(self._ack_soon)

    async def flush(self) -> None:
        """Wait until all that was published is stored, and the server has all acknowledgements."""
        await self._storing.stored()
        await self._acked()
        await flushed(self._client)

    async def close(self) -> None:
        """Give back what no loop body finished, and release everything but the client."""
        await self._storing.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if not self._client.is_connected:
            return
        await self._acked()
        with suppress(Error):
            for held in self._unsettled.values():
                await held.token.nak()
            if self._consumer is not None and not self._durable:
                await self._consumer.delete()

    async def _consumer_for(self, subject: str) -> Consumer:
        js, stream = self._js, self._stream
        try:
            found = (await js.consumer_info(stream, self._name)).config
        except ConsumerNotFoundError:
            config = ConsumerConfig(
                name=self._name,
                durable_name=self._durable,
                filter_subjects=[subject],
                ack_wait=self._ack_wait,
                # Who has a name gets what was stored before it came; who has none is there from now on.
                deliver_policy="all" if self._durable else "new",
                inactive_threshold=None if self._durable else self._patience + _GRACE,
            )
            return await js.create_consumer(stream, config)
        if found.deliver_subject:
            raise PubSubError(f"consumer {self._name!r} of stream {stream!r} pushes: take another durable")
        if not found.filters or subject in found.filters:
            return await js.consumer(stream, self._name)
        wider = replace(found, filter_subject="", filter_subjects=[*found.filters, subject])
        return await js.update_consumer(stream, wider)

    async def _read(self, consumer: Consumer) -> None:
        try:
            async with consumer.messages(batch=min(_BATCH, self._inbox.limits.messages)) as messages:
                async for message in messages:
                    held = Held(message.data, message)
                    self._unsettled[message.reply] = held
                    self._room.clear()
                    if self._inbox.put([held]):
                        await self._room.wait()
        except Exception as error:
            failure = PubSubError(f"reading stream {self._stream!r} has ended: {error}")
            failure.__cause__ = error
            self._inbox.fail(failure)

    async def _keep(self) -> None:
        """Tell the server of messages that wait for a loop body: they are not to be delivered again."""
        while True:
            await asyncio.sleep(self._ack_wait / _SIGNS)
            with suppress(Error):
                for held in list(self._unsettled.values()):
                    if not held.is_taken:
                        await held.token.in_progress()

    def _ack_soon(self) -> None:
        self._is_ack_due = False  # before the messages are looked at: who comes later asks again
        if self._acking is None:
            self._acking = asyncio.get_running_loop().create_task(self._ack())

    async def _ack(self) -> None:
        try:
            while self._done:
                message = self._done.popleft()
                self._unsettled.pop(message.reply, None)
                with suppress(Error):  # what is not acknowledged is delivered again
                    await message.ack()
        finally:
            self._acking = None

    async def _acked(self) -> None:
        self._ack_soon()
        if self._acking is not None:
            await asyncio.wait([self._acking])
