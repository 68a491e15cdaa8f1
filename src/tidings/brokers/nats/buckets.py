"""Buckets that services use: looked up or made, and never changed unasked. As `declaring` says.

One that is asked for by its name alone is taken as it is, and made with the defaults.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

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

__all__ = ["Declare", "open_bucket", "open_object_store", "refused"]

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
    config = wanted if isinstance(wanted, KeyValueConfig) else KeyValueConfig(bucket=wanted)
    return await _opened(
        config,
        config is wanted,
        declare,
        lambda: js.key_value(config.bucket, key_codec=key_codec, value_codec=value_codec),
        lambda: js.create_key_value(config, key_codec=key_codec, value_codec=value_codec),
        lambda: js.update_key_value(config, key_codec=key_codec, value_codec=value_codec),
    )


async def open_object_store(
    js: JetStream, wanted: str | ObjectStoreConfig, declare: Declare = "create"
) -> ObjectStore:
    """The object store of that name or config. Raises as `open_bucket`."""
    config = wanted if isinstance(wanted, ObjectStoreConfig) else ObjectStoreConfig(bucket=wanted)
    return await _opened(
        config,
        config is wanted,
        declare,
        lambda: js.object_store(config.bucket),
        lambda: js.create_object_store(config),
        lambda: js.update_object_store(config),
    )


async def _opened(
    config: KeyValueConfig | ObjectStoreConfig,
    is_asked_for: bool,
    declare: Declare,
    look: Callable[[], Awaitable[B]],
    make: Callable[[], Awaitable[B]],
    change: Callable[[], Awaitable[B]],
) -> B:
    """The bucket, made where it is not there; compared with the config if who wants it gave one."""
    name = config.bucket
    try:
        try:
            bucket = await look()
        except StreamNotFoundError:
            if declare == "never":
                raise SetupError(
                    f"there is no bucket {name!r}. Make it, or have it made: leave out declare='never'"
                ) from None
            try:
                return await make()
            except StreamNameInUseError:  # made by somebody else meanwhile
                bucket = await look()
        if is_asked_for:
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
