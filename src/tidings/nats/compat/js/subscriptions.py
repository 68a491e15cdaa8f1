"""What nats-py's JetStream subscribes with: push, ordered and pull."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tidings.nats.compat import errors as core_errors
from tidings.nats.compat.aio.msg import Msg
from tidings.nats.compat.aio.subscription import Subscription
from tidings.nats.compat.border import translated, translates
from tidings.nats.compat.js import api, errors
from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.errors import ConnectionReconnectingError, Error
from tidings.nats.jetstream.consume import Consuming
from tidings.nats.jetstream.errors import NoHeartbeatError, NotFoundError, PullError
from tidings.nats.jetstream.fetch import Fetch
from tidings.nats.jetstream.infos import ConsumerInfo
from tidings.nats.jetstream.ordered_messages import OrderedMessages
from tidings.nats.jetstream.pull import Priority, Source
from tidings.nats.jetstream.push import PushSubscription as NativePush

if TYPE_CHECKING:
    from tidings.nats.compat.js.publishing import Publishing

__all__ = ["Callback", "OrderedSubscription", "PullSubscription", "PushSubscription"]

Callback: TypeAlias = Callable[[Msg], Awaitable[None] | None]

# What nats-py takes for a fetch that brought nothing: its programs try again.
_RETRIED = (404, 408, 409)
_FOREVER = 365 * 86400.0


class PushSubscription(Subscription, NativePush):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The messages of a push consumer."""

    def __init__(
        self,
        js: Publishing,
        info: ConsumerInfo,
        cb: Callback | None,
        limits: SubscriptionLimits,
        acks: bool,
    ) -> None:
        NativePush.__init__(self, js._context.api, info, cb, limits, acks=acks)  # type: ignore[arg-type]
        self._js = js

    @property
    def _stream(self) -> str:
        return self.stream

    @property
    def _consumer(self) -> str:
        return self.consumer

    async def consumer_info(self) -> api.ConsumerInfo:  # type: ignore[override]
        """What the server tells of the consumer."""
        return await self._js.consumer_info(self.stream, self.consumer)


class OrderedSubscription:
    """Messages of a stream, each once and in order.

    Attributes:
        subject: what is read.
        delivered: messages handed out.
    """

    queue = ""

    def __init__(
        self, js: Publishing, stream: str, subject: str, messages: OrderedMessages, cb: Callback | None
    ) -> None:
        self._js = js
        self._stream = stream
        self.subject = subject
        self.delivered = 0
        self._messages = messages
        self._consuming = None if cb is None else Consuming(messages, self._counting(cb), 1)

    def _counting(self, cb: Callback) -> Callable[[Any], Awaitable[None] | None]:
        def call(message: Msg) -> Awaitable[None] | None:
            self.delivered += 1
            return cb(message)

        return call

    @property
    def _consumer(self) -> str:
        return self._messages.name

    @property
    def pending_msgs(self) -> int:
        """Messages that came and were not taken."""
        return self._messages.pending_msgs

    @property
    def messages(self) -> AsyncIterator[Msg]:
        """An iterator over the messages."""
        return self._each()

    async def _each(self) -> AsyncIterator[Msg]:
        try:
            async for message in self._messages:
                self.delivered += 1
                yield cast("Msg", message)
        except Error as error:
            raise translated(error) from error

    @translates
    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message. Raises TimeoutError."""
        if self._consuming is not None:
            raise core_errors.Error("nats: next_msg cannot be used in async subscriptions")
        message = await self._messages.next(timeout)
        self.delivered += 1
        return cast("Msg", message)

    async def consumer_info(self) -> api.ConsumerInfo:
        """What the server tells of the consumer that is read from now."""
        return await self._js.consumer_info(self._stream, self._consumer)

    @translates
    async def unsubscribe(self, limit: int = 0) -> None:
        """End it now; a `limit` is for other subscriptions."""
        self._messages.stop()
        if self._consuming is not None:
            await self._consuming.closed()
        await self._messages.aclose()

    @translates
    async def drain(self) -> None:
        """End it when what came is handled."""
        await self._messages.drain()


class PullSubscription:
    """Fetches messages of a consumer.

    Attributes:
        delivered: messages that `fetch` returned.
        pending_msgs, pending_bytes: what came and was not fetched: nothing, each fetch is complete in itself.
    """

    def __init__(self, js: Publishing, stream: str, consumer: str, inbox_prefix: bytes | None = None) -> None:
        self._js = js
        self._stream = stream
        self._consumer = consumer
        self._inbox_prefix = None if inbox_prefix is None else inbox_prefix.decode()
        self._source = Source(js._context.api, stream, consumer, {})
        self._is_closed = False
        self.delivered = 0
        self.pending_msgs = 0
        self.pending_bytes = 0

    async def unsubscribe(self) -> None:
        """Be done with it; the consumer stays."""
        if self._is_closed:
            raise core_errors.BadSubscriptionError
        self._is_closed = True

    async def consumer_info(self) -> api.ConsumerInfo:
        """What the server tells of the consumer."""
        return await self._js.consumer_info(self._stream, self._consumer)

    @translates
    async def fetch(
        self, batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None
    ) -> list[Msg]:
        """Messages, at most `batch`: those that are there, or those that come within `timeout` seconds.

        Raises:
            TimeoutError: none came; as FetchTimeoutError when there was a `heartbeat`.
            ServiceUnavailableError: there is no such consumer.
        """
        if batch < 1:
            raise ValueError("nats: invalid batch size")
        if timeout is not None and timeout <= 0:
            raise ValueError("nats: invalid fetch timeout")
        if self._is_closed:
            raise core_errors.BadSubscriptionError
        limit = _FOREVER if timeout is None else timeout
        try:
            found = await self._run(batch, limit, None, no_wait=True) if batch > 1 else []
            found = found or await self._run(batch, limit, heartbeat, no_wait=False)
        except NotFoundError as error:
            raise errors.ServiceUnavailableError from error
        except PullError as error:
            if error.status not in _RETRIED:
                raise
            raise core_errors.TimeoutError from error
        except (NoHeartbeatError, ConnectionReconnectingError) as error:
            raise core_errors.TimeoutError from error
        if not found:
            raise core_errors.TimeoutError if heartbeat is None else errors.FetchTimeoutError
        self.delivered += len(found)
        return found

    async def _run(self, batch: int, timeout: float, heartbeat: float | None, *, no_wait: bool) -> list[Msg]:
        fetch = _Fetch(
            self._source, Priority(), batch=batch, timeout=timeout, no_wait=no_wait, heartbeat=heartbeat
        )
        if self._inbox_prefix is not None:
            fetch.move_to(self._inbox_prefix)
        return cast("list[Msg]", await fetch.run())


class _Fetch(Fetch):
    """A fetch whose inbox can be elsewhere than those of the client."""

    _place: str | None = None

    def move_to(self, prefix: str) -> None:
        """Have the inbox begin with `prefix`."""
        self._place = prefix
        self._inbox = prefix + self._inbox.rpartition(".")[2]
        self.subject = f"{self._inbox}.*"

    def lost(self) -> None:
        """The link is gone: another inbox, in the same place."""
        super().lost()
        if self._place is not None:
            self.move_to(self._place)
