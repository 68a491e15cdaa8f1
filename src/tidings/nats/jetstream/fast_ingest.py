"""Fast ingest: many messages with few acknowledgements, at the speed that the server sets (ADR-50)."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self, Unpack

from tidings.nats.jetstream.errors import BatchClosedError, ConfigError
from tidings.nats.jetstream.fast_flow import (
    APPEND,
    COMMIT,
    COMMIT_ALONE,
    Flow,
    FlowOptions,
    GapMode,
    IngestErrorHandler,
)
from tidings.nats.jetstream.headers import PublishOptions, publish_headers
from tidings.nats.jetstream.puback import PubAck
from tidings.nats.wire import HeaderInput

__all__ = ["FastIngest", "FlowOptions", "GapMode", "IngestErrorHandler"]

LEVEL: Final = 3
"""The API level that knows fast batches: nats-server 2.14."""


class FastIngest(Flow):
    """A batch whose messages are stored as they come. Made by `JetStream.fast_ingest`.

    The stream needs ``allow_batched``. Use it with ``async with``: leaving the block commits it, or lets go
    of it after an error. It is made for one task.

    Attributes:
        id: names it to the server.
        count: messages added.
        acked: the server has dealt with the messages up to this number. With ``gap="fail"`` all of them are
            stored; with ``"ok"`` there may be some missing.
        ack: the acknowledgement of the whole, once it is committed.
    """

    async def add(
        self,
        subject: str,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
        **options: Unpack[PublishOptions],
    ) -> int:
        """Add a message; waits while the server is too far behind. Returns its number, from 1 on.

        Args:
            subject, payload, headers, options: as `JetStream.publish`; all go to one stream.

        Raises:
            BatchCutError: the batch ended before this message; it says how much of it is stored.
            BatchNotEnabledError, BatchAbandonedError, BatchError: the server refuses the batch.
            NoStreamResponseError: no stream takes the subject.
            UnconfirmedError: the messages after `acked` may or may not have been stored, since the connection
                or the leader was lost, or the server fell silent.
            BatchClosedError: it was committed.
            Others as `JetStream.publish`.
        """
        self._check_open()
        if options:
            headers = publish_headers(headers, options)
        if not self.count:
            try:
                await self._start(subject, payload, headers)
            finally:
                if not self.count:  # it could not even be sent
                    self._close()
            return 1
        if self.count - self.acked >= self._flow * self._options.max_outstanding_acks:
            await self._wait(self._has_room)
        number = self.count + 1
        writer = self._connection.writer
        gathered = writer.encoder.publish(subject, payload, f"{self._head}{number}.{APPEND}.$FI", headers)
        self.count = number
        self._subject = subject
        if gathered >= writer.limit:
            await writer.relieve()
        return number

    async def commit(
        self,
        subject: str | None = None,
        payload: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
        **options: Unpack[PublishOptions],
    ) -> PubAck:
        """End the batch, with this message as its last if it has a subject; waits until all is stored.

        Returns:
            The acknowledgement; with ``gap="ok"`` its ``batch_size`` counts the missing messages as well.

        Raises:
            BatchCutError: not all of it is stored; it says how much.
            ConfigError: it is empty.
            Others as `add`.
        """
        self._check_open()
        if subject is None and not self.count:
            raise ConfigError("there is nothing to commit: add messages, or commit with one")
        if subject is None and (payload or headers or options):
            raise ConfigError("a commit without a subject has no message")
        if options:
            headers = publish_headers(headers, options)
        operation = COMMIT_ALONE if subject is None else COMMIT
        self._open()
        writer = self._connection.writer
        reply = f"{self._head}{self.count + 1}.{operation}.$FI"
        writer.encoder.publish(subject or self._subject, payload, reply, headers)
        writer.write_early()
        self._is_committing = True
        if subject is not None:
            self.count += 1
            self._subject = subject
        await self._wait(lambda: self.ack is not None)
        assert self.ack is not None
        return self.ack

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self.count and self.ack is None:
                await self.commit()
        finally:
            self._fail(BatchClosedError("the batch was left; make another one"))
