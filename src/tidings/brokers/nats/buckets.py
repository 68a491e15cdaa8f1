"""Buckets that services use: looked up or made, and never changed unasked. As `declaring` says."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from tidings.messaging.errors import SetupError, TidingsError
from tidings.nats import Error
from tidings.nats.jetstream import JetStream, KeyValue, KeyValueConfig, ObjectStore, ObjectStoreConfig
from tidings.nats.jetstream.errors import (
    ApiError,
    ApiLevelError,
    ConfigError,
    JetStreamUnavailableError,
    StreamNameInUseError,
    StreamNotFoundError,
)
from tidings.nats.jetstream.kv import KeyCodec, ValueCodec

from .declaring import differs
from .errors import translated

__all__ = ["open_bucket", "open_object_store", "refused"]

Declare = Literal["create", "update", "never"]
B = TypeVar("B", KeyValue, ObjectStore)


async def open_bucket(
    js: JetStream,
    wanted: str | KeyValueConfig,
    declare: Declare = "create",
    key_codec: KeyCodec | None = None,
    value_codec: ValueCodec | None = None,
) -> KeyValue:
    """The key-value bucket of that name or config.

    Raises:
        SetupError: it is not there and must not be made, or not as its config says, or cannot be.
        BrokerConnectionError, RequestTimeoutError: the server does not answer.
    """
    config = wanted if isinstance(wanted, KeyValueConfig) else None
    name = str(wanted) if config is None else config.bucket
    return await _opened(
        KeyValueConfig,
        name,
        config,
        declare,
        lambda: js.key_value(name, key_codec=key_codec, value_codec=value_codec),
        lambda: js.create_key_value(config, key_codec=key_codec, value_codec=value_codec),
        lambda: js.update_key_value(config, key_codec=key_codec, value_codec=value_codec),
    )


async def open_object_store(
    js: JetStream, wanted: str | ObjectStoreConfig, declare: Declare = "create"
) -> ObjectStore:
    """The object store of that name or config. Raises as `open_bucket`."""
    config = wanted if isinstance(wanted, ObjectStoreConfig) else None
    name = str(wanted) if config is None else config.bucket
    return await _opened(
        ObjectStoreConfig,
        name,
        config,
        declare,
        lambda: js.object_store(name),
        lambda: js.create_object_store(config),
        lambda: js.update_object_store(config),
    )


async def _opened(
    kind: type[Any],
    name: str,
    config: KeyValueConfig | ObjectStoreConfig | None,
    declare: Declare,
    look: Callable[[], Awaitable[B]],
    make: Callable[[], Awaitable[B]],
    change: Callable[[], Awaitable[B]],
) -> B:
    try:
        try:
            bucket = await look()
        except StreamNotFoundError:
            if config is None or declare == "never":
                raise SetupError(
                    f"there is no bucket {name!r}. Make it, or have it made: give "
                    f"{kind.__name__}(bucket={name!r}, …) in the place of its name"
                ) from None
            try:
                return await make()
            except StreamNameInUseError:  # made by somebody else meanwhile
                bucket = await look()
        if config is not None:
            differences = config.to_stream().differences((await bucket.status()).stream_info.config)
            if differences and declare != "update":
                raise differs(f"bucket {name!r}", differences)
            if differences:
                return await change()
    except Error as error:
        raise refused(name, error) from error
    return bucket


def refused(bucket: str, error: Error) -> TidingsError:
    """The framework's error for one of a bucket."""
    if isinstance(error, JetStreamUnavailableError):
        return SetupError(f"the server has no JetStream for bucket {bucket!r}: {error}")
    if isinstance(error, (ApiError, ApiLevelError, ConfigError)):
        return SetupError(f"bucket {bucket!r}: {error}")
    return translated(error)
