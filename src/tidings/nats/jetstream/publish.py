"""Publishing to streams: acknowledged, one by one or many at once."""

from __future__ import annotations

import asyncio
from typing import Unpack

from tidings.nats.jetstream.acks import Acks, acks_of, is_passing
from tidings.nats.jetstream.api import Part
from tidings.nats.jetstream.errors import JetStreamError
from tidings.nats.jetstream.headers import PublishOptions, publish_headers
from tidings.nats.jetstream.puback import PubAck
from tidings.nats.jetstream.publish_async import RETRY_ATTEMPTS, RETRY_WAIT, Window
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
            ConfigError: an option that cannot work; nothing was sent.
            PermissionsError: the server refuses the subject.
            BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError, OutboundBufferLimitError:
                as `Client.publish`.
        """
        if options:
            headers = publish_headers(headers, options)
        acks = self._acks
        if acks is None or acks.is_closed:
            acks = self._acks = acks_of(self.api.connection)
        deadline = acks.time() + (self.api.timeout if timeout is None else timeout)
        while True:
            try:
                return await acks.ask(subject, payload, headers, deadline)
            except JetStreamError as error:
                if retry_attempts <= 0 or not is_passing(error) or acks.time() + retry_wait > deadline:
                    raise
            retry_attempts -= 1
            await asyncio.sleep(retry_wait)

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
            ConfigError, BadSubjectError, BadHeaderError, MaxPayloadError, ConnectionClosedError,
                OutboundBufferLimitError: as `publish`.
        """
        if options:
            headers = publish_headers(headers, options)
        window = self._window
        if window is None or window.acks.is_closed:
            window = self._open_window()
        if window.pending >= window.limit:
            await window.room()
        future, gathered = window.send(subject, payload, headers)
        writer = self.api.connection.writer
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

    def _open_window(self) -> Window:
        acks = acks_of(self.api.connection)
        if self._window is None:
            self._window = Window(acks, self.api.connection.callbacks, self.options)
        self._window.acks = acks
        return self._window
