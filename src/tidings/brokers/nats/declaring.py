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
from tidings.nats.jetstream import (
    Consumer,
    ConsumerConfig,
    ConsumerInfo,
    JetStream,
    OrderedConsumer,
    Stream,
    StreamConfig,
)
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
from tidings.nats.jetstream.reading import ReadingOptions, ReadingSettings

from .errors import translated
from .options import CONSUMER_OPTIONS, NatsSource
from .ways import Pull, Push

__all__ = ["consumer_config", "declare", "differs", "reading_options", "refused", "settles"]

_SOME_SUBJECT = "_INBOX"


async def declare(js: JetStream, source: NatsSource) -> Consumer | OrderedConsumer:
    """The consumer that the messages of `source` come from.

    Raises:
        SetupError: it is not as the source says, or cannot be made.
        BrokerConnectionError, RequestTimeoutError: the server does not answer.
    """
    try:
        ReadingSettings.of(reading_options(source))  # refused before there is a consumer
        stream = await _stream(js, source)
        if source.dead_letter is not None:
            await _check_dead_letter(js, source.dead_letter)
        if source.ordered:
            options = {name: getattr(source, name) for name in source.given(CONSUMER_OPTIONS)}
            return stream.ordered_consumer(filter_subjects=_filters(source), **options)
        return await _consumer(js, stream, source)
    except Error as error:
        raise refused(source, error) from error


def reading_options(source: NatsSource) -> ReadingOptions:
    """How a consumer that is pulled from is read."""
    batch = source.batch
    pull = source.pull or Pull(batch=max(Pull().batch, 2 * batch.size if batch else 0))
    return {
        "batch": pull.batch,
        "max_bytes": pull.max_bytes,
        "expires": pull.expires,
        "heartbeat": pull.heartbeat,
    }


def settles(source: NatsSource) -> bool:
    """Whether the consumer of `source` wants to hear what became of its messages. Raises as `declare`."""
    if source.stream is None or source.ordered:
        return False
    policy = consumer_config(source).ack_policy
    if policy == "all":
        raise SetupError(f"{source.subject!r}: each message is settled by itself, not with ack_policy 'all'")
    return policy not in ("none", "flow_control")


def consumer_config(source: NatsSource, inbox: str = _SOME_SUBJECT) -> ConsumerConfig:
    """The config that `source` asks for. SetupError for one that cannot be.

    Args:
        source: what is to be read.
        inbox: where a consumer delivers to that pushes and is not told where.
    """
    try:
        config = source.config
        if config is None:
            options = {name: getattr(source, name) for name in source.given(CONSUMER_OPTIONS)}
            config = ConsumerConfig(durable_name=source.durable, **options)
            if source.push is not None:
                config = _pushing(config, source.push, source.queue, inbox)
        if not config.filters:
            filters = _filters(source)
            only = filters[0] if len(filters) == 1 else ""  # as the server tells of it then
            config = replace(config, filter_subject=only, filter_subjects=[] if only else filters)
        config.check()
    except Error as error:
        raise refused(source, error) from error
    return config


def _pushing(config: ConsumerConfig, push: Push, queue: str, inbox: str) -> ConsumerConfig:
    return replace(
        config,
        deliver_subject=push.deliver_subject or inbox,
        deliver_group=queue,
        idle_heartbeat=None if queue else push.idle_heartbeat,
        flow_control=push.flow_control and not queue,
        rate_limit_bps=push.rate_limit_bps,
    )


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


async def _consumer(js: JetStream, stream: Stream, source: NatsSource) -> Consumer:
    config = consumer_config(source, js.api.connection.new_inbox())
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
    info = consumer.cached_info
    _check_can_be_joined(source, info)
    config = consumer_config(source, info.config.deliver_subject)
    if differences := config.differences(info.config):
        if source.declare != "update":
            raise differs(f"consumer {name!r} of stream {stream.name!r}", differences)
        changed = {field: here for field, (here, _) in differences.items()}
        consumer = await stream.update_consumer(replace(info.config, **changed))
    return consumer


def _check_can_be_joined(source: NatsSource, info: ConsumerInfo) -> None:
    """Refuse a consumer that delivers in another way, or to another one."""
    what, there = f"consumer {info.name!r} of stream {info.stream_name!r}", info.config
    if source.pushes and not there.deliver_subject:
        raise SetupError(f"{what} is pulled from: leave push= away, or name another durable")
    if there.deliver_subject and not source.pushes:
        raise SetupError(f"{what} pushes: say push=Push(), or name another durable")
    group = source.config.deliver_group if source.config is not None else source.queue
    if there.deliver_group != group:
        raise SetupError(
            f"{what} pushes to the queue group {there.deliver_group!r}, not {group!r}: say queue="
        )
    if source.pushes and info.push_bound and not group:
        raise SetupError(
            f"{what} has a subscriber already, and pushes to one: share it by a queue group, queue=, or pull"
        )


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


def refused(source: NatsSource, error: Error) -> TidingsError:
    """`error` as a subscriber tells of it."""
    if isinstance(error, JetStreamUnavailableError):
        return SetupError(f"the server has no JetStream for the subscriber of {source.subject!r}: {error}")
    if isinstance(error, (ApiError, ApiLevelError, ConfigError)):
        return SetupError(f"the subscriber of {source.subject!r}: {error}")
    return translated(error)
