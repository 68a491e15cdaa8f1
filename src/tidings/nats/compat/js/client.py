"""`nats.js.client`: nats-py's JetStream over ours."""

from __future__ import annotations

from dataclasses import replace

from tidings.nats.compat.aio.msg import Msg
from tidings.nats.compat.border import translates
from tidings.nats.compat.js import api, errors, subscriptions
from tidings.nats.compat.js.buckets import Buckets
from tidings.nats.compat.js.manager import JetStreamManager
from tidings.nats.compat.js.subscriptions import Callback, OrderedSubscription
from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.jetstream import ConsumerConfig as NativeConfig
from tidings.nats.jetstream import ConsumerInfo as NativeInfo
from tidings.nats.jetstream import OrderedConsumer

__all__ = ["JetStreamContext"]

DEFAULT_JS_SUB_PENDING_MSGS_LIMIT = 512 * 1024
DEFAULT_JS_SUB_PENDING_BYTES_LIMIT = 256 * 1024 * 1024
KV_MAX_HISTORY = 64

_ORDERED_HEARTBEAT = 5.0


class JetStreamContext(Buckets):
    """Publishes to streams and reads from them.

    Args:
        conn: the client.
        prefix, domain: first tokens of the API's subjects, or a domain in their place.
        timeout: seconds for each request.
        publish_async_max_pending: async publishes that may wait for their acknowledgement at once.
    """

    PushSubscription = subscriptions.PushSubscription
    PullSubscription = subscriptions.PullSubscription

    @property
    def _jsm(self) -> JetStreamManager:
        return self

    # Subscribing

    async def subscribe(
        self,
        subject: str,
        queue: str | None = None,
        cb: Callback | None = None,
        durable: str | None = None,
        stream: str | None = None,
        config: api.ConsumerConfig | None = None,
        manual_ack: bool = False,
        ordered_consumer: bool = False,
        idle_heartbeat: float | None = None,
        flow_control: bool = False,
        pending_msgs_limit: int = DEFAULT_JS_SUB_PENDING_MSGS_LIMIT,
        pending_bytes_limit: int = DEFAULT_JS_SUB_PENDING_BYTES_LIMIT,
        deliver_policy: api.DeliverPolicy | None = None,
        headers_only: bool | None = None,
        inactive_threshold: float | None = None,
    ) -> subscriptions.PushSubscription | OrderedSubscription:
        """Subscribe to messages that a push consumer sends; it is made unless it is there.

        With `cb` a message is acknowledged when that returns, unless `manual_ack`.
        """
        if stream is None:
            stream = await self.find_stream_name_by_subject(subject)
        if queue:
            if durable and durable != queue:
                raise errors.Error(f"cannot create queue subscription '{queue}' to consumer '{durable}'")
            durable = queue
        info = await self._find(stream, durable) if durable else None
        if info is not None:
            _check_joined(info, queue)
        else:
            config = replace(config or api.ConsumerConfig())
            config.durable_name = config.durable_name or durable
            config.deliver_group = config.deliver_group or queue
            config.headers_only = config.headers_only or headers_only
            config.deliver_policy = deliver_policy or config.deliver_policy
            config.inactive_threshold = inactive_threshold or config.inactive_threshold
            config.flow_control = flow_control
            config.idle_heartbeat = idle_heartbeat or config.idle_heartbeat
            if not config.filter_subjects:
                config.filter_subject = subject
            if ordered_consumer:
                return await self._ordered(stream, subject, config, cb)
            if config.deliver_subject is None:
                config.deliver_subject = self._nc.new_inbox()
            info = await self.add_consumer(stream, config)
        return await self.subscribe_bind(
            stream,
            info.config,
            info.name,
            cb,
            manual_ack,
            pending_msgs_limit=pending_msgs_limit,
            pending_bytes_limit=pending_bytes_limit,
        )

    @translates
    async def subscribe_bind(
        self,
        stream: str,
        config: api.ConsumerConfig,
        consumer: str,
        cb: Callback | None = None,
        manual_ack: bool = False,
        ordered_consumer: bool = False,
        pending_msgs_limit: int = DEFAULT_JS_SUB_PENDING_MSGS_LIMIT,
        pending_bytes_limit: int = DEFAULT_JS_SUB_PENDING_BYTES_LIMIT,
    ) -> subscriptions.PushSubscription | OrderedSubscription:
        """Subscribe to the messages that a consumer sends."""
        if config.deliver_subject is None:
            raise TypeError("config.deliver_subject is required")
        if ordered_consumer:
            return await self._ordered(stream, config.filter_subject or ">", config, cb)
        info = NativeInfo(stream_name=stream, name=consumer, config=NativeConfig.from_wire(config.as_dict()))
        limits = SubscriptionLimits(msgs=max(pending_msgs_limit, 0), bytes=max(pending_bytes_limit, 0))
        sub = subscriptions.PushSubscription(self, info, cb, limits, acks=not manual_ack)
        sub.begin()
        return sub

    async def _find(self, stream: str, consumer: str) -> api.ConsumerInfo | None:
        try:
            return await self.consumer_info(stream, consumer)
        except errors.NotFoundError:
            return None

    @translates
    async def _ordered(
        self, stream: str, subject: str, config: api.ConsumerConfig, cb: Callback | None
    ) -> OrderedSubscription:
        wanted = NativeConfig.from_wire(config.as_dict())
        consumer = OrderedConsumer(
            self._context.api,
            stream,
            filter_subjects=wanted.filters or [subject],
            deliver_policy=wanted.deliver_policy,
            opt_start_seq=wanted.opt_start_seq,
            opt_start_time=wanted.opt_start_time,
            replay_policy=wanted.replay_policy,
            headers_only=wanted.headers_only,
        )
        heartbeat = config.idle_heartbeat or _ORDERED_HEARTBEAT
        messages = consumer.messages(expires=max(2 * heartbeat, 30.0), heartbeat=heartbeat)
        await messages.open()
        return OrderedSubscription(self, stream, subject, messages, cb)

    async def pull_subscribe(
        self,
        subject: str,
        durable: str | None = None,
        stream: str | None = None,
        config: api.ConsumerConfig | None = None,
        pending_msgs_limit: int = DEFAULT_JS_SUB_PENDING_MSGS_LIMIT,
        pending_bytes_limit: int = DEFAULT_JS_SUB_PENDING_BYTES_LIMIT,
        inbox_prefix: bytes | None = None,
    ) -> subscriptions.PullSubscription:
        """Fetch messages from a consumer; it is made unless it is there."""
        if stream is None:
            stream = await self.find_stream_name_by_subject(subject)
        consumer = durable
        if consumer is None or await self._find(stream, consumer) is None:
            consumer = consumer or self._nc.new_inbox().rpartition(".")[2]
            config = replace(config or api.ConsumerConfig(), name=consumer)
            config.durable_name = durable or config.durable_name
            if not config.filter_subjects:
                config.filter_subject = subject
            await self.add_consumer(stream, config)
        return await self.pull_subscribe_bind(consumer, stream, inbox_prefix)

    async def pull_subscribe_bind(
        self,
        consumer: str | None = None,
        stream: str | None = None,
        inbox_prefix: bytes | None = None,
        pending_msgs_limit: int = DEFAULT_JS_SUB_PENDING_MSGS_LIMIT,
        pending_bytes_limit: int = DEFAULT_JS_SUB_PENDING_BYTES_LIMIT,
        name: str | None = None,
        durable: str | None = None,
    ) -> subscriptions.PullSubscription:
        """Fetch messages from a consumer that is there; `durable` and `name` are the same as `consumer`."""
        if not stream:
            raise ValueError("nats: stream name is required")
        return subscriptions.PullSubscription(self, stream, durable or name or consumer or "", inbox_prefix)

    @classmethod
    def is_status_msg(cls, msg: Msg | None) -> str | None:
        """The status that a message carries, or None."""
        if msg is None or msg.headers is None:
            return None
        return msg.headers.get("Status")


def _check_joined(info: api.ConsumerInfo, queue: str | None) -> None:
    """Refuse to join a consumer that is another one than was asked for."""
    group = info.config.deliver_group
    if group and not queue:
        raise errors.Error(f"cannot create a subscription for a consumer with a deliver group {group}")
    if group and queue != group:
        raise errors.Error(
            f"cannot create a queue subscription {queue} for a consumer with a deliver group {group}"
        )
    if not group and queue:
        raise errors.Error("cannot create a queue subscription for a consumer without a deliver group")
    if not group and info.push_bound:
        raise errors.Error("consumer is already bound to a subscription")
