"""`MemoryBroker`: the broker within the process."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

from tidings.messaging.batches import composed
from tidings.messaging.broker import BrokerKeywords, BrokerOptions
from tidings.messaging.durations import check_timeout
from tidings.messaging.errors import PublishError
from tidings.messaging.logs import logger_for
from tidings.messaging.middleware import Outgoing
from tidings.messaging.publisher import PublisherMethod
from tidings.messaging.schedules.scheduling import SchedulingBroker
from tidings.messaging.subscriber import SubscriberMethod
from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_subject

from .adapter import MemoryAdapter
from .message import MemoryMessage
from .options import MemoryDestination, MemorySource
from .server import MemoryServer

__all__ = ["MemoryBroker"]


class MemoryBroker(SchedulingBroker[MemoryAdapter]):
    """A broker within the process, with the handlers that listen on it::

        broker = MemoryBroker()

        @broker.subscriber("orders.{shop}", queue="workers", retry=Retry(attempts=3))
        @broker.publisher("receipts")
        async def handle(order: Order, shop: str = Path()) -> Receipt: ...

        async with broker:
            await broker.start()
            await broker.publish(order, "orders.berlin")

    What is published while nobody listens is gone, as on NATS. Nothing outlives the process.

    Args:
        server: what it shares with other brokers; by default one of its own.
        options: those of every broker (`BrokerOptions`).

    `subscriber` takes what `MemorySource` takes, `publisher` what `MemoryDestination` takes.
    """

    subscriber = SubscriberMethod(MemorySource)
    publisher = PublisherMethod(MemoryDestination)

    def __init__(self, server: MemoryServer | None = None, **options: Unpack[BrokerKeywords]) -> None:
        declared = BrokerOptions(**options)
        super().__init__(MemoryAdapter(server or MemoryServer(), logger_for(declared.logger)), declared)

    @property
    def client(self) -> MemoryServer:
        """The server it is connected to. NotConnectedError before `connect`."""
        return self.adapter.client

    async def publish(
        self,
        message: Any,
        subject: str,
        *,
        headers: Mapping[str, str] | None = None,
        reply_to: str = "",
        correlation_id: str = "",
        delay: float = 0.0,
    ) -> None:
        """Publish a message to whoever listens.

        Args:
            message: the value; see `messaging.bodies.codec` for how it becomes a body.
            subject: a literal subject.
            headers: sent along.
            reply_to: the subject for answers.
            correlation_id: by default that of the message being handled, else a new one.
            delay: seconds until it is delivered, to those who listen then.

        Raises:
            NotConnectedError: `connect` or `start` was not called.
            PublishError: the message has no JSON form, or the subject is none.
            SetupError: the delay is no number.
            ValueError: it is negative.
        """
        check_timeout(delay, "delay")
        if delay < 0:
            raise ValueError(f"delay is seconds, at least 0, not {delay!r}")
        if reply_to:
            _check_reply(reply_to)
        if self.publish_layers:
            outgoing = Outgoing(message, subject, dict(headers or {}), correlation_id)
            send = partial(self.adapter.publish, subject, reply_to=reply_to, delay=delay)
            await self.publish_through(self.publish_layers, outgoing, send)
            return
        body, composed = self.compose(message, headers, correlation_id)
        await self.adapter.publish(subject, body, composed, reply_to, delay)

    async def publish_batch(
        self,
        *messages: Any,
        subject: str,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
    ) -> None:
        """Publish messages, one after the other; nothing where one of them cannot be.

        Args:
            messages: values, or a `Response` for one that has headers or a correlation id of its own.
            subject, headers, correlation_id: as for `publish`, of all of them.

        Raises:
            NotConnectedError, PublishError: as for `publish`.
        """
        for each in await composed(self, messages, subject, headers, correlation_id):
            await self.adapter.publish(subject, each.body, each.headers)

    async def request(
        self,
        message: Any,
        subject: str,
        *,
        timeout: float = 0.5,
        headers: Mapping[str, str] | None = None,
        correlation_id: str = "",
    ) -> MemoryMessage:
        """Publish a message and return the answer to it.

        Args:
            message, subject, headers, correlation_id: as for `publish`.
            timeout: seconds.

        Raises:
            SetupError: the timeout is no number.
            RemoteError: the handler failed; it says how.
            RequestTimeoutError: no answer came in time.
            NoRespondersError: nobody listens to the subject.
            NotConnectedError, PublishError: as for `publish`.
        """
        destination = MemoryDestination(subject)
        if self.publish_layers:
            outgoing = Outgoing(message, subject, dict(headers or {}), correlation_id)
            ask = partial(self.adapter.request, destination, timeout=timeout)
            answer: MemoryMessage = await self.publish_through(self.publish_layers, outgoing, ask)
            return answer
        body, composed = self.compose(message, headers, correlation_id)
        return await self.adapter.request(destination, body, composed, timeout)


def _check_reply(subject: str) -> None:
    try:
        check_subject(subject, "reply subject")
    except (BadSubjectError, TypeError) as error:
        raise PublishError(str(error)) from error
