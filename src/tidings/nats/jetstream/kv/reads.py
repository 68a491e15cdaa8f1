"""Reading a bucket: single entries, histories, keys, and watching what changes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tidings.nats.errors import NoRespondersError, ProtocolError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.checks import check_sequence
from tidings.nats.jetstream.errors import JetStreamUnavailableError, MessageNotFoundError, StreamNotFoundError
from tidings.nats.jetstream.kv.entry import Form, KeyValueEntry, is_plain, operation_of
from tidings.nats.jetstream.kv.errors import BucketNotFoundError, KeyDeletedError, KeyNotFoundError
from tidings.nats.jetstream.kv.lister import KeyLister
from tidings.nats.jetstream.kv.store import Store, missing
from tidings.nats.jetstream.kv.watch import KeyWatcher, WatchSettings, open_watcher
from tidings.nats.jetstream.stored import StoredMsg, get_by_api, get_directly, status_error
from tidings.nats.wire import Msg

__all__ = ["Reads"]

V = TypeVar("V")
_NOT_FOUND = 404
_SEQUENCE = b"\r\nNats-Sequence: "


class Reads(Store):
    """The part of `KeyValue` that reads."""

    async def get(
        self, key: str, revision: int | None = None, *, timeout: float | None = None
    ) -> KeyValueEntry[bytes]:
        """The entry of a key: its last one, or that of a revision.

        Where the bucket is ``direct`` any replica answers, which may be a moment behind the last write;
        where it is not, the leader does.

        Args:
            key: which.
            revision: this one, as long as the history has it.
            timeout: seconds; None takes that of the context.

        Raises:
            KeyNotFoundError: there is none.
            KeyDeletedError: the key was deleted or purged; its ``entry`` is the one that says so.
            InvalidKeyError: what cannot be a key; nothing was sent.
            BucketNotFoundError: the bucket was deleted.
            TimeoutError: no answer came in time.
            PermissionsError, ConnectionClosedError: as `Client.request`.
        """
        return await self.get_as(self._form, key, revision, timeout)

    async def history(self, key: str) -> list[KeyValueEntry[bytes]]:
        """All entries of a key that the bucket still has, the oldest first, removals among them.

        Raises:
            KeyNotFoundError: there is none.
            The rest as `watch`.
        """
        return await self.history_as(self._form, key)

    def keys(self, *filters: str) -> KeyLister:
        """The keys that have a value, filtered by the server.

        ::

            async for key in kv.keys("orders.*"):  # as they come
                ...
            everything = await kv.keys()           # as a list, empty if there are none

        Args:
            filters: keys in which ``*`` stands for one part and a last ``>`` for the rest; none is all.

        Raises, when it is awaited or iterated over: as `watch`.
        """
        encoded = [self._encode_filter(each) for each in filters or (">",)]
        return KeyLister(
            lambda: self._watch(self._form, encoded, WatchSettings(meta_only=True, ignore_deletes=True))
        )

    async def watch(
        self,
        *keys: str,
        include_history: bool = False,
        updates_only: bool = False,
        ignore_deletes: bool = False,
        meta_only: bool = False,
        resume_from_revision: int | None = None,
        inactive_threshold: float | timedelta | None = None,
    ) -> KeyWatcher[bytes]:
        """Watch keys: first what they are, then None once, then each change.

        ::

            async with await kv.watch("orders.>") as watcher:
                async for entry in watcher:
                    ...

        When it returns, every later write is seen. It goes on through lost connections and moved leaders; no
        revision is missing, none comes twice.

        Args:
            keys: one or several, or filters as for `keys`; none is the whole bucket.
            include_history: first all revisions of each key that are kept, not only the last one.
            updates_only: nothing of what is there; the None comes at once.
            ignore_deletes: only values, not that a key was deleted or purged.
            meta_only: leave the values out.
            resume_from_revision: begin with this revision of the bucket, and every one behind it.
            inactive_threshold: seconds after which the server forgets a watcher whose client is gone; None
                is five minutes.

        Raises:
            InvalidKeyError, ConfigError: what cannot be watched; nothing was sent.
            BucketNotFoundError: the bucket was deleted; while iterating too.
            TimeoutError, JetStreamUnavailableError: the server does not answer.
            PermissionsError, ConnectionClosedError: as `Client.request`.
        """
        settings = WatchSettings(
            include_history=include_history,
            updates_only=updates_only,
            ignore_deletes=ignore_deletes,
            meta_only=meta_only,
            resume_from_revision=resume_from_revision,
            inactive_threshold=inactive_threshold,
        )
        return await self.watch_as(self._form, keys, settings)

    # The same for typed buckets

    async def watch_as(self, form: Form[V], keys: Collection[str], settings: WatchSettings) -> KeyWatcher[V]:
        """`watch`, with another form of entries."""
        return await self._watch(form, [self._encode_filter(each) for each in keys or (">",)], settings)

    async def _watch(self, form: Form[V], encoded: list[str], settings: WatchSettings) -> KeyWatcher[V]:
        subjects, made = [self._read_prefix + each for each in encoded], self._created

        async def recheck(since: datetime) -> None:
            # One of the same name counts its revisions anew; reading on behind the last would miss them.
            created = (await self._info()).created
            if created not in (made, None) and created > since:
                raise BucketNotFoundError(
                    404, 10059, f"bucket {self.bucket!r} was deleted, and another one made: watch that"
                )

        return await open_watcher(self.js.api, self.stream_name, form, subjects, settings, recheck)

    async def history_as(self, form: Form[V], key: str) -> list[KeyValueEntry[V]]:
        """`history`, with another form of entries."""
        settings = WatchSettings(include_history=True)
        async with await self._watch(form, [self._encode_key(key)], settings) as watcher:
            entries = await watcher.initial()
        if not entries:
            raise KeyNotFoundError(self.bucket, key)
        return entries

    # One entry

    async def get_as(
        self, form: Form[V], key: str, revision: int | None, timeout: float | None
    ) -> KeyValueEntry[V]:
        """`get`, with another form of entries."""
        encoded = self._encode_key(key)
        if revision is not None:
            entry = await self._get_revision(
                form, key, encoded, check_sequence("revision", revision), timeout
            )
        elif self._config.allow_direct:
            entry = await self._get_directly(form, key, encoded, timeout)
        else:
            entry = await self._get_newest(form, key, encoded, timeout)
        if entry.operation != "PUT":
            raise KeyDeletedError(entry)
        return entry

    async def _get_directly(
        self, form: Form[V], key: str, encoded: str, timeout: float | None
    ) -> KeyValueEntry[V]:
        api = self.js.api
        try:
            answer = await api.connection.request(
                self._direct_prefix + encoded, b"", api.timeout if timeout is None else timeout
            )
        except NoRespondersError:
            # The bucket is gone, or allows it no more: the leader knows.
            return await self._get_newest(form, key, encoded, timeout)
        return self._read_direct(form, key, answer)

    def _read_direct(self, form: Form[V], key: str, answer: Msg) -> KeyValueEntry[V]:
        block = answer.header_block or b""
        # What was published with the message stands before what the server adds. Found without parsing the
        # headers, which would cost as much as the rest of it.
        at = block.rfind(_SEQUENCE)
        if at < 0:
            if answer.status == _NOT_FOUND:
                raise KeyNotFoundError(self.bucket, key)
            if answer.status:
                raise status_error(answer, f"DIRECT.GET.{self.stream_name}")
            raise ProtocolError(f"a stored message came without its sequence: {block!r:.200}")
        at += len(_SEQUENCE)
        return KeyValueEntry(
            form,
            answer.data,
            key=key,
            revision=int(block[at : block.index(b"\r\n", at)]),
            operation="PUT" if is_plain(block) else operation_of(answer.headers),
            created=answer,
        )

    async def _get_newest(
        self, form: Form[V], key: str, encoded: str, timeout: float | None
    ) -> KeyValueEntry[V]:
        """The last entry of a key, whatever it says, as the leader has it."""
        request = {"last_by_subj": self._read_prefix + encoded}
        return _of_stored(form, key, await self._stored(key, request, False, timeout))

    async def _get_revision(
        self, form: Form[V], key: str, encoded: str, revision: int, timeout: float | None
    ) -> KeyValueEntry[V]:
        stored = await self._stored(key, {"seq": revision}, self._config.allow_direct, timeout)
        if stored.subject != self._read_prefix + encoded:
            raise KeyNotFoundError(self.bucket, key, revision)
        return _of_stored(form, key, stored)

    async def _stored(
        self, key: str, request: dict[str, Any], direct: bool, timeout: float | None
    ) -> StoredMsg:
        api, stream = self.js.api, self.stream_name
        if timeout is not None:
            api = Api(api.connection, prefix=api.prefix, timeout=timeout)
        try:
            if direct:
                try:
                    return await get_directly(api, stream, request)
                except JetStreamUnavailableError:
                    pass  # as in `_get_directly`
            return await get_by_api(api, stream, request)
        except MessageNotFoundError:
            raise KeyNotFoundError(self.bucket, key, request.get("seq")) from None
        except StreamNotFoundError as error:
            raise missing(self.bucket, error) from error


def _of_stored(form: Form[V], key: str, stored: StoredMsg) -> KeyValueEntry[V]:
    return KeyValueEntry(
        form,
        stored.data,
        key=key,
        revision=stored.seq,
        operation=operation_of(stored.headers),
        created=stored.time,
    )
