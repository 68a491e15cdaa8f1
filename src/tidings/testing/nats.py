"""`TestNatsBroker`: a service of NATS in a test, without a server."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from logging import Logger
from typing import Any, NoReturn

from tidings.brokers.memory.adapter import MemoryAdapter
from tidings.brokers.memory.message import MemoryMsg
from tidings.brokers.memory.options import MemoryDestination, MemorySource
from tidings.brokers.nats.adapter import ERROR, ERROR_CODE, NatsAdapter
from tidings.brokers.nats.broker import NatsBroker
from tidings.brokers.nats.declaring import consumer_config, settles
from tidings.brokers.nats.endpoints import NatsEndpoint
from tidings.brokers.nats.marks import KvMarks
from tidings.brokers.nats.message import NatsMessage
from tidings.brokers.nats.options import NatsDestination, NatsSource
from tidings.brokers.nats.response import options_of
from tidings.messaging.acks import Settler
from tidings.messaging.adapter import Handle, Send, Stop
from tidings.messaging.batches import Composed
from tidings.messaging.errors import NotConnectedError, PublishError, RemoteError, SetupError
from tidings.messaging.marks import Marks, MarkStore, MemoryMarks
from tidings.messaging.message import Message
from tidings.nats.errors import BadHeaderError
from tidings.nats.jetstream import PubAck, PublishOptions, Schedule
from tidings.nats.wire import Msg, encode_headers

from .broker import TestBroker
from .nats_messages import StoredMsg, StreamSettler, stored_msg
from .server import TestServer
from .watching import Watching

__all__ = ["MemoryNatsAdapter", "TestNatsBroker"]


class Stored(dict[str, str]):
    """The headers of a published message, with its place among all that was published."""

    sequence: int
    time_ns: int


class MemoryNatsAdapter(NatsAdapter):
    """The subjects and streams of NATS over a memory server.

    A stream holds nothing: its subscribers get what is published while they listen, and settle it.
    """

    waits_in_place = False

    def __init__(self, server: TestServer, watching: Watching, logger: Logger) -> None:
        super().__init__("memory", {}, logger)
        self._memory = MemoryAdapter(server, logger)
        self._watching = watching
        self._sequence = count(1).__next__
        self._streams: set[str] = set()
        self._msg_ids: dict[tuple[str, str], int] = {}
        self._marks: dict[int | str, tuple[MarkStore, Marks]] = {}

    @property
    def address(self) -> str:
        """The process."""
        return self._memory.address

    @property
    def client(self) -> Any:
        """Something that says that there is no client. NotConnectedError as the real one."""
        _ = self._memory.client
        return _NoClient()

    @property
    def jetstream(self) -> Any:
        """As `client`."""
        return self.client

    async def open(self) -> None:
        """Connect to the memory server."""
        await self._memory.open()

    async def close(self, timeout: float) -> int:
        """As `Adapter.close`."""
        return await self._memory.close(timeout)

    async def ping(self, timeout: float) -> bool:
        """Whether it is open."""
        return await self._memory.ping(timeout)

    async def ready(self) -> None:
        """Every source is known as soon as it is listened to."""

    async def listen(self, source: NatsSource | NatsEndpoint, handle: Handle) -> Stop:
        """Take what is published to the subjects from now on."""
        if isinstance(source, NatsEndpoint) or source.watched is not None:
            raise SetupError(
                f"{source.channel!r}: endpoints and watches of buckets need a server: with_real=True"
            )
        if source.stream is None:
            return await self._memory.listen(_memory_source(source, source.queue), _of_subjects(handle))
        stream = source.stream if isinstance(source.stream, str) else source.stream.name
        self._streams.add(stream)
        config = consumer_config(source)
        consumer = config.durable_name or config.name or ""
        group = f"{stream}.{consumer}" if consumer else ""
        stops = [
            await self._memory.listen(
                _memory_source(source, group, subject), _of_stream(handle, stream, consumer or "own")
            )
            for subject in config.filter_subjects or [config.filter_subject]
        ]

        async def stop(timeout: float) -> int:
            return sum(await asyncio.gather(*(each(timeout) for each in stops)))

        return stop

    async def marks(self, store: MarkStore) -> Marks:
        """In memory, whatever the store; the same for all who name its bucket."""
        if isinstance(store, MemoryMarks):
            return store
        name = store.name if isinstance(store, KvMarks) else id(store)
        return self._marks.setdefault(name, (store, MemoryMarks()))[1]

    def settler(self, source: NatsSource | NatsEndpoint) -> Settler | None:
        """What settles messages of a stream."""
        if isinstance(source, NatsEndpoint) or source.stream is None or not settles(source):
            return None
        return StreamSettler(self._bury, max(consumer_config(source).max_deliver, 0))

    async def bury(self, message: Message[Any], address: str, headers: Mapping[str, str]) -> None:
        """Publish a dead letter."""
        await self._bury(address, message.body, {**message.headers, **headers})

    async def _bury(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        await self._memory.publish(subject, body, self._stored(headers))

    def sender(self, destination: NatsDestination) -> Send:
        """What publishes to the subject of the destination."""
        if destination.stream:
            return super().sender(destination)
        subject, reply_to, always = destination.subject, destination.reply_to, destination.headers

        async def send(body: bytes, headers: Mapping[str, str]) -> None:
            await self.publish(subject, body, {**always, **headers} if always else headers, reply_to)

        return send

    async def publish(
        self, subject: str, body: bytes, headers: Mapping[str, str], reply_to: str = ""
    ) -> None:
        """Publish, and wait for what follows."""
        await self._memory.publish(subject, body, self._stored(headers), reply_to)
        await self._watching.settle()

    async def publish_to_stream(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str],
        stream: str,
        timeout: float | None,
        options: PublishOptions,
    ) -> PubAck:
        """Publish as to a subject; what a subscriber names is a stream. It knows `Schedule.at` alone."""
        _ = self._memory.client
        if stream not in self._streams:
            raise PublishError(
                f"stream {stream!r} did not take a message on {subject!r}: it has no subscriber"
            )
        schedule = options.get("schedule")
        delay = 0.0 if schedule is None else _until(schedule)
        stored, msg_id = self._stored(headers), options.get("msg_id") or ""
        known = self._msg_ids.get((stream, msg_id)) if msg_id else None
        if known is not None:
            return PubAck(stream=stream, seq=known, duplicate=True)
        if msg_id:
            self._msg_ids[stream, msg_id] = stored.sequence
        await self._memory.publish(subject, body, stored)
        if schedule is not None:
            await self._memory.publish(schedule.target, body, self._stored(headers), delay=delay)
        await self._watching.settle()
        return PubAck(stream=stream, seq=stored.sequence)

    async def publish_batch(
        self, subject: str, batch: Sequence[Composed], stream: str, timeout: float | None
    ) -> PubAck:
        """Publish one after the other, but nothing where a ``msg_id`` is known."""
        asked = [options_of(each.response) for each in batch]
        ids = [msg_id for options in asked if (msg_id := options.get("msg_id"))]
        if len(batch) > 1 and (
            len(ids) > len(set(ids)) or any((stream, each) in self._msg_ids for each in ids)
        ):
            raise PublishError(
                f"stream {stream!r} did not take a batch of {len(batch)} on {subject!r}: "
                "a msg_id was stored before, or is in it twice"
            )
        acks = [
            await self.publish_to_stream(subject, each.body, each.headers, stream, timeout, options)
            for each, options in zip(batch, asked, strict=True)
        ]
        return replace(acks[-1], batch_size=len(batch))

    async def request(
        self, destination: NatsDestination, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> NatsMessage:
        """Ask; an error of the other side has what its handler failed with as its cause."""
        stored = self._stored({**(destination.headers or {}), **headers})
        asked = MemoryDestination(destination.subject)
        answer = await self._memory.request(asked, body, stored, timeout)
        message = NatsMessage(_msg(answer.raw))
        if ERROR in message.headers or ERROR_CODE in message.headers:
            error = RemoteError(message.headers.get(ERROR_CODE, ""), message.headers.get(ERROR, ""), message)
            raise error from self._watching.take_failure()
        return message

    def _stored(self, headers: Mapping[str, str]) -> Stored:
        try:
            encode_headers(headers)
        except BadHeaderError as error:
            raise PublishError(str(error)) from error
        stored = Stored(headers)
        stored.sequence, stored.time_ns = self._sequence(), time.time_ns()
        return stored


class TestNatsBroker(TestBroker[NatsBroker]):
    """A `NatsBroker` in a test, without a server; see `TestBroker`.

    Subjects, wildcards and queue groups are those of NATS. Messages of streams are settled, come again and
    become dead letters as there; a stream holds nothing for those who listen later. What needs the native
    client, as buckets and endpoints do, needs ``with_real=True``.
    """

    __test__ = False
    takes = NatsBroker

    def adapter(self, server: TestServer, watching: Watching) -> NatsAdapter:
        """NATS over the test's server."""
        return MemoryNatsAdapter(server, watching, self.broker.logger)


def _until(schedule: Schedule) -> float:
    kind, _, moment = schedule.pattern.partition(" ")
    if kind != "@at" or schedule.source is not None:
        raise PublishError("without a server there is Schedule.at alone: test others with with_real=True")
    return max(0.0, datetime.fromisoformat(moment).timestamp() - time.time())


class _NoClient:
    """In the place of a client that is not there."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotConnectedError(f"there is no client in memory, so no {name!r}: with_real=True")


def _memory_source(source: NatsSource, queue: str, subject: str = "") -> MemorySource:
    return MemorySource(
        subject or source.pattern.subject, queue=queue, workers=source.workers, batch=source.batch
    )


def _msg(message: MemoryMsg) -> Msg:
    block = encode_headers(message.headers) if message.headers else None
    return Msg(message.subject, message.reply, message.data, header_block=block)


def _of_subjects(handle: Handle) -> Handle:
    async def deliver(message: MemoryMsg) -> object:
        return await handle(_msg(message))

    return deliver


def _of_stream(handle: Handle, stream: str, consumer: str) -> Callable[[Any], Any]:
    delivered = count(1).__next__

    def make(message: MemoryMsg) -> StoredMsg:
        headers = message.headers
        assert isinstance(headers, Stored)
        return stored_msg(message, stream, consumer, headers.sequence, delivered(), headers.time_ns)

    async def deliver(native: MemoryMsg | list[MemoryMsg]) -> object:
        return await handle([make(each) for each in native] if isinstance(native, list) else make(native))

    return deliver
