"""Publishing to streams: acknowledged, one by one or many at once."""

from __future__ import annotations

import asyncio
from typing import Unpack

from tidings.nats.jetstream.acks import RETRY_ATTEMPTS, RETRY_WAIT, Acks, acks_of
from tidings.nats.jetstream.api import Part
from tidings.nats.jetstream.batch import LEVEL as ATOMIC_LEVEL
from tidings.nats.jetstream.batch import AtomicBatch
from tidings.nats.jetstream.checks import check_word
from tidings.nats.jetstream.counters import Counter, open_counter
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.fast_ingest import LEVEL as FAST_LEVEL
from tidings.nats.jetstream.fast_ingest import FastIngest, FlowOptions, GapMode, IngestErrorHandler
from tidings.nats.jetstream.headers import LEVELS, PublishOptions, publish_headers
from tidings.nats.jetstream.puback import PubAck
from tidings.nats.jetstream.publish_async import Window
from tidings.nats.wire import HeaderInput

__all__ = ["Publishing"]


class Publishing(Part):
    """The part of `JetStream` that publishes."""

    _acks: Acks | None = None
    _window: Window | None = None

    async def publish(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
        timeout: float | None = None,
        retry_attempts: int = RETRY_ATTEMPTS,
        retry_wait: float = RETRY_WAIT,
        **options: Unpack[PublishOptions],
    ) -> PubAck:
        """Publish a message and wait until its stream has it.

        Args:
            subject: a literal subject that a stream takes.
            payload: the bytes, or text sent as UTF-8.
            headers: names with a value or several each; what the options ask for comes on top.
            timeout: seconds for all of it; None takes that of the context.
            retry_attempts: how often it is sent again when no stream takes it, which may be for want of a
                leader (ADR-22).
            retry_wait: seconds before each of these.
            options: what the message asks of its stream, see `PublishOptions`.

        Raises:
            NoStreamResponseError: no stream takes the subject.
            ApiError: the stream refuses the message; a subclass says why, as `WrongLastSequenceError`.
            AckTimeoutError, AckLostError: it may or may not have been stored (`UnconfirmedError`).
            ConfigError, ApiLevelError: an option that cannot work; nothing was sent.
            PermissionsError: the server refuses the subject.
            BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError, OutboundBufferLimitError:
                as `Client.publish`.
        """
        if options:
            headers = self._headers(headers, options)
        acks = self._acks
        if acks is None or acks.is_closed:
            acks = self._acks = acks_of(self.api.connection)
        return await acks.ask(
            subject,
            payload,
            headers,
            self.api.timeout if timeout is None else timeout,
            retry_attempts,
            retry_wait,
        )

    async def publish_async(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
        **options: Unpack[PublishOptions],
    ) -> asyncio.Future[PubAck]:
        """Publish a message without waiting for its stream; the future is that of the acknowledgement.

        It returns once the message is gathered for the socket. When ``publish_async_max_pending`` messages
        wait for their acknowledgement it waits for room, as long as ``publish_async_stall_wait``.

        The future always ends: with the acknowledgement; with what `publish` raises; with `AckTimeoutError`
        after ``publish_async_ack_timeout``; with `AckLostError` when the connection is lost before. After
        these two the message may or may not have been stored: publish it again with the same ``msg_id``.
        A message published while the connection is away is held, and acknowledged when it is back.
        What no stream takes is sent again, as by `publish`.

        Args:
            subject, payload, headers, options: as `publish`.

        Raises:
            TooManyStalledMsgsError: there was no room; nothing was sent.
            ConfigError, ApiLevelError, BadSubjectError, BadHeaderError, MaxPayloadError,
                ConnectionClosedError, OutboundBufferLimitError: as `publish`.
        """
        if options:
            headers = self._headers(headers, options)
        window = self._window or self._open_window()
        if window.pending >= window.gate:
            await window.room()
        if window.acks.is_closed:
            self._open_window()
        future, gathered = window.acks.send(window, subject, payload, headers)
        writer = window.writer
        if gathered >= writer.limit:
            await writer.relieve()
        return future

    @property
    def publish_async_pending(self) -> int:
        """How many async publishes of this context wait for their acknowledgement."""
        return 0 if self._window is None else self._window.pending

    async def publish_async_completed(self, timeout: float | None = None) -> None:
        """Wait until no async publish waits for its acknowledgement any more, be they stored or failed.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: some still wait; their futures are not touched.
        """
        if self._window is not None:
            await self._window.completed(timeout)

    def atomic_batch(self, *, ack_every: int = 100, timeout: float | None = None) -> AtomicBatch:
        """Messages that are stored together or not at all (ADR-50).

        ::

            async with js.atomic_batch() as batch:
                await batch.add("orders.4711.head", b"...")
                ack = await batch.commit("orders.4711.item", b"...")

        Args:
            ack_every: wait for the server once in so many messages, the first always; 1 waits for each.
            timeout: seconds for each of these, and for the commit; None takes that of the context.

        Raises:
            ApiLevelError: the server knows no batches; they came with nats-server 2.12.
        """
        self.api.require(ATOMIC_LEVEL, "an atomic batch")
        check_count("ack_every", ack_every)
        return AtomicBatch(
            self.api, ack_every=ack_every, timeout=self.api.timeout if timeout is None else timeout
        )

    def fast_ingest(
        self,
        *,
        flow: int = 100,
        max_outstanding_acks: int = 2,
        gap: GapMode = "fail",
        timeout: float | None = None,
        on_error: IngestErrorHandler | None = None,
    ) -> FastIngest:
        """A batch of any length, stored as it comes, at the speed that the server allows (ADR-50).

        ::

            async with js.fast_ingest() as batch:
                for reading in readings:
                    await batch.add("sensors.boiler", reading)

        Args:
            flow: the server acknowledges once in so many messages, or more often.
            max_outstanding_acks: so many acknowledgements may be missing before `FastIngest.add` waits;
                2 is best for most, 3 for a server far away.
            gap: what happens when messages are lost on their way, or one is refused: ``"fail"`` ends the
                batch there, ``"ok"`` goes on without them.
            timeout: seconds that an acknowledgement may take; None takes that of the context.
            on_error: called with a `BatchGapError` or `BatchMessageError` for what ``"ok"`` goes on without;
                plain or async. Without it the error callback of the client is.

        Raises:
            ApiLevelError: the server knows no fast batches; they came with nats-server 2.14.
            ConfigError: a value that cannot work.
        """
        self.api.require(FAST_LEVEL, "fast ingest")
        check_count("flow", flow)
        check_count("max_outstanding_acks", max_outstanding_acks)
        check_word("gap", gap, ("fail", "ok"))
        flow_options = FlowOptions(
            flow, max_outstanding_acks, gap, self.api.timeout if timeout is None else timeout
        )
        return FastIngest(self.api.connection, flow_options, on_error)

    async def counter(self, stream: str) -> Counter:
        """The counters of a stream: each of its subjects is one (ADR-49).

        ::

            counter = await js.counter("COUNTS")
            total = await counter.add("hits.home", 1)

        Args:
            stream: the name of a stream with ``allow_msg_counter`` and ``allow_direct``.

        Raises:
            ConfigError: the stream does not have both.
            StreamNotFoundError: there is none of that name.
        """
        return await open_counter(self.api, stream)

    def _headers(self, headers: HeaderInput | None, options: PublishOptions) -> HeaderInput | None:
        if not LEVELS.keys().isdisjoint(options):
            for name, level in LEVELS.items():
                if options.get(name) is not None:
                    self.api.require(level, name)
        return publish_headers(headers, options)

    def _open_window(self) -> Window:
        acks = acks_of(self.api.connection)
        if self._window is None:
            self._window = Window(acks, self.api.connection, self.options)
        self._window.acks = acks
        return self._window


def check_count(name: str, value: object) -> None:
    """Refuse what is no number from 1 to 65,535. Raises ConfigError."""
    if type(value) is not int or not 0 < value < 2**16:
        raise ConfigError(f"{name} is a number from 1 to 65535, not {value!r}")
