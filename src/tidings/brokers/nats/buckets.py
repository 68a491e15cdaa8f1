"""Key-value buckets that services use: looked up or made, and never changed unasked. As `declaring` says."""

from typing import Literal

from tidings.messaging.errors import SetupError, TidingsError
from tidings.nats import Error
from tidings.nats.jetstream import JetStream, KeyValue, KeyValueConfig
from tidings.nats.jetstream.errors import ApiError, ApiLevelError, ConfigError, JetStreamUnavailableError
from tidings.nats.jetstream.kv import KeyCodec, ValueCodec
from tidings.nats.jetstream.kv.errors import BucketExistsError, BucketNotFoundError

from .declaring import differs
from .errors import translated

__all__ = ["open_bucket", "refused"]


async def open_bucket(
    js: JetStream,
    wanted: str | KeyValueConfig,
    declare: Literal["create", "update", "never"] = "create",
    key_codec: KeyCodec | None = None,
    value_codec: ValueCodec | None = None,
) -> KeyValue:
    """The bucket of that name or config.

    Raises:
        SetupError: it is not there and must not be made, or not as its config says, or cannot be.
        BrokerConnectionError, RequestTimeoutError: the server does not answer.
    """
    config = wanted if isinstance(wanted, KeyValueConfig) else None
    name = str(wanted) if config is None else config.bucket
    try:
        try:
            kv = await js.key_value(name, key_codec=key_codec, value_codec=value_codec)
        except BucketNotFoundError:
            if config is None or declare == "never":
                raise SetupError(
                    f"there is no bucket {name!r}. Make it, or have it made: give "
                    f"KeyValueConfig(bucket={name!r}, …) in the place of its name"
                ) from None
            try:
                return await js.create_key_value(config, key_codec=key_codec, value_codec=value_codec)
            except BucketExistsError:  # made by somebody else meanwhile
                kv = await js.key_value(name, key_codec=key_codec, value_codec=value_codec)
        if config is not None:
            differences = config.to_stream().differences((await kv.status()).stream_info.config)
            if differences and declare != "update":
                raise differs(f"bucket {name!r}", differences)
            if differences:
                return await js.update_key_value(config, key_codec=key_codec, value_codec=value_codec)
    except Error as error:
        raise refused(name, error) from error
    return kv


def refused(bucket: str, error: Error) -> TidingsError:
    """The framework's error for one of a bucket."""
    if isinstance(error, JetStreamUnavailableError):
        return SetupError(f"the server has no JetStream for bucket {bucket!r}: {error}")
    if isinstance(error, (ApiError, ApiLevelError, ConfigError)):
        return SetupError(f"bucket {bucket!r}: {error}")
    return translated(error)
