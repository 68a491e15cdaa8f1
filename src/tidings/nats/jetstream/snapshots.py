"""A stream as a file: its messages, its config and its consumers, taken away and brought back.

What comes is an archive of the server's own kind, in chunks; it means something to a server only.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import NoRespondersError
from tidings.nats.jetstream.api import Api, decode_answer
from tidings.nats.jetstream.errors import ConfigError, SnapshotError
from tidings.nats.jetstream.infos import StreamInfo, StreamState
from tidings.nats.jetstream.stream_config import StreamConfig

__all__ = ["Snapshot", "restore", "take_snapshot"]

_CHUNK = 128 * 1024


class Snapshot:
    """A snapshot of a stream while it comes: an ``async for`` over its chunks. Made by `Stream.snapshot`.

    The server sends on as chunks are taken. Read it to its end, or leave it by ``async with``.

    Attributes:
        config: of the stream; `JetStream.restore_stream` wants it.
        state: what the stream held; `JetStream.restore_stream` wants it.
    """

    def __init__(self, api: Api, sub: Subscription, answer: dict[str, Any], timeout: float) -> None:
        info = StreamInfo.from_wire({"config": answer.get("config"), "state": answer.get("state")})
        self.config: StreamConfig = info.config
        self.state: StreamState = info.state
        self._api = api
        self._sub = sub
        self._timeout = timeout
        self._ack = ""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            TimeoutError: none came in time.
            SnapshotError: the server gave up.
        """
        if self._sub.is_closed:
            raise StopAsyncIteration
        try:
            if self._ack:  # only now is the last one taken care of
                await self._api.connection.publish(self._ack)
            message = await self._sub.next_msg(self._timeout)
        except BaseException:
            await self.aclose()
            raise
        if message.data:
            self._ack = message.reply
            return message.data
        await self.aclose()
        if message.status >= 400:
            raise SnapshotError(f"the server broke the snapshot off: {message.status} {message.status_text}")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Take no more of it; the server notices by itself. Idempotent."""
        if not self._sub.is_closed:
            await self._sub.unsubscribe()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def take_snapshot(
    api: Api, stream: str, *, consumers: bool, check: bool, timeout: float | None
) -> Snapshot:
    """Begin a snapshot. Args and errors as `Stream.snapshot`."""
    inbox = api.connection.new_inbox()
    sub = await api.connection.subscribe(inbox)
    body: dict[str, Any] = {"deliver_subject": inbox, "chunk_size": _CHUNK}
    if not consumers:
        body["no_consumers"] = True
    if check:
        body["jsck"] = True
    limit = api.timeout if timeout is None else timeout
    try:
        return Snapshot(api, sub, await api.request(f"STREAM.SNAPSHOT.{stream}", body, timeout=limit), limit)
    except BaseException:
        await sub.unsubscribe()
        raise


async def restore(
    api: Api,
    config: StreamConfig,
    state: StreamState,
    chunks: Iterable[bytes] | AsyncIterable[bytes],
    timeout: float | None,
) -> StreamInfo:
    """Bring a stream back. Args and errors as `JetStream.restore_stream`."""
    config.check()
    if isinstance(chunks, bytes | str):
        raise ConfigError("chunks are several pieces of bytes, as they came; put it in a list")
    limit = api.timeout if timeout is None else timeout
    answer = await api.request(
        f"STREAM.RESTORE.{config.name}", {"config": config.to_wire(), "state": state.to_wire()}, timeout=limit
    )
    subject = str(answer.get("deliver_subject") or "")
    try:
        # One chunk is held back: while the last one is missing, a failure leaves no stream.
        held = b""
        async for chunk in _each(chunks):
            if not chunk:
                raise ConfigError("a chunk is empty, which is the mark of the end")
            await _send(api, subject, held, limit)
            held = chunk
        await _send(api, subject, held, limit)
    except NoRespondersError as error:
        raise SnapshotError("the server gave up the restore") from error
    except BaseException:
        # Otherwise the server waits for the rest; what is no archive makes it drop what it has.
        await api.connection.publish(subject, b"broken off")
        await api.connection.publish(subject)
        raise
    return StreamInfo.from_wire(decode_answer(await api.connection.request(subject, b"", limit)))


async def _send(api: Api, subject: str, chunk: bytes, timeout: float) -> None:
    if chunk and (reply := await api.connection.request(subject, chunk, timeout)).data:
        decode_answer(reply)  # an error; otherwise it says nothing


async def _each(chunks: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
