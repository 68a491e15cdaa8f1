"""The messages of a push consumer, to be read as `Consumer.messages` are."""

import asyncio
import builtins
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from types import TracebackType

from tidings.nats import DrainTimeoutError, Error
from tidings.nats.core.callbacks import start_task
from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.jetstream import Consumer, JetStreamMsg
from tidings.nats.jetstream.api import Api
from tidings.nats.jetstream.errors import NotFoundError
from tidings.nats.jetstream.push import PushSubscription

__all__ = ["PushMessages"]

_NAK = b"-NAK"
_PATIENCE = 2.0  # seconds for what is under way to arrive, at an end without a drain
_WITHOUT_HEARTBEAT = 30.0  # seconds of silence before the server is asked whether the consumer is there


class PushMessages:
    """Messages that the server sends by itself, until it is stopped or their consumer is gone.

    A push consumer that is deleted says nothing: after a silence of two heartbeats, or of half a minute where
    there are none, the server is asked. What is gone then, or delivers elsewhere, ends the reading with an
    error.
    """

    def __init__(self, api: Api, consumer: Consumer, limits: SubscriptionLimits) -> None:
        config = consumer.cached_info.config
        self._connection = api.connection
        self._sub = PushSubscription(api, consumer.cached_info, None, limits)
        self._takes_acks = config.ack_policy in ("explicit", "all")
        self._patience = 2 * config.idle_heartbeat if config.idle_heartbeat else _WITHOUT_HEARTBEAT
        self._watching: asyncio.Task[None] | None = None
        self._readers: Collection[asyncio.Task[None]] = ()

    def start(self, tasks: Collection[asyncio.Task[None]]) -> None:
        """Listen, for `tasks` to read. Raises ConnectionClosedError, ConnectionDrainingError."""
        self._readers = tasks
        self._sub.begin()
        self._watching = start_task(self._watch())

    def __aiter__(self) -> AsyncIterator[JetStreamMsg]:
        return self._sub.__aiter__()

    async def next(self, timeout: float | None = None) -> JetStreamMsg:
        """The next message. Raises as `Subscription.next_msg`."""
        return await self._sub.next_msg(timeout)

    def worker_ended(self) -> None:
        """One of those who read is done: let a drain look again."""
        self._sub.worker_ended()

    async def _watch(self) -> None:
        sub = self._sub
        while not sub.is_closed:
            with suppress(builtins.TimeoutError):
                async with asyncio.timeout(self._patience):
                    await sub.closed()
            if sub.is_closed or sub.silence < self._patience or not self._connection.is_connected:
                continue
            try:
                info = await sub.consumer_info()
            except NotFoundError as error:
                sub.fail(error)
            except Error:
                pass  # who does not answer is asked again
            else:
                if info.config.deliver_subject != sub.subject:
                    sub.fail(
                        NotFoundError(404, 0, f"consumer {sub.consumer!r} delivers to another subject now")
                    )

    # The end

    def stop(self) -> None:
        """End it now: what came and was not taken is given back. Idempotent."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self._sub.end()
        self._give_back()

    async def drain(self, timeout: float) -> None:
        """Have the server send no more, and wait until who reads is through with what came.

        Called by one of them it does not wait for that one. Raises DrainTimeoutError.
        """
        try:
            async with asyncio.timeout(timeout):
                if not self._sub.is_closed:
                    await self._sub.drain(timeout)
                current = asyncio.current_task()
                if others := [task for task in self._readers if task is not current]:
                    await asyncio.wait(others)
        except builtins.TimeoutError as error:
            if isinstance(error, Error):
                raise
            raise DrainTimeoutError(f"{self._sub.consumer!r} is not through after {timeout} s") from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it with nothing in doubt: what is under way arrives, and is given back."""
        if not self._sub.is_closed:
            self._sub.start_draining()
            with suppress(builtins.TimeoutError, Error):
                async with asyncio.timeout(_PATIENCE):
                    await self._connection.registry.end_inflow(self._sub)
        self.stop()

    def _give_back(self) -> None:
        publish = self._connection.writer.encoder.publish
        while (message := self._sub.pop()) is not None:
            if self._takes_acks and not self._connection.is_closed:
                with suppress(Error):  # then the server has it again when its ack_wait is over
                    publish(message.reply, _NAK)
