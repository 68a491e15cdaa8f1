"""What all operations on a bucket share: its stream, its subjects, its codecs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tidings.nats.jetstream.errors import JetStreamError, StreamNotFoundError
from tidings.nats.jetstream.infos import StreamInfo
from tidings.nats.jetstream.kv.codecs import FilterableKeyCodec, KeyCodec, ValueCodec
from tidings.nats.jetstream.kv.entry import Form
from tidings.nats.jetstream.kv.errors import BucketNotFoundError, InvalidKeyError, InvalidValueError
from tidings.nats.jetstream.kv.keys import bucket_of, check_filter, check_key
from tidings.nats.jetstream.publish import Publishing
from tidings.nats.jetstream.stream_config import StreamConfig

__all__ = ["Payload", "Store", "is_bucket", "missing"]

V = TypeVar("V")
Payload = bytes | bytearray | memoryview | str
"""What can be put: bytes, or text that is stored as UTF-8."""


class Store:
    """A bucket, by the stream that it is made of.

    Attributes:
        bucket: its name.
        stream_name: that of the stream.
        js: the JetStream context that it is reached through.
    """

    def __init__(
        self,
        js: Publishing,
        info: StreamInfo,
        *,
        key_codec: KeyCodec | None = None,
        value_codec: ValueCodec | None = None,
    ) -> None:
        config = info.config
        self.js = js
        self.stream_name = config.name
        self.bucket = bucket_of(config.name)
        self._config = config
        self._created = info.created
        self._key_codec = key_codec
        self._value_codec = value_codec
        self._read_prefix, self._write_prefix = _prefixes(config, js.api.prefix)
        self._direct_prefix = f"{js.api.prefix}.DIRECT.GET.{config.name}.{self._read_prefix}"
        self._form: Form[bytes] = self._form_with(None if value_codec is None else self._decode_value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bucket!r}>"

    def form_of(self, value: Callable[[bytes], V]) -> Form[V]:
        """How entries are read whose values `value` makes of what the codec gives."""
        codec = self._value_codec
        if codec is None:
            return self._form_with(value)
        decode = codec.decode
        return self._form_with(lambda stored: value(decode(stored)))

    def _form_with(self, value: Callable[[bytes], V] | None) -> Form[V]:
        key = self._key_codec.decode if self._key_codec is not None else None
        return Form(self.bucket, len(self._read_prefix), key, value)

    def _encode_key(self, key: str) -> str:
        """The key as it is stored. Raises InvalidKeyError."""
        if self._key_codec is None:
            return check_key(key)
        if not isinstance(key, str):
            raise InvalidKeyError(f"a key is text, not {key!r}")
        try:
            return check_key(self._key_codec.encode(key))
        except Exception as error:
            raise InvalidKeyError(f"the codec cannot write key {key!r}: {error}") from error

    def _encode_filter(self, keys: str) -> str:
        """A filter as it is matched with stored keys. Raises InvalidKeyError."""
        codec = self._key_codec
        if codec is None or keys == ">":
            return check_filter(keys)
        if not isinstance(keys, str):
            raise InvalidKeyError(f"a filter is text, not {keys!r}")
        try:
            if isinstance(codec, FilterableKeyCodec):
                return check_filter(codec.encode_filter(keys))
            if {"*", ">"} & set(keys):
                raise ValueError(f"{type(codec).__name__} encodes whole keys only, no wildcards")
            return check_key(codec.encode(keys))
        except Exception as error:
            raise InvalidKeyError(f"the codec cannot write filter {keys!r}: {error}") from error

    def _encode_value(self, value: Payload) -> Payload:
        """The value as it is stored. Raises InvalidValueError."""
        if not isinstance(value, bytes | str | bytearray | memoryview):
            raise InvalidValueError(
                f"a value is bytes or text, not {type(value).__name__}; models go through KeyValue.typed"
            )
        if self._value_codec is None:
            return value
        try:
            return self._value_codec.encode(value.encode() if isinstance(value, str) else bytes(value))
        except Exception as error:
            raise InvalidValueError(f"the codec cannot write the value: {error}") from error

    def _decode_value(self, stored: bytes) -> bytes:
        """The value of what is stored; of a removal, and where no values are asked for, that is empty."""
        assert self._value_codec is not None
        return self._value_codec.decode(stored) if stored else b""

    async def _load(self) -> StreamConfig:
        """The config of the stream as it is now. Raises BucketNotFoundError."""
        return (await self._info()).config

    async def _info(self) -> StreamInfo:
        try:
            info = StreamInfo.from_wire(await self.js.api.request(f"STREAM.INFO.{self.stream_name}"))
        except StreamNotFoundError as error:
            raise missing(self.bucket, error) from error
        self._config, self._created = info.config, info.created
        return info

    async def _explain(self, error: JetStreamError) -> JetStreamError:
        """What to raise when nobody takes a request: there may be no such bucket any more."""
        try:
            await self._info()
        except BucketNotFoundError as gone:
            return gone
        except Exception:
            return error
        return error


def missing(bucket: str, error: StreamNotFoundError) -> BucketNotFoundError:
    """The error of a stream as one of its bucket."""
    return BucketNotFoundError(error.code, error.err_code, f"there is no bucket {bucket!r}", error.request)


def _prefixes(config: StreamConfig, api_prefix: str) -> tuple[str, str]:
    """What stands before a key where it is stored, and where it is written to.

    In another domain what is written is told by the prefix of its API; the copy of a bucket is written to
    where the bucket is.
    """
    mirror = config.mirror
    own = f"$KV.{bucket_of(config.name if mirror is None else mirror.name)}."
    if mirror is not None and mirror.external is not None and mirror.external.api:
        return own, f"{mirror.external.api}.{own}"
    return own, own if api_prefix == "$JS.API" else f"{api_prefix}.{own}"


def is_bucket(config: StreamConfig) -> bool:
    """Whether a stream was made to be a bucket."""
    return bool(config.mirror or config.sources) or any(each.startswith("$KV.") for each in config.subjects)
