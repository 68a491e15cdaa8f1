"""A bucket as its user has it."""

from __future__ import annotations

from typing import TypeVar

from tidings.nats.jetstream.kv.bucket import Bucket
from tidings.nats.jetstream.kv.typed import TypedKeyValue

__all__ = ["KeyValue"]

T = TypeVar("T")


class KeyValue(Bucket):
    """A key-value bucket (ADR-8). Got from `JetStream.create_key_value` or `JetStream.key_value`.

    ::

        kv = await js.create_key_value(bucket="config")
        revision = await kv.put("color", b"blue")
        entry = await kv.get("color")
        await kv.update("color", b"red", last=entry.revision)

    Attributes:
        bucket: its name.
        stream_name: the stream that it is made of.
        js: the JetStream context that it is reached through.
    """

    def typed(self, model: type[T]) -> TypedKeyValue[T]:
        """The bucket with values of one type, validated by pydantic when they are put and when they are read.

        Args:
            model: a pydantic model, a dataclass, a TypedDict, ``list[int]`` …

        Raises:
            MissingExtraError: pydantic is not installed.
            ConfigError: no type that pydantic can validate.
        """
        return TypedKeyValue(self, model)
