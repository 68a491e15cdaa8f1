"""`nats.js.kv`: nats-py's key-value buckets."""

from __future__ import annotations

import re
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from tidings.nats.compat.border import translated, translates
from tidings.nats.compat.js import api, errors
from tidings.nats.errors import Error
from tidings.nats.jetstream.kv.entry import Form, KeyValueEntry, operation_of
from tidings.nats.jetstream.kv.watch import KeyWatcher as NativeWatcher
from tidings.nats.jetstream.kv.watch import WatchSettings, open_watcher
from tidings.nats.wire import Headers

if TYPE_CHECKING:
    from tidings.nats.compat.js.publishing import Publishing

__all__ = ["KeyValue", "StopIterSentinel"]

KV_OP = "KV-Operation"
KV_DEL = "DEL"
KV_PURGE = "PURGE"
KV_MARKER_REASON = "Nats-Marker-Reason"
MSG_ROLLUP_SUBJECT = "sub"
VALID_KEY_RE = re.compile(r"^[-/_=\.a-zA-Z0-9]+$")

_WRONG_LAST_SEQUENCE = (10071, 10164)


class StopIterSentinel:
    """What a watcher's queue of nats-py ends with; ours has none."""


class KeyValue:
    """A bucket. Made by `JetStreamContext.key_value` and `create_key_value`."""

    @dataclass
    class Entry:
        """A revision of a key; `operation` is None for a value."""

        bucket: str
        key: str
        value: bytes | None
        revision: int | None
        delta: int | None
        created: datetime | None
        operation: str | None

    @dataclass(frozen=True)
    class BucketStatus:
        """What the server tells of a bucket."""

        stream_info: api.StreamInfo
        bucket: str

        @property
        def values(self) -> int:
            """How many revisions there are."""
            return self.stream_info.state.messages

        @property
        def history(self) -> int:
            """How many of each key are kept."""
            return self.stream_info.config.max_msgs_per_subject

        @property
        def ttl(self) -> float | None:
            """Seconds that they are kept."""
            return self.stream_info.config.max_age

        @property
        def marker_ttl(self) -> float | None:
            """Seconds that the server's markers are kept."""
            return self.stream_info.config.subject_delete_marker_ttl

    class KeyWatcher:
        """Entries as an ``async for``: what is there, None once, and then each change."""

        STOP_ITER: ClassVar[StopIterSentinel] = StopIterSentinel()

        def __init__(self, js: KeyValue, native: NativeWatcher[bytes]) -> None:
            self._js = js
            self._native = native

        async def stop(self) -> None:
            """End it."""
            await self._native.stop()

        @translates
        async def updates(self, timeout: float | None = 5.0) -> KeyValue.Entry | None:
            """The next entry; None where what was there ends. Raises TimeoutError."""
            return _entry_of(await self._native.updates(timeout))

        def __aiter__(self) -> AsyncIterator[KeyValue.Entry | None]:
            return self

        async def __anext__(self) -> KeyValue.Entry | None:
            try:
                return _entry_of(await anext(self._native))
            except Error as error:
                raise translated(error) from error

    def __init__(self, name: str, stream: str, pre: str, js: Publishing, direct: bool) -> None:
        self._name = name
        self._stream = stream
        self._pre = pre
        self._js = js
        self._direct = direct

    # Reading

    async def get(self, key: str, revision: int | None = None, validate_keys: bool = True) -> Entry:
        """The last value of a key, or that of a revision.

        Raises:
            KeyNotFoundError: there is none; with its `entry` and `op` when it was deleted.
        """
        _check_key(key, validate_keys)
        try:
            return await self._get(key, revision)
        except errors.KeyDeletedError as error:
            raise errors.KeyNotFoundError(error.entry, error.op) from error

    async def _get(self, key: str, revision: int | None = None) -> Entry:
        subject = f"{self._pre}{key}"
        wanted: dict[str, Any] = {"seq": revision} if revision else {"subject": subject}
        try:
            message = await self._js.get_msg(self._stream, direct=self._direct, **wanted)
        except errors.NotFoundError as error:
            raise errors.KeyNotFoundError from error
        if message.subject != subject:
            raise errors.KeyNotFoundError(message=f"expected '{subject}', but got '{message.subject}'")
        entry = self.Entry(self._name, key, message.data, message.seq, None, message.time, None)
        if message.headers and (op := operation_of(Headers(message.headers))) != "PUT":
            raise errors.KeyDeletedError(entry, op)
        return entry

    async def keys(self, filters: list[str] | None = None, **kwargs: Any) -> list[str]:
        """The keys with a value, those with one of `filters` in them. Raises NoKeysError."""
        entries = await self._initial(await self.watchall(ignore_deletes=True, meta_only=True))
        keys = [each.key for each in entries if not filters or any(part in each.key for part in filters)]
        if not keys:
            raise errors.NoKeysError
        return keys

    async def history(self, key: str) -> list[Entry]:
        """The revisions of a key. Raises NoKeysError."""
        entries = await self._initial(await self.watch(key, include_history=True))
        if not entries:
            raise errors.NoKeysError
        return entries

    async def status(self) -> BucketStatus:
        """What the server tells of the bucket."""
        return self.BucketStatus(await self._js.stream_info(self._stream), self._name)

    async def watchall(self, **kwargs: Any) -> KeyWatcher:
        """Watch all keys; see `watch`."""
        return await self.watch(">", **kwargs)

    @translates
    async def watch(
        self,
        keys: str,
        headers_only: bool = False,
        include_history: bool = False,
        ignore_deletes: bool = False,
        meta_only: bool = False,
        inactive_threshold: float | None = None,
    ) -> KeyWatcher:
        """Watch keys: what is there, None, and then each change."""
        settings = WatchSettings(
            include_history=include_history,
            ignore_deletes=ignore_deletes,
            meta_only=meta_only,
            inactive_threshold=inactive_threshold or None,
        )
        form: Form[bytes] = Form(self._name, len(self._pre), None, None)
        native = await open_watcher(
            self._js._context.api, self._stream, form, [f"{self._pre}{keys}"], settings, _go_on
        )
        return self.KeyWatcher(self, native)

    async def _initial(self, watcher: KeyWatcher) -> list[Entry]:
        entries = []
        try:
            async for entry in watcher:
                if entry is None:
                    break
                entries.append(entry)
        finally:
            await watcher.stop()
        return entries

    # Writing

    async def put(self, key: str, value: bytes, validate_keys: bool = True) -> int:
        """Write a value; its revision is returned."""
        _check_key(key, validate_keys)
        return (await self._js.publish(f"{self._pre}{key}", value)).seq

    async def create(
        self, key: str, value: bytes, validate_keys: bool = True, msg_ttl: float | None = None
    ) -> int:
        """Write a value of a key that has none.

        Raises:
            KeyWrongLastSequenceError: it has one.
        """
        try:
            return await self._update(key, value, 0, validate_keys, msg_ttl)
        except errors.KeyWrongLastSequenceError as taken:
            try:
                await self._get(key)
            except errors.KeyDeletedError as deleted:
                return await self._update(key, value, deleted.entry.revision, validate_keys, msg_ttl)
            raise taken

    async def update(
        self, key: str, value: bytes, last: int | None = None, validate_keys: bool = True
    ) -> int:
        """Write a value if the last revision of the key is `last`. Raises KeyWrongLastSequenceError."""
        return await self._update(key, value, last, validate_keys)

    async def _update(
        self, key: str, value: bytes, last: int | None, validate_keys: bool, msg_ttl: float | None = None
    ) -> int:
        _check_key(key, validate_keys)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(last or 0)}
        try:
            return (await self._js.publish(f"{self._pre}{key}", value, headers=headers, msg_ttl=msg_ttl)).seq
        except errors.APIError as error:
            if error.err_code not in _WRONG_LAST_SEQUENCE:
                raise
            raise errors.KeyWrongLastSequenceError(error.description) from error

    async def delete(
        self,
        key: str,
        last: int | None = None,
        validate_keys: bool = True,
        msg_ttl: float | None = None,
    ) -> bool:
        """Mark a key as deleted; its history stays."""
        if msg_ttl is not None:
            warnings.warn(
                "msg_ttl on delete() is deprecated and ignored; use create() or purge() for TTL",
                DeprecationWarning,
                stacklevel=2,
            )
        _check_key(key, validate_keys)
        headers = {KV_OP: KV_DEL}
        if last:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(last)
        await self._js.publish(f"{self._pre}{key}", headers=headers)
        return True

    async def purge(self, key: str, msg_ttl: float | None = None) -> bool:
        """Delete a key and its history; with wildcards all keys that match, of which nothing is left then."""
        if not {"*", ">"}.isdisjoint(key.split(".")):
            return await self._js.purge_stream(self._stream, subject=f"{self._pre}{key}")
        headers = {KV_OP: KV_PURGE, "Nats-Rollup": MSG_ROLLUP_SUBJECT}
        await self._js.publish(f"{self._pre}{key}", headers=headers, msg_ttl=msg_ttl)
        return True

    async def purge_deletes(self, olderthan: int = 30 * 60) -> bool:
        """Drop what deleted keys left behind; of those younger than so many seconds the marker stays."""
        now = datetime.now(UTC)
        for entry in await self._initial(await self.watchall()):
            if entry.operation is not None and entry.created is not None:
                keep = 1 if olderthan > 0 and olderthan > (now - entry.created).total_seconds() else 0
                await self._js.purge_stream(self._stream, subject=f"{self._pre}{entry.key}", keep=keep)
        return True


def _entry_of(entry: KeyValueEntry[bytes] | None) -> KeyValue.Entry | None:
    if entry is None:
        return None
    operation = None if entry.operation == "PUT" else entry.operation
    return KeyValue.Entry(
        entry.bucket, entry.key, entry.value, entry.revision, entry.delta, entry.created, operation
    )


def _check_key(key: str, validate: bool) -> None:
    if validate and (not VALID_KEY_RE.match(key) or key.startswith(".") or key.endswith(".")):
        raise errors.InvalidKeyError(key)


async def _go_on(since: datetime) -> None:
    """Read on in the bucket of that name, be it another one."""
