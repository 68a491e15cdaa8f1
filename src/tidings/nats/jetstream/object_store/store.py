"""What all operations on an object store share: its stream, its subjects, what is stored about objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from tidings.nats.core.connection import Connection
from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.errors import (
    ApiError,
    ClusterError,
    MessageNotFoundError,
    NoStreamResponseError,
    StreamNotFoundError,
    UnconfirmedError,
)
from tidings.nats.jetstream.headers import PublishOptions
from tidings.nats.jetstream.infos import StreamInfo
from tidings.nats.jetstream.object_store.errors import ObjectStoreError, ObjectStoreNotFoundError
from tidings.nats.jetstream.object_store.info import ObjectInfo
from tidings.nats.jetstream.object_store.names import bucket_of, encode_name
from tidings.nats.jetstream.puback import PubAck
from tidings.nats.jetstream.publish import Publishing
from tidings.nats.jetstream.stored import get_by_api
from tidings.nats.jetstream.streams import Streams

__all__ = ["Attempts", "Context", "Store", "missing"]

T = TypeVar("T")

_ROLLUP = {"Nats-Rollup": "sub"}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25
"""Seconds before a write that met another one is tried again."""
_PATIENCE = 2.0  # seconds for one answer


class Context(Publishing, Streams):
    """What object stores need of a `JetStream`."""

    connection: Connection


class Store:
    """An object store, by the stream that it is made of.

    Attributes:
        bucket: its name.
        stream_name: that of the stream.
        js: the JetStream context that it is reached through.
    """

    def __init__(self, js: Context, info: StreamInfo) -> None:
        self.js = js
        self.stream_name = info.config.name
        self.bucket = bucket_of(info.config.name)
        # Also for another domain: servers map $JS.<domain>.API.$KV.> to $KV.>, and nothing to $O.>, which
        # leaf nodes let through.
        self._prefix = f"$O.{self.bucket}."

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bucket!r}>"

    async def _stored(self, name: str) -> ObjectInfo | None:
        """What the leader knows of an object, deleted or not; None if it never was.

        The leader, since another replica may be behind, and its answer name chunks that are gone.
        """
        subject = f"{self._prefix}M.{encode_name(name)}"

        async def ask(api: Api) -> ObjectInfo | None:
            try:
                found = await get_by_api(api, self.stream_name, {"last_by_subj": subject})
            except MessageNotFoundError:
                return None
            return ObjectInfo.of_json(found.data, found.seq, found.time)

        return await self._ask_leader(ask)

    async def _count_chunks(self, nuid: str) -> int:
        """How many chunks of an object the leader has; another replica may be behind."""
        subject = f"{self._prefix}C.{nuid}"

        async def ask(api: Api) -> int:
            answer = await api.request(f"STREAM.INFO.{self.stream_name}", {"subjects_filter": subject})
            return StreamInfo.from_wire(answer).state.subjects.get(subject, 0)

        return await self._ask_leader(ask)

    async def _ask_leader(self, ask: Callable[[Api], Awaitable[T]]) -> T:
        """What the leader answers; while there is none, others say so or nothing, so it is asked again."""
        given = self.js.api
        api = Api(given.connection, prefix=given.prefix, timeout=min(given.timeout / 3, _PATIENCE))
        attempts = Attempts(given.timeout)
        while True:
            try:
                return await ask(api)
            except StreamNotFoundError as error:
                raise missing(self.bucket, error) from error
            except TimeoutError:
                what = f"no reply from the leader of stream {self.stream_name!r} within {given.timeout:g} s"
                await attempts.after(TimeoutError(what))
            except ClusterError as error:
                await attempts.after(error)

    async def _write_info(self, info: ObjectInfo, last: int) -> int:
        """Store what is known of an object if `last` is still its last revision; returns the new one.

        Raises:
            WrongLastSequenceError: it is not.
            ObjectStoreNotFoundError: the bucket was deleted.
            The rest as `JetStream.publish`.
        """
        options: PublishOptions = {"expected_last_subject_seq": last}
        subject = f"{self._prefix}M.{encode_name(info.name)}"
        try:
            ack = await self.js.publish(subject, info.to_json(), headers=_ROLLUP, **options)
        except NoStreamResponseError as error:
            raise await self._explain(error) from error
        return self._check(ack).seq

    def _check(self, ack: PubAck) -> PubAck:
        """Refuse the acknowledgement of a store of the same name that is nearer. Raises ObjectStoreError."""
        domain = self.js.options.domain
        if domain is not None and ack.domain != domain:
            raise ObjectStoreError(
                f"an object store {self.bucket!r} of domain {ack.domain!r} took what was for that of "
                f"{domain!r}: stores that are joined by leaf nodes need different names"
            )
        return ack

    async def _purge_chunks(self, nuid: str) -> None:
        if nuid:
            body = {"filter": f"{self._prefix}C.{nuid}"}
            await self.js.api.request(f"STREAM.PURGE.{self.stream_name}", body)

    async def _info(self) -> StreamInfo:
        try:
            return StreamInfo.from_wire(await self.js.api.request(f"STREAM.INFO.{self.stream_name}"))
        except StreamNotFoundError as error:
            raise missing(self.bucket, error) from error

    async def _explain(self, error: Exception) -> Exception:
        """What to raise when nobody takes a message: there may be no such bucket any more."""
        try:
            await self._info()
        except ObjectStoreNotFoundError as gone:
            return gone
        except Exception:
            return error
        return error


class Attempts:
    """Tries of one write that others may come between, until its time is over."""

    def __init__(self, timeout: float) -> None:
        self._deadline = monotonic() + timeout
        self._pause = _FIRST_PAUSE

    async def after(self, error: ApiError | UnconfirmedError | TimeoutError) -> None:
        """Wait a moment; raises `error` when there is no time for another try."""
        if monotonic() + self._pause > self._deadline:
            raise error
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def missing(bucket: str, error: StreamNotFoundError) -> ObjectStoreNotFoundError:
    """The error of a stream as one of its bucket."""
    return ObjectStoreNotFoundError(
        error.code, error.err_code, f"there is no object store {bucket!r}", error.request
    )
