"""An entry: one revision of a key, its value or that it was removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, Literal, TypeAlias, TypeVar

from tidings.nats.errors import Error
from tidings.nats.jetstream.kv.errors import StoredValueError
from tidings.nats.jetstream.message import parse_metadata
from tidings.nats.jetstream.times import parse_time
from tidings.nats.wire import Headers, Msg

__all__ = ["KV_OPERATION", "Form", "KeyValueEntry", "Operation", "is_plain", "operation_of"]

Operation: TypeAlias = Literal["PUT", "DEL", "PURGE"]

KV_OPERATION = "KV-Operation"
_MARKER_REASON = "Nats-Marker-Reason"
# What the server itself says about a key that went (ADR-48).
_REASONS: dict[str, Operation] = {"MaxAge": "PURGE", "Purge": "PURGE", "Remove": "DEL"}
_OPERATIONS: dict[str, Operation] = {"PUT": "PUT", "DEL": "DEL", "PURGE": "PURGE"}

V = TypeVar("V")


class Form(Generic[V]):
    """How entries of a bucket are read.

    Attributes:
        bucket: its name.
        prefix_length: characters of a stored subject before the key.
        key: reads a stored key; None where it is taken as it is.
        value: reads a stored value; None where it is taken as it is.
    """

    __slots__ = ("bucket", "key", "prefix_length", "value")

    def __init__(
        self,
        bucket: str,
        prefix_length: int,
        key: Callable[[str], str] | None,
        value: Callable[[bytes], V] | None,
    ) -> None:
        self.bucket = bucket
        self.prefix_length = prefix_length
        self.key = key
        self.value = value


class KeyValueEntry(Generic[V]):
    """One revision of a key. What it holds is read when it is asked for."""

    __slots__ = ("_created", "_data", "_delta", "_form", "_key", "_msg", "_operation", "_revision", "_value")

    def __init__(
        self,
        form: Form[V],
        data: bytes,
        msg: Msg | None = None,
        *,
        key: str | None = None,
        revision: int = 0,
        operation: Operation | None = None,
        created: datetime | Msg | None = None,
    ) -> None:
        self._form = form
        self._data = data
        self._msg = msg  # as a consumer delivered it
        self._key = key
        self._revision = revision
        self._operation: Operation | None = operation
        self._created: datetime | Msg | None = created  # or the answer to a direct get, which tells it
        self._delta: int | None = 0 if msg is None else None
        self._value: V | None = None

    @property
    def bucket(self) -> str:
        """The bucket that it is in."""
        return self._form.bucket

    @property
    def key(self) -> str:
        """The key. Raises StoredValueError where the codec cannot read it."""
        if self._key is None:
            assert self._msg is not None
            key = self._msg.subject[self._form.prefix_length :]
            if self._form.key is not None:
                try:
                    key = self._form.key(key)
                except Exception as error:
                    raise StoredValueError(self.bucket, key, self.revision, error) from error
            self._key = key
        return self._key

    @property
    def value(self) -> V:
        """The value; empty bytes for one that was removed, or was not asked for (``meta_only``).

        Raises:
            StoredValueError: the codec or the model of a typed bucket cannot read it, or there is none that
                the model could read.
        """
        read = self._form.value
        if read is None:
            return self._data  # type: ignore[return-value]  # V is bytes then
        if self._value is None:
            try:
                self._value = read(self._data)
            except Exception as error:
                raise StoredValueError(self.bucket, self.key, self.revision, self._why(error)) from error
        return self._value

    def _why(self, error: Exception) -> object:
        return "it was removed, look at is_deleted first" if self.is_deleted else error

    @property
    def data(self) -> bytes:
        """The value as it is stored."""
        return self._data

    @property
    def revision(self) -> int:
        """Its number, one higher for each write to the bucket."""
        if not self._revision:
            assert self._msg is not None
            tokens = self._msg.reply.split(".")
            # Behind the names of stream and consumer; with domain and account in front of these (ADR-53).
            self._revision = int(tokens[5 if len(tokens) == 9 else 7])
        return self._revision

    @property
    def created(self) -> datetime:
        """When it was stored."""
        if not isinstance(self._created, datetime):
            if self._msg is not None:
                self._created = parse_metadata(self._msg.reply).timestamp
            elif self._created is not None:
                self._created = parse_time(self._created.headers.get_all("Nats-Time-Stamp")[-1])
        assert isinstance(self._created, datetime)
        return self._created

    @property
    def delta(self) -> int:
        """How many entries of what is watched were newer when it was delivered; 0 for what `get` gives."""
        if self._delta is None:
            assert self._msg is not None
            self._delta = parse_metadata(self._msg.reply).num_pending
        return self._delta

    @property
    def operation(self) -> Operation:
        """``"PUT"``, ``"DEL"`` or ``"PURGE"``; also where the server itself removed the key (ADR-48)."""
        if self._operation is not None:
            return self._operation
        msg = self._msg
        operation: Operation = operation_of(_headers(msg)) if msg and msg.has_headers else "PUT"
        self._operation = operation
        return operation

    @property
    def is_deleted(self) -> bool:
        """Whether it says that the key was deleted or purged."""
        return self.operation != "PUT"

    def __repr__(self) -> str:
        return f"<{self.operation} {self.key!r} revision {self.revision} of bucket {self.bucket!r}>"


def is_plain(block: bytes) -> bool:
    """Whether a header block says nothing of an operation, so that it is that of a value."""
    return b"KV-Operation" not in block and b"Nats-Marker-Reason" not in block


def operation_of(headers: Headers) -> Operation:
    """What the headers of a stored message say was done; an operation that we do not know removes (ADR-8)."""
    if (done := headers.get(KV_OPERATION)) is not None:
        return _OPERATIONS.get(done, "DEL")
    if (reason := headers.get(_MARKER_REASON)) is not None:
        return _REASONS.get(reason, "PURGE")
    return "PUT"


def _headers(msg: Msg) -> Headers:
    try:
        return msg.headers
    except Error:  # another client's broken header block
        return Headers()
