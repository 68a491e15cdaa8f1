"""Push consumers: the server sends to a subject that we listen to, and needs no asking.

Between the messages come idle heartbeats, which show that the server is there, and with flow control requests
for a sign that we keep up: they are answered in their turn, when all that came before them was handed out.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.core.subscription import Subscription
from tidings.nats.errors import ConnectionClosedError, ConnectionDrainingError, Error, ProtocolError
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.consume import JetStreamCallback
from tidings.nats.jetstream.errors import NoHeartbeatError, NotFoundError
from tidings.nats.jetstream.infos import ConsumerInfo
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.wire import Msg

__all__ = ["PushSubscription"]

_STALLED = "Nats-Consumer-Stalled"
_UNACKED = ("none", "flow_control")  # answers to flow control stand for the messages before them


class PushSubscription(Subscription):
    """The messages of a push consumer; made by `JetStream.subscribe`.

    Read with a callback, ``async for`` or `next_msg`, as any subscription; what it gives are `JetStreamMsg`.

    Attributes:
        stream, consumer: their names.
        missed_heartbeats: how often none came for twice their interval; each is reported as NoHeartbeatError.
    """

    called_by_loop = False

    def __init__(
        self,
        api: Api,
        info: ConsumerInfo,
        callback: JetStreamCallback | None,
        limits: SubscriptionLimits,
        *,
        acks: bool = False,
        deletes: bool = False,
    ) -> None:
        connection = api.connection
        config = info.config
        if callback is not None and acks and config.ack_policy not in _UNACKED:
            callback = _acking(callback)
        home = connection.registry
        super().__init__(
            home,
            home.next_sid(),
            config.deliver_subject,
            config.deliver_group,
            callback,  # type: ignore[arg-type]  # what `pop` gives
            limits,
            0,
        )
        self.message_type = JetStreamMsg
        self._api = api
        self._connection = connection
        self.stream = info.stream_name
        self.consumer = info.name
        self.missed_heartbeats = 0
        self._deletes = deletes
        self._heartbeat = config.idle_heartbeat or 0.0
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._watch: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Listen. Raises ConnectionClosedError, ConnectionDrainingError."""
        if self._connection.is_closed:
            raise ConnectionClosedError("the client is closed; make a new one with connect()")
        if self._connection.is_draining:
            raise ConnectionDrainingError("the client drains and takes no new subscriptions")
        self._connection.registry.start(self)
        if self._heartbeat > 0:
            self._watch = self._loop.call_later(2 * self._heartbeat, self._look)

    @property
    def silence(self) -> float:
        """Seconds since the server was last heard of: a message, a heartbeat, or the start."""
        return self._loop.time() - self._heard

    async def consumer_info(self) -> ConsumerInfo:
        """What the server tells of the consumer. Raises ConsumerNotFoundError when it is gone."""
        return ConsumerInfo.from_wire(await self._api.request(f"CONSUMER.INFO.{self.stream}.{self.consumer}"))

    if TYPE_CHECKING:
        # They give what `pop` does.
        async def next_msg(self, timeout: float | None = 1.0) -> JetStreamMsg:
            """The next message; see `Subscription.next_msg`."""
            raise NotImplementedError

        def __aiter__(self) -> AsyncIterator[JetStreamMsg]:
            raise NotImplementedError

        @property
        def messages(self) -> AsyncIterator[JetStreamMsg]:
            """An iterator over the messages, by nats-py's name."""
            raise NotImplementedError

    async def unsubscribe(self, limit: int = 0) -> None:
        """End it now, or after `limit` messages; see `Subscription.unsubscribe`.

        A consumer without a durable name that was made for it is deleted.
        """
        await super().unsubscribe(limit)
        if self.is_closed:
            await self._delete()

    async def drain(self, timeout: float | None = None) -> None:
        """End it without losing what was delivered; see `Subscription.drain`. Deletes as `unsubscribe`."""
        try:
            await super().drain(timeout)
        except BaseException:
            if self.is_closed:  # the time is over, or who drained was cancelled: neither waits for the server
                self._connection.callbacks.notify(self._delete)
            raise
        await self._delete()

    async def _delete(self) -> None:
        if self._deletes and self._connection.is_connected:
            self._deletes = False
            with suppress(NotFoundError):  # which is what is wanted
                await self._api.request(f"CONSUMER.DELETE.{self.stream}.{self.consumer}")

    def wake(self) -> None:
        """Called by the link when something came."""
        self._heard = self._loop.time()
        super().wake()

    def pop(self) -> JetStreamMsg | None:
        """The oldest message; statuses before it are answered."""
        while (message := super().pop()) is not None:
            if message.reply.startswith("$JS.ACK.") or not self._is_status(message):
                assert isinstance(message, JetStreamMsg)
                return message
        return None

    def _is_status(self, message: Msg) -> bool:
        """Whether `message` is a heartbeat or a request of flow control, which is answered then (ADR-15)."""
        if not message.has_headers or message.data:
            return False
        try:
            if message.status != 100:
                return False
            answer_to = message.reply or message.headers.get(_STALLED)
        except ProtocolError:
            return False
        if answer_to:
            try:
                self._connection.writer.encoder.publish(answer_to)
            except Error as error:
                self.report(error)
        return True

    def _look(self) -> None:
        """Whether the server was heard of."""
        patience = 2 * self._heartbeat
        silent = self.silence
        if silent >= patience:
            if self._connection.is_connected:
                self.missed_heartbeats += 1
                self.report(
                    NoHeartbeatError(f"no heartbeat of push consumer {self.consumer!r} for {patience:g} s")
                )
            silent = 0.0
        self._watch = self._loop.call_later(patience - silent, self._look)

    def close(self) -> None:
        """No more messages come; what is held can still be taken."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().close()


def _acking(callback: JetStreamCallback) -> Callable[[JetStreamMsg], Awaitable[None]]:
    """`callback`, and an acknowledgement behind it, unless it settled the message or failed."""

    async def handle(message: JetStreamMsg) -> None:
        result: Any = callback(message)
        if result is not None and inspect.isawaitable(result):
            await result
        if not message.is_settled:
            await message.ack()

    return handle
