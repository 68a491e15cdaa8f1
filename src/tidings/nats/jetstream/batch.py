"""Atomic batches: all of their messages are stored, or none (ADR-50)."""

from __future__ import annotations

import asyncio
import os
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, Unpack

from tidings.nats.jetstream.acks import RETRY_ATTEMPTS, RETRY_WAIT, acks_of
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.errors import (
    BatchClosedError,
    ConfigError,
    JetStreamError,
    NoStreamResponseError,
    UnconfirmedError,
)
from tidings.nats.jetstream.headers import (
    BATCH_COMMIT,
    BATCH_ID,
    BATCH_SEQUENCE,
    PublishOptions,
    publish_headers,
)
from tidings.nats.jetstream.puback import PubAck
from tidings.nats.wire import HeaderInput, Headers

__all__ = ["AtomicBatch"]

LEVEL: Final = 2
"""The API level that knows atomic batches: nats-server 2.12."""
_COMMIT_ALONE_LEVEL: Final = 3
_STORE, _NO_STORE = "1", "eob"  # what the commit does with the message that it stands in


class AtomicBatch:
    """Messages that are stored together or not at all. Made by `JetStream.atomic_batch`.

    They go to the stream as they are added and are held there until `commit`; none of them is seen before.
    The stream needs ``allow_atomic``. It holds 1,000 messages a batch, unless the server is set otherwise,
    and lets go of a batch to which nothing was added for ten seconds.

    As a context manager it is discarded at the end of the block, unless it was committed.

    Attributes:
        id: names it to the server.
        count: messages added.
    """

    def __init__(self, api: Api, *, ack_every: int, timeout: float) -> None:
        self.id = os.urandom(11).hex()
        self.count = 0
        self._api = api
        self._ack_every = ack_every
        self._timeout = timeout
        self._subject = ""
        self._ended: BatchClosedError | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it was committed or discarded, or has failed."""
        return self._ended is not None

    async def add(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
        **options: Unpack[PublishOptions],
    ) -> None:
        """Add a message. The first one, and then every ``ack_every``, waits until the server has it.

        What an expectation says is checked at the commit, against the stream as it is then.
        ``expected_last_seq`` can be asked for by the first message only, ``expected_last_msg_id`` by none.

        Args:
            subject, payload, headers, options: as `JetStream.publish`; all go to one stream.

        Raises:
            BatchError: the server refuses the batch: it is too large, or not allowed in the stream.
            BatchClosedError: the batch has ended.
            AckTimeoutError, AckLostError: the server did not confirm; nothing is stored.
            Others as `JetStream.publish`. After an error of the server's or the connection's it is closed.
        """
        fields = self._headers(headers, options)
        if self.count == 0 or (self.count + 1) % self._ack_every == 0:
            try:
                ack = await self._ask(subject, payload, fields)
            except UnconfirmedError as error:
                lost = f"message {self.count} of the batch was not confirmed: nothing of the batch is stored"
                raise type(error)(lost) from error
            if ack.stream:  # a stream that knows no batches has stored it
                raise self._end(JetStreamError(f"the stream {ack.stream!r} takes no batches"))
            return
        writer = self._api.connection.writer
        gathered = writer.encoder.publish(subject, payload, "", fields)
        self._added(subject)
        if gathered >= writer.limit:
            await writer.relieve()

    async def commit(
        self,
        subject: str | None = None,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
        **options: Unpack[PublishOptions],
    ) -> PubAck:
        """Have all messages stored, with this one as the last if it has a subject.

        Returns:
            The acknowledgement: ``seq`` of the last message, whose predecessors stand right before it;
            ``batch_id`` and ``batch_size``.

        Raises:
            WrongLastSequenceError, BatchDuplicateError and other ApiErrors: nothing was stored.
            BatchAbandonedError: the server has not got all of it any more; nothing was stored.
            AckTimeoutError, AckLostError: all of it may have been stored, or nothing.
            BatchClosedError: the batch has ended.
            ConfigError: it is empty.
        """
        if subject is None:
            if not self.count:
                raise ConfigError("there is nothing to commit: add messages, or commit with one")
            if payload or headers or options:
                raise ConfigError("a commit without a subject has no message")
            self._api.require(_COMMIT_ALONE_LEVEL, "a commit without a message")
            fields = self._headers(None, {}, _NO_STORE)
            ack = await self._ask(self._subject, b"", fields, counts=False)
        else:
            ack = await self._ask(subject, payload, self._headers(headers, options, _STORE))
        if ack.batch_id != self.id:
            raise self._end(JetStreamError(f"the stream {ack.stream!r} stored a message and no batch"))
        self._ended = BatchClosedError("the batch is committed; make another one")
        return ack

    def discard(self) -> None:
        """Let go of it: nothing of it will be stored. Does nothing when it has ended."""
        if self._ended is None:
            self._ended = BatchClosedError("the batch was discarded; make another one")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def _headers(
        self, headers: HeaderInput | None, options: PublishOptions, commit: str | None = None
    ) -> HeaderInput:
        if self._ended is not None:
            raise self._ended
        if options.get("expected_last_msg_id") is not None:
            raise ConfigError("expected_last_msg_id is nothing that an atomic batch can ask for (ADR-50)")
        asked = {BATCH_ID: self.id, BATCH_SEQUENCE: str(self.count + 1)}
        if commit is not None:
            asked[BATCH_COMMIT] = commit
        fields = publish_headers(headers, options) if options else headers
        if not fields:
            return asked
        merged = Headers(fields)
        merged.update(asked)
        return merged

    async def _ask(self, subject: str, payload: Any, headers: HeaderInput, *, counts: bool = True) -> PubAck:
        acks, is_first = acks_of(self._api.connection), not self.count
        _, future = acks.post(subject, payload, headers, monotonic() + self._timeout, in_batch=True)
        if counts:
            self._added(subject)
        try:
            try:
                return await future
            except NoStreamResponseError:
                if not is_first:
                    raise
            # The stream may have no leader at the moment (ADR-22); it has nothing of the batch yet.
            await asyncio.sleep(RETRY_WAIT)
            return await acks.ask(
                subject, payload, headers, self._timeout, RETRY_ATTEMPTS - 1, RETRY_WAIT, in_batch=True
            )
        except JetStreamError as error:
            self._end(error)
            raise

    def _added(self, subject: str) -> None:
        self.count += 1
        self._subject = subject

    def _end(self, error: JetStreamError) -> JetStreamError:
        self._ended = BatchClosedError(f"the batch has failed: {error}")
        self._ended.__cause__ = error
        return error
