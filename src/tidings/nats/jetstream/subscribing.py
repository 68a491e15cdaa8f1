"""Subscriptions to streams in one step, as nats-py has them: find the stream, make a consumer, read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tidings.nats.core.options import DEFAULT_LIMITS, SubscriptionLimits
from tidings.nats.errors import TimeoutError
from tidings.nats.jetstream.api import Part
from tidings.nats.jetstream.consume import Consuming, JetStreamCallback
from tidings.nats.jetstream.consumer import Consumer
from tidings.nats.jetstream.consumer_config import ConsumerConfig, DeliverPolicy
from tidings.nats.jetstream.consumers import ConsumersOfStream
from tidings.nats.jetstream.errors import (
    ConfigError,
    ConsumerNotFoundError,
    NotFoundError,
    StreamNotFoundError,
)
from tidings.nats.jetstream.infos import ConsumerInfo
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.ordered import OrderedConsumer
from tidings.nats.jetstream.ordered_messages import OrderedMessages
from tidings.nats.jetstream.push import PushSubscription

__all__ = ["OrderedSubscription", "PullSubscription", "Subscribing"]

_ORDERED_HEARTBEAT = 5.0


class PullSubscription:
    """A pull consumer as nats-py has it; made by `JetStream.pull_subscribe`. `consumer` has more to offer.

    Attributes:
        consumer: the consumer that is pulled from.
        delivered: messages that `fetch` returned.
    """

    def __init__(self, consumer: Consumer, deletes: bool) -> None:
        self.consumer = consumer
        self.delivered = 0
        self._deletes = deletes

    async def fetch(
        self, batch: int = 1, timeout: float = 5.0, heartbeat: float | None = None
    ) -> list[JetStreamMsg]:
        """Messages, at most `batch`, at least one.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            The rest as `Consumer.fetch`, which returns an empty list instead.
        """
        found = await self.consumer.fetch(batch, timeout, heartbeat=heartbeat)
        if not found:
            raise TimeoutError(f"no message of consumer {self.consumer.name!r} within {timeout} s")
        self.delivered += len(found)
        return found

    async def consumer_info(self) -> ConsumerInfo:
        """What the server tells of the consumer. Raises ConsumerNotFoundError when it is gone."""
        return await self.consumer.info()

    async def unsubscribe(self) -> None:
        """Be done with it: a consumer without a durable name that was made for it is deleted."""
        if self._deletes:
            self._deletes = False
            with suppress(NotFoundError):  # which is what is wanted
                await self.consumer.delete()


class OrderedSubscription:
    """An ordered consumer with the face of a subscription; made by `JetStream.subscribe`."""

    def __init__(self, messages: OrderedMessages, callback: JetStreamCallback | None) -> None:
        self._messages = messages
        self._consuming = Consuming(messages, callback, 1) if callback is not None else None

    @property
    def messages(self) -> AsyncIterator[JetStreamMsg]:
        """An iterator over the messages."""
        return self._messages

    @property
    def pending_msgs(self) -> int:
        """Messages that came and were not taken."""
        return self._messages.pending_msgs

    def __aiter__(self) -> AsyncIterator[JetStreamMsg]:
        return self._messages

    async def next_msg(self, timeout: float | None = 1.0) -> JetStreamMsg:
        """The next message. Raises TimeoutError when none came within `timeout` seconds."""
        return await self._messages.next(timeout)

    async def unsubscribe(self) -> None:
        """End it now, and have the server forget the consumer."""
        self._messages.stop()
        if self._consuming is not None:
            await self._consuming.closed()
        await self._messages.aclose()

    async def drain(self, timeout: float | None = None) -> None:
        """End it when what came is handled. Raises DrainTimeoutError."""
        await self._messages.drain(timeout)


class Subscribing(Part):
    """The part of `JetStream` that finds the stream of a subject, makes a consumer and reads from it."""

    async def subscribe(
        self,
        subject: str,
        queue: str | None = None,
        cb: JetStreamCallback | None = None,
        durable: str | None = None,
        stream: str | None = None,
        config: ConsumerConfig | None = None,
        manual_ack: bool = False,
        ordered_consumer: bool = False,
        idle_heartbeat: float | timedelta | None = None,
        flow_control: bool = False,
        pending_msgs_limit: int = DEFAULT_LIMITS.msgs,
        pending_bytes_limit: int = DEFAULT_LIMITS.bytes,
        deliver_policy: DeliverPolicy | None = None,
        headers_only: bool | None = None,
        inactive_threshold: float | timedelta | None = None,
    ) -> PushSubscription | OrderedSubscription:
        """Subscribe to messages of a stream, which a push consumer sends.

        A durable consumer that is there already is joined. `Stream.create_consumer` and
        `Consumer.messages` are the better way for new programs: there the reader sets the pace.

        Args:
            subject: what to read; it also finds the stream.
            queue: queue group; each message goes to one member. Also the durable name, if none is given.
            cb: called with each message, plain or async. Without it read with ``async for`` or ``next_msg``.
            durable: name of a consumer that stays when nobody listens.
            stream: its name, which saves the search.
            config: the rest of the consumer's config.
            manual_ack: leave acknowledging to `cb`; otherwise a message is acknowledged when it returns.
            ordered_consumer: each message once and in order, see `OrderedConsumer`; nothing is acknowledged.
            idle_heartbeat: seconds between signs of life of an idle server; two missed are reported.
            flow_control: let the server hold back while we do not keep up; it needs `idle_heartbeat`.
            pending_msgs_limit, pending_bytes_limit: held for a slow reader; more is dropped, and redelivered.
            deliver_policy, headers_only, inactive_threshold: in the place of those of `config`.

        Raises:
            StreamNotFoundError: no stream takes messages on `subject`.
            ConfigError: what does not go together.
            ConsumerExistsError, InvalidConfigError: as `Stream.create_consumer`.
            ConnectionClosedError, ConnectionDrainingError: the client is closed.
        """
        given: dict[str, Any] = {
            "idle_heartbeat": idle_heartbeat,
            "flow_control": flow_control or None,
            "deliver_policy": deliver_policy,
            "headers_only": headers_only,
            "inactive_threshold": inactive_threshold,
        }
        wanted = replace(
            config or ConsumerConfig(), **{name: value for name, value in given.items() if value is not None}
        )
        stream = stream or await self._stream_of(subject)
        if ordered_consumer:
            if queue or durable or manual_ack:
                raise ConfigError(
                    "an ordered consumer has no queue, no durable name, and acknowledges nothing"
                )
            return self._ordered(stream, subject, wanted, cb)
        if queue and (wanted.idle_heartbeat or wanted.flow_control):
            raise ConfigError(
                "a queue group has neither idle_heartbeat nor flow_control: one member would get all"
            )
        durable = durable or wanted.durable_name or queue or ""
        info = await self._find(stream, durable) if durable else None
        made = info is None
        if info is None:
            info = await self._make(
                stream,
                subject,
                replace(
                    wanted,
                    durable_name=durable,
                    name=wanted.name or durable,
                    deliver_subject=wanted.deliver_subject or self.api.connection.new_inbox(),
                    deliver_group=queue or wanted.deliver_group,
                ),
            )
        _check_joined(info, subject, queue or "", made)
        limits = SubscriptionLimits(msgs=pending_msgs_limit, bytes=pending_bytes_limit)
        sub = PushSubscription(
            self.api, info, cb, limits, acks=not manual_ack, deletes=made and not info.config.durable_name
        )
        sub.begin()
        return sub

    async def pull_subscribe(
        self,
        subject: str,
        durable: str | None = None,
        stream: str | None = None,
        config: ConsumerConfig | None = None,
    ) -> PullSubscription:
        """Fetch messages of a stream from a pull consumer; a durable one that is there already is joined.

        Args:
            subject: what to read; it also finds the stream.
            durable: name of a consumer that stays when nobody fetches.
            stream: its name, which saves the search.
            config: the rest of the consumer's config.

        Raises:
            StreamNotFoundError: no stream takes messages on `subject`.
            ConfigError: the consumer of that name pushes.
            ConsumerExistsError, InvalidConfigError: as `Stream.create_consumer`.
        """
        wanted = config or ConsumerConfig()
        stream = stream or await self._stream_of(subject)
        durable = durable or wanted.durable_name
        info = await self._find(stream, durable) if durable else None
        made = info is None
        if info is None:
            info = await self._make(
                stream, subject, replace(wanted, durable_name=durable, name=wanted.name or durable)
            )
        if info.config.deliver_subject:
            raise ConfigError(f"consumer {info.name!r} pushes: use subscribe")
        return PullSubscription(Consumer(self.api, info), deletes=made and not info.config.durable_name)

    async def _stream_of(self, subject: str) -> str:
        names: list[Any] = [
            name async for name in self.api.pages("STREAM.NAMES", "streams", {"subject": subject})
        ]
        if len(names) != 1:
            if names:
                raise ConfigError(f"{len(names)} streams take messages on {subject!r}: give the stream")
            raise StreamNotFoundError(404, 0, f"no stream takes messages on {subject!r}")
        return str(names[0])

    async def _find(self, stream: str, name: str) -> ConsumerInfo | None:
        try:
            return await ConsumersOfStream(self.api, stream).consumer_info(name)
        except ConsumerNotFoundError:
            return None

    async def _make(self, stream: str, subject: str, config: ConsumerConfig) -> ConsumerInfo:
        if not config.filters:
            config = replace(config, filter_subject=subject)
        consumer = await ConsumersOfStream(self.api, stream).create_consumer(config)
        return consumer.cached_info

    def _ordered(
        self, stream: str, subject: str, config: ConsumerConfig, cb: JetStreamCallback | None
    ) -> OrderedSubscription:
        subjects: Sequence[str] = config.filters or [subject]
        consumer = OrderedConsumer(
            self.api,
            stream,
            filter_subjects=subjects,
            deliver_policy=config.deliver_policy,
            opt_start_seq=config.opt_start_seq,
            opt_start_time=config.opt_start_time,
            replay_policy=config.replay_policy,
            headers_only=config.headers_only,
        )
        heartbeat = config.idle_heartbeat or _ORDERED_HEARTBEAT
        return OrderedSubscription(
            consumer.messages(expires=max(2 * heartbeat, 30.0), heartbeat=heartbeat), cb
        )


def _check_joined(info: ConsumerInfo, subject: str, queue: str, made: bool) -> None:
    """Refuse to join a consumer that is another one than was asked for."""
    config = info.config
    if not config.deliver_subject:
        raise ConfigError(f"consumer {info.name!r} is pulled from: use pull_subscribe")
    if made:
        return
    if config.deliver_group != queue:
        raise ConfigError(
            f"consumer {info.name!r} delivers to queue group {config.deliver_group!r}, not {queue!r}"
        )
    if not queue and info.push_bound:
        raise ConfigError(f"consumer {info.name!r} has a subscriber already; share it by a queue group")
    if config.filters and subject not in config.filters:
        raise ConfigError(f"consumer {info.name!r} reads {', '.join(config.filters)}, not {subject!r}")
