"""Buckets whose values have a type, validated by pydantic."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tidings.nats.errors import MissingExtraError
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.kv.bucket import Bucket
from tidings.nats.jetstream.kv.entry import KeyValueEntry
from tidings.nats.jetstream.kv.errors import InvalidValueError
from tidings.nats.jetstream.kv.lister import KeyLister
from tidings.nats.jetstream.kv.watch import KeyWatcher, WatchSettings
from tidings.nats.jetstream.ttl import Ttl

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["TypedKeyValue"]

T = TypeVar("T")


class TypedKeyValue(Generic[T]):
    """A bucket whose values are of one type, stored as JSON. Made by `KeyValue.typed`.

    Its methods are those of `KeyValue`. What is put is validated before it is sent, and what is read when its
    `value` is asked for, so that a value somebody else wrote spoils nothing but itself.

    Attributes:
        kv: the bucket, with bytes for values.
    """

    def __init__(self, kv: Bucket, model: type[T]) -> None:
        self.kv = kv
        self._model = model
        self._adapter: TypeAdapter[T] = _adapter(model)
        self._form = kv.form_of(self._adapter.validate_json)

    def __repr__(self) -> str:
        return f"<TypedKeyValue {self.kv.bucket!r} of {getattr(self._model, '__name__', self._model)}>"

    async def get(
        self, key: str, revision: int | None = None, *, timeout: float | None = None
    ) -> KeyValueEntry[T]:
        """The entry of a key. See `KeyValue.get`.

        Raises:
            StoredValueError: when its `value` is asked for, and is none of the type.
        """
        return await self.kv.get_as(self._form, key, revision, timeout)

    async def put(self, key: str, value: T, *, timeout: float | None = None) -> int:
        """Store a value. See `KeyValue.put`.

        Raises:
            InvalidValueError: it is none of the type; nothing was sent.
        """
        return await self.kv.put(key, self._encode(value), timeout=timeout)

    async def create(
        self, key: str, value: T, ttl: Ttl | None = None, *, timeout: float | None = None
    ) -> int:
        """Store a value if there is none. See `KeyValue.create`. Raises InvalidValueError as `put`."""
        return await self.kv.create(key, self._encode(value), ttl, timeout=timeout)

    async def update(
        self, key: str, value: T, last: int, ttl: Ttl | None = None, *, timeout: float | None = None
    ) -> int:
        """Store a value over a revision. See `KeyValue.update`. Raises InvalidValueError as `put`."""
        return await self.kv.update(key, self._encode(value), last, ttl, timeout=timeout)

    async def delete(self, key: str, last: int | None = None, *, timeout: float | None = None) -> int:
        """Say that the key is no more. See `KeyValue.delete`."""
        return await self.kv.delete(key, last, timeout=timeout)

    async def purge(
        self, key: str, last: int | None = None, ttl: Ttl | None = None, *, timeout: float | None = None
    ) -> int:
        """Remove the key and its history. See `KeyValue.purge`."""
        return await self.kv.purge(key, last, ttl, timeout=timeout)

    async def history(self, key: str) -> list[KeyValueEntry[T]]:
        """All entries of a key. See `KeyValue.history`."""
        return await self.kv.history_as(self._form, key)

    def keys(self, *filters: str) -> KeyLister:
        """The keys that have a value. See `KeyValue.keys`."""
        return self.kv.keys(*filters)

    async def watch(
        self,
        *keys: str,
        include_history: bool = False,
        updates_only: bool = False,
        ignore_deletes: bool = False,
        meta_only: bool = False,
        resume_from_revision: int | None = None,
        inactive_threshold: float | timedelta | None = None,
    ) -> KeyWatcher[T]:
        """Watch keys. See `KeyValue.watch`."""
        settings = WatchSettings(
            include_history=include_history,
            updates_only=updates_only,
            ignore_deletes=ignore_deletes,
            meta_only=meta_only,
            resume_from_revision=resume_from_revision,
            inactive_threshold=inactive_threshold,
        )
        return await self.kv.watch_as(self._form, keys, settings)

    def _encode(self, value: Any) -> bytes:
        try:
            return self._adapter.dump_json(self._adapter.validate_python(value))
        except Exception as error:
            raise InvalidValueError(f"no value for {self!r}: {error}") from error


def _adapter(model: type[T]) -> TypeAdapter[T]:
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise MissingExtraError(
            "typed buckets need pydantic: pip install 'tidings[services]', or pip install pydantic"
        ) from error
    try:
        return TypeAdapter(model)
    except Exception as error:
        raise ConfigError(f"{model!r} is no type that pydantic can validate: {error}") from error
