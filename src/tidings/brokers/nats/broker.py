"""`NatsBroker`: a service's connection to NATS."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast, overload

from tidings.messaging.batches import composed
from tidings.messaging.broker import BrokerKeywords, BrokerOptions
from tidings.messaging.durations import check_timeout
from tidings.messaging.logs import logger_for
from tidings.messaging.middleware import Outgoing
from tidings.messaging.publisher import PublisherMethod
from tidings.messaging.schedules.scheduling import SchedulingBroker
from tidings.messaging.subscriber import SubscriberMethod
from tidings.nats import Client, ConnectOptions

from .adapter import NatsAdapter
from .endpoints import EndpointSubscriber, NatsEndpoint
from .message import NatsMessage
from .options import NatsDestination, NatsKeywords, NatsSource

if TYPE_CHECKING:  # JetStream is loaded by who uses it
    from tidings.nats.jetstream import (
        ContextOptions,
        KeyValue,
        KeyValueConfig,
        ObjectStore,
        ObjectStoreConfig,
        PubAck,
        PublishOptions,
    )
    from tidings.nats.jetstream.kv import KeyCodec, ValueCodec

__all__ = ["NatsBroker"]


class NatsBroker(SchedulingBroker[NatsAdapter]):
    """A service's connection to NATS, with the handlers that listen on it::

        broker = NatsBroker("nats://localhost:4222")

        @broker.subscriber("orders.{shop}", queue="workers")
        @broker.publisher("receipts")
        async def handle(order: Order, shop: str = Path()) -> Receipt: ...

        async with broker:
            await broker.publish(order, "orders.berlin")

    Args:
        servers: one URL, several with commas between, or a sequence; None for those of the variable
            TIDINGS_NATS_SERVERS, or else nats://localhost:4222.
        jetstream: where and how streams are reached, as `JetStreamOptions` says: ``{"domain": "hub"}``.
        options: those of every broker (`BrokerOptions`) and those of the NATS client
            (`tidings.nats.Options`), for example ``name="shop", max_reconnect_attempts=-1``.

    `subscriber` takes what `NatsSource` takes, `endpoint` what `NatsEndpoint` takes, `publisher` what
    `NatsDestination` takes.
    """

    subscriber = SubscriberMethod(NatsSource)
    endpoint = SubscriberMethod(NatsEndpoint, EndpointSubscriber)
    publisher = PublisherMethod(NatsDestination)

    def __init__(
        self,
        servers: str | Sequence[str] | None = None,
        *,
        jetstream: "ContextOptions | None" = None,
        **options: Unpack[NatsKeywords],
    ) -> None:
        of_broker = {key: value for key, value in options.items() if key in _OF_BROKER}
        of_client = {key: value for key, value in options.items() if key not in _OF_BROKER}
        declared = BrokerOptions(**cast(BrokerKeywords, of_broker))
        logger = logger_for(declared.logger)
        adapter = NatsAdapter(servers, cast(ConnectOptions, of_client), logger, jetstream)
        super().__init__(adapter, declared)

    @property
    def client(self) -> Client:
        """The native client, with all that NATS can do. NotConnectedError before `connect`."""
        return self.adapter.client

    @overload
    async def publish(
        self,
        message: Any,
        subject: str,
        *,
        headers: Mapping[str, str] | None = None,
        reply_to: str = "",
        correlation_id: str = "",
    ) -> None: ...
    @overload
    async def publish(
        self,
        message: Any,
        subject: str,
        *,
        stream: str,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
        timeout: float | None = None,
        **options: "Unpack[PublishOptions]",
    ) -> "PubAck": ...
    async def publish(
        self,
        message: Any,
        subject: str,
        *,
        stream: str = "",
        headers: Mapping[str, str] | None = None,
        reply_to: str = "",
        correlation_id: str = "",
        timeout: float | None = None,
        **options: Any,
    ) -> "PubAck | None":
        """Publish a message, to whoever listens or into a stream.

        Args:
            message: the value; see `messaging.bodies.codec` for how it becomes a body.
            subject: a literal subject.
            stream: the stream that must store it; returns when it has, with its acknowledgement.
            headers: sent along.
            reply_to: the subject for answers; not for a stream.
            correlation_id: by default that of the message being handled, else a new one.
            timeout: seconds for the stream's acknowledgement; None is 5. SetupError for what is no number.
            options: what the message asks of its stream: ``msg_id``, ``expected_last_seq``, ``ttl``,
                ``schedule`` and more, see `tidings.nats.jetstream.PublishOptions`.

        Raises:
            NotConnectedError: `connect` or `start` was not called.
            PublishError: the message has no JSON form, or NATS does not take it, or does not say so in time.
        """
        if not (stream or options or self.publish_layers or timeout is not None):
            await self.adapter.publish(subject, *self.compose(message, headers, correlation_id), reply_to)
            return None
        if timeout is not None:
            check_timeout(timeout)
        send: Callable[[bytes, Mapping[str, str]], Awaitable[Any]]
        if stream:
            if reply_to:
                raise TypeError("reply_to and stream: what a stream stores asks for no answer")
            given = cast("PublishOptions", options)
            to_stream = self.adapter.publish_to_stream
            send = partial(to_stream, subject, stream=stream, timeout=timeout, options=given)
        elif options or timeout is not None:
            raise TypeError(f"{', '.join(options) or 'timeout'}: for a stream, so say stream=")
        else:
            send = partial(self.adapter.publish, subject, reply_to=reply_to)
        if self.publish_layers:
            outgoing = Outgoing(message, subject, dict(headers or {}), correlation_id)
            acknowledged: PubAck | None
            acknowledged = await self.publish_through(self.publish_layers, outgoing, send)
            return acknowledged
        acknowledged = await send(*self.compose(message, headers, correlation_id))
        return acknowledged

    @overload
    async def publish_batch(
        self,
        *messages: Any,
        subject: str,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
    ) -> None: ...
    @overload
    async def publish_batch(
        self,
        *messages: Any,
        subject: str,
        stream: str,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
        timeout: float | None = None,
    ) -> "PubAck | None": ...
    async def publish_batch(
        self,
        *messages: Any,
        subject: str,
        stream: str = "",
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
        timeout: float | None = None,
    ) -> "PubAck | None":
        """Publish messages: one after the other, or into a stream, which stores all of them or none.

        Nothing is sent where one of them cannot be. A stream for several needs ``allow_atomic``, nats-server
        2.12, and takes 1,000 at once.

        Args:
            messages: values, or a `NatsResponse` for one that has headers, a ``msg_id`` or an expectation of
                its own.
            subject, headers, correlation_id: as for `publish`, of all of them.
            stream: the stream that must store them.
            timeout: seconds for each of its acknowledgements; None is 5.

        Returns:
            The stream's acknowledgement, ``seq`` is that of the last message; None without a stream, or where
            middlewares left no message.

        Raises:
            NotConnectedError, PublishError: as for `publish`. Of a stream that did not answer in time it may
                have stored all of them.
        """
        if timeout is not None and not stream:
            raise TypeError("timeout: for a stream, so say stream=")
        if timeout is not None:
            check_timeout(timeout)
        batch = await composed(self, messages, subject, headers, correlation_id)
        if stream:
            return await self.adapter.publish_batch(subject, batch, stream, timeout) if batch else None
        send = self.adapter.sender(NatsDestination(subject))
        for each, its_own in [(each, each.response.sender(send)) for each in batch]:
            await its_own(each.body, each.headers)
        return None

    async def request(
        self,
        message: Any,
        subject: str,
        *,
        timeout: float = 0.5,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
    ) -> NatsMessage:
        """Publish a message and return the answer to it.

        Args:
            message, subject, headers, correlation_id: as for `publish`.
            timeout: seconds.

        Raises:
            SetupError: the timeout is no number.
            RemoteError: the other side failed; it says how.
            RequestTimeoutError: no answer came in time.
            NoRespondersError: nobody listens to the subject.
            NotConnectedError, PublishError: as for `publish`.
        """
        destination = NatsDestination(subject)
        if self.publish_layers:
            outgoing = Outgoing(message, subject, dict(headers or {}), correlation_id)
            ask = partial(self.adapter.request, destination, timeout=timeout)
            return cast(NatsMessage, await self.publish_through(self.publish_layers, outgoing, ask))
        body, composed = self.compose(message, headers, correlation_id)
        return await self.adapter.request(destination, body, composed, timeout)

    async def key_value(
        self,
        bucket: "str | KeyValueConfig",
        *,
        declare: Literal["create", "update", "never"] = "create",
        key_codec: "KeyCodec | None" = None,
        value_codec: "ValueCodec | None" = None,
    ) -> "KeyValue":
        """A key-value bucket of the client, with all that it can do.

        Args:
            bucket: its name or its config; one that is not there is made, with the defaults if only named.
            declare: "create" makes what is not there, "update" also changes what is there otherwise, "never"
                does neither.
            key_codec, value_codec: how keys and values are stored.

        Raises:
            NotConnectedError: `connect` or `start` was not called.
            SetupError: it is not there and must not be made, or is there with another config.
            BrokerConnectionError, RequestTimeoutError: the server does not answer.
        """
        from .buckets import open_bucket

        return await open_bucket(self.adapter.jetstream, bucket, declare, key_codec, value_codec)

    async def object_store(
        self,
        bucket: "str | ObjectStoreConfig",
        *,
        declare: Literal["create", "update", "never"] = "create",
    ) -> "ObjectStore":
        """An object store of the client, with all that it can do. Args and errors as `key_value`."""
        from .buckets import open_object_store

        return await open_object_store(self.adapter.jetstream, bucket, declare)


_OF_BROKER = frozenset(BrokerKeywords.__annotations__)
