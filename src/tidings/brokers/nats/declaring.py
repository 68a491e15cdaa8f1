"""Streams and consumers that subscribers read from: looked up or made, and never changed unasked.

===========  =====================  =====================  ======================================
`declare`    it is not there        it is there as asked   it is there otherwise
===========  =====================  =====================  ======================================
"create"     made                   taken                  SetupError that names the differences
"update"     made                   taken                  changed, where it differs
"never"      SetupError             taken                  SetupError that names the differences
===========  =====================  =====================  ======================================

What an option leaves to the server differs from nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidings.messaging.errors import SetupError, TidingsError
from tidings.nats import Error, TimeoutError
from tidings.nats.jetstream import Consumer, ConsumerConfig, JetStream, OrderedConsumer, Stream, StreamConfig
from tidings.nats.jetstream.errors import (
    ApiError,
    ApiLevelError,
    ConfigError,
    ConsumerExistsError,
    ConsumerNotFoundError,
    JetStreamUnavailableError,
    StreamNameInUseError,
    StreamNotFoundError,
)

from .errors import translated
from .options import CONSUMER_OPTIONS, NatsSource

__all__ = ["consumer_config", "declare", "differs", "settles"]


async def declare(js: JetStream, source: NatsSource) -> Consumer | OrderedConsumer:
    """The consumer that the messages of `source` come from.

    Raises:
        SetupError: it is not as the source says, or cannot be made.
        BrokerConnectionError, RequestTimeoutError: the server does not answer.
    """
    try:
        stream = await _stream(js, source)
        if source.dead_letter is not None:
            await _check_dead_letter(js, source.dead_letter)
        if source.ordered:
            options = {name: getattr(source, name) for name in source.given(CONSUMER_OPTIONS)}
            return stream.ordered_consumer(filter_subjects=_filters(source), **options)
        return await _consumer(stream, source)
    except Error as error:
        raise _refused(source, error) from error


def settles(source: NatsSource) -> bool:
    """Whether the consumer of `source` wants to hear what became of its messages. Raises as `declare`."""
    if source.stream is None or source.ordered:
        return False
    policy = consumer_config(source).ack_policy
    if policy == "all":
        raise SetupError(f"{source.subject!r}: each message is settled by itself, not with ack_policy 'all'")
    return policy != "none"


def consumer_config(source: NatsSource) -> ConsumerConfig:
    """The config that `source` asks for. SetupError for one that cannot be."""
    try:
        config = source.config
        if config is None:
            options = {name: getattr(source, name) for name in source.given(CONSUMER_OPTIONS)}
            config = ConsumerConfig(durable_name=source.durable, **options)
        elif config.deliver_subject:
            raise ConfigError("a consumer with deliver_subject pushes, and subscribers pull")
        if not config.filters:
            filters = _filters(source)
            only = filters[0] if len(filters) == 1 else ""  # as the server tells of it then
            config = replace(config, filter_subject=only, filter_subjects=[] if only else filters)
        config.check()
    except Error as error:
        raise _refused(source, error) from error
    return config


def _filters(source: NatsSource) -> list[str]:
    return list(source.filter_subjects) or [source.pattern.subject]


async def _stream(js: JetStream, source: NatsSource) -> Stream:
    wanted = source.stream
    name = wanted.name if isinstance(wanted, StreamConfig) else str(wanted)
    try:
        stream = await js.stream(name)
    except StreamNotFoundError:
        if not isinstance(wanted, StreamConfig) or source.declare == "never":
            raise SetupError(
                f"there is no stream {name!r} for the subscriber of {source.subject!r}. Make it, or have it "
                f"made at the start: stream=StreamConfig(name={name!r}, subjects=[…]); how long it keeps "
                "messages, and how many, is yours to say"
            ) from None
        try:
            return await js.create_stream(wanted)
        except StreamNameInUseError:  # made by somebody else meanwhile
            stream = await js.stream(name)
    if isinstance(wanted, StreamConfig):
        there = stream.cached_info.config
        if differences := wanted.differences(there):
            if source.declare != "update":
                raise differs(f"stream {name!r}", differences)
            changed = {field: here for field, (here, _) in differences.items()}
            stream = await js.update_stream(replace(there, **changed))
    return stream


async def _consumer(stream: Stream, source: NatsSource) -> Consumer:
    config = consumer_config(source)
    name = config.durable_name or config.name
    if not name:
        return await stream.create_consumer(config)
    try:
        consumer = await stream.consumer(name)
    except ConsumerNotFoundError:
        if source.declare == "never":
            raise SetupError(f"there is no consumer {name!r} of stream {stream.name!r}") from None
        try:
            return await stream.create_consumer(config)
        except ConsumerExistsError:  # made by somebody else meanwhile
            consumer = await stream.consumer(name)
    there = consumer.cached_info.config
    if differences := config.differences(there):
        if source.declare != "update":
            raise differs(f"consumer {name!r} of stream {stream.name!r}", differences)
        changed = {field: here for field, (here, _) in differences.items()}
        consumer = await stream.update_consumer(replace(there, **changed))
    return consumer


async def _check_dead_letter(js: JetStream, subject: str) -> None:
    try:
        await js.find_stream(subject)
    except StreamNotFoundError:
        raise SetupError(
            f"no stream stores the dead letters of {subject!r}: make one that has the subject, so that none "
            "is lost"
        ) from None
    except TimeoutError:
        pass  # who may not ask finds out when the first one is refused, and keeps its message


def differs(what: str, differences: Mapping[str, tuple[Any, Any]]) -> SetupError:
    """The error for what is there otherwise than asked for."""
    listed = "; ".join(f"{name} is {there!r}, not {here!r}" for name, (here, there) in differences.items())
    return SetupError(
        f"{what} is there with other settings, and is left as it is: {listed}. Say what it has, or change it "
        "with declare='update'"
    )


def _refused(source: NatsSource, error: Error) -> TidingsError:
    if isinstance(error, JetStreamUnavailableError):
        return SetupError(f"the server has no JetStream for the subscriber of {source.subject!r}: {error}")
    if isinstance(error, (ApiError, ApiLevelError, ConfigError)):
        return SetupError(f"the subscriber of {source.subject!r}: {error}")
    return translated(error)
