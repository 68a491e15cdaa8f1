"""Writing to a bucket: put, and what depends on the revision that is there."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from tidings.nats.jetstream.checks import check_sequence
from tidings.nats.jetstream.errors import NoStreamResponseError, WrongLastSequenceError
from tidings.nats.jetstream.headers import EXPECTED_LAST_SUBJECT_SEQ, ROLLUP, TTL
from tidings.nats.jetstream.kv.entry import KV_OPERATION
from tidings.nats.jetstream.kv.errors import (
    KeyExistsError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    TtlNotAllowedError,
)
from tidings.nats.jetstream.kv.reads import Reads
from tidings.nats.jetstream.kv.store import Payload
from tidings.nats.jetstream.ttl import Ttl, ttl_text

__all__ = ["Writes"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25  # seconds between two looks at a key that others are just writing
_TTL_LEVEL = 1

_DELETE: Final = {KV_OPERATION: "DEL"}
_PURGE: Final = {KV_OPERATION: "PURGE", ROLLUP: "sub"}


class Writes(Reads):
    """The part of `KeyValue` that writes. Each method returns the revision that it made, and raises:

    Raises:
        InvalidKeyError, InvalidValueError: refused before a byte was sent.
        BucketNotFoundError: the bucket was deleted.
        AckTimeoutError, AckLostError: it may or may not have been stored.
        ApiError: the server refuses it: a `LimitError` where the value or the bucket is too large.
        MaxPayloadError, PermissionsError, ConnectionClosedError: as `Client.publish`.
    """

    async def put(self, key: str, value: Payload, *, timeout: float | None = None) -> int:
        """Store a value, whatever was there.

        Args:
            key: see `KeyValueConfig` for what it may be made of.
            value: bytes, or text that is stored as UTF-8.
            timeout: seconds for the acknowledgement; None takes that of the context.
        """
        subject = self._write_prefix + self._encode_key(key)
        if type(value) is not bytes or self._value_codec is not None:
            value = self._encode_value(value)
        try:
            return (await self.js.publish(subject, value, timeout=timeout)).seq
        except NoStreamResponseError as error:
            raise await self._explain(error) from error

    async def create(
        self, key: str, value: Payload, ttl: Ttl | None = None, *, timeout: float | None = None
    ) -> int:
        """Store a value if the key has none: it never had, or was deleted or purged.

        Args:
            key, value, timeout: as for `put`.
            ttl: when the server shall remove it again, see `Ttl`; the bucket needs ``limit_marker_ttl``.

        Raises:
            KeyExistsError: it has one. Of many who create at once, one does not get this.
            TtlNotAllowedError, ConfigError: a TTL that the bucket does not allow, or that is none.
            The rest as `put`.
        """
        limit = self.js.api.timeout if timeout is None else timeout
        deadline = monotonic() + limit
        encoded, payload = self._encode_key(key), self._encode_value(value)
        headers = await self._with_ttl(ttl)
        last, pause = 0, _FIRST_PAUSE
        while True:
            headers[EXPECTED_LAST_SUBJECT_SEQ] = str(last)
            try:
                return await self._write(encoded, payload, headers, max(deadline - monotonic(), _FIRST_PAUSE))
            except WrongLastSequenceError as error:
                conflict = error
            try:
                found = await self._get_newest(self._form, key, encoded, timeout)
            except KeyNotFoundError:
                last = 0
            else:
                if not found.is_deleted:
                    raise KeyExistsError(
                        conflict.code,
                        conflict.err_code,
                        f"key {key!r} of bucket {self.bucket!r} has a value, revision {found.revision}",
                    )
                if found.revision != last:
                    last = found.revision
                    continue
            # Somebody else's write is under way, and not there yet (err_code 10164), or gone again.
            if monotonic() + pause > deadline:
                raise self._conflict(key, last, conflict) from conflict
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def update(
        self, key: str, value: Payload, last: int, ttl: Ttl | None = None, *, timeout: float | None = None
    ) -> int:
        """Store a value if nobody wrote the key since it was read.

        Args:
            key, value, timeout: as for `put`.
            last: the revision that was read, deleted or not; 0 for a key that never was.
            ttl: when the server shall remove it again, as for `create`.

        Raises:
            KeyWrongLastSequenceError: there is another one.
            TtlNotAllowedError, ConfigError: a TTL that the bucket does not allow, or that is none.
            The rest as `put`.
        """
        encoded, payload = self._encode_key(key), self._encode_value(value)
        headers = {
            EXPECTED_LAST_SUBJECT_SEQ: str(check_sequence("last", last, 0)),
            **await self._with_ttl(ttl),
        }
        try:
            return await self._write(encoded, payload, headers, timeout)
        except WrongLastSequenceError as error:
            raise self._conflict(key, last, error) from None

    async def delete(self, key: str, last: int | None = None, *, timeout: float | None = None) -> int:
        """Say that the key is no more; its history stays. What is not there can be deleted as well.

        Args:
            key, timeout: as for `put`.
            last: do so only if this is its last revision.

        Raises:
            KeyWrongLastSequenceError: there is another one.
            The rest as `put`.
        """
        return await self._remove(key, _DELETE, last, timeout)

    async def purge(
        self, key: str, last: int | None = None, ttl: Ttl | None = None, *, timeout: float | None = None
    ) -> int:
        """Remove the key and its history, and leave a marker that says so.

        Args:
            key, last, timeout: as for `delete`.
            ttl: how long the marker is kept, see `Ttl`; the bucket needs ``limit_marker_ttl``.

        Raises:
            KeyWrongLastSequenceError: there is another revision.
            TtlNotAllowedError, ConfigError: a TTL that the bucket does not allow, or that is none.
            The rest as `put`.
        """
        return await self._remove(key, _PURGE, last, timeout, ttl)

    async def _remove(
        self,
        key: str,
        operation: dict[str, str],
        last: int | None,
        timeout: float | None,
        ttl: Ttl | None = None,
    ) -> int:
        encoded = self._encode_key(key)
        headers = {**operation, **await self._with_ttl(ttl)}
        if last is not None:
            headers[EXPECTED_LAST_SUBJECT_SEQ] = str(check_sequence("last", last, 0))
        try:
            return await self._write(encoded, b"", headers, timeout)
        except WrongLastSequenceError as error:
            raise self._conflict(key, last, error) from None

    async def _write(
        self, encoded: str, payload: Payload, headers: dict[str, str], timeout: float | None
    ) -> int:
        try:
            subject = self._write_prefix + encoded
            return (await self.js.publish(subject, payload, headers=headers, timeout=timeout)).seq
        except NoStreamResponseError as error:
            raise await self._explain(error) from error

    async def _with_ttl(self, ttl: Ttl | None) -> dict[str, str]:
        """The header for a TTL, if one is asked for."""
        if ttl is None:
            return {}
        text = ttl_text(ttl)
        self.js.api.require(_TTL_LEVEL, "a TTL of a key")
        if not self._config.allow_msg_ttl and not (await self._load()).allow_msg_ttl:
            raise TtlNotAllowedError(
                f"bucket {self.bucket!r} allows no TTL of a key: it needs limit_marker_ttl, with which "
                "it can be updated"
            )
        return {TTL: text}

    def _conflict(
        self, key: str, last: int | None, error: WrongLastSequenceError
    ) -> KeyWrongLastSequenceError:
        return KeyWrongLastSequenceError(
            error.code,
            error.err_code,
            f"revision {last} is not the last one of key {key!r} in bucket {self.bucket!r}: "
            f"{error.description}",
        )
