"""Core NATS between threads and the loop: what is published goes out in bulk, what comes into the inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tidings.nats import Client, ConnectionClosedError, ConnectionReconnectingError
from tidings.nats.core.options import SubscriptionLimits
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.subscriptions import Subscriptions
from tidings.pubsub.background import Background
from tidings.pubsub.errors import PubSubError
from tidings.pubsub.inbox import Inbox
from tidings.pubsub.nats_outbox import EncodedOutbox

__all__ = ["CoreWay", "flushed"]

_NO_LIMITS = SubscriptionLimits()  # the inbox has them


class CoreWay:
    """Publishes and subscribes on a client; made and used in its loop, but for `publish`.

    Args:
        client: connected.
        background: its loop.
        inbox: where messages go.
        group: the queue group; empty for none.
        lose: called with how many messages could not be handed over when the client closed, and why.
    """

    def __init__(
        self,
        client: Client,
        background: Background,
        inbox: Inbox[bytes],
        group: str,
        lose: Callable[[int, BaseException | None], None],
    ) -> None:
        self._client = client
        self._inbox = inbox
        self._group = group
        self._lose = lose
        self._inflows: list[_Inflow] = []
        self._carrying: asyncio.Task[None] | None = None
        self.outbox = EncodedOutbox(lambda: background.soon(self._carry_on), lambda: background.is_here)
        self.publish = self.outbox.publish
        self.is_back()

    async def open(self) -> None:
        """There is nothing to look at."""

    def is_back(self) -> None:
        """There is a connection, perhaps to another server."""
        self.outbox.max_payload = self._client.max_payload

    async def subscribe(self, subject: str) -> None:
        """Subscribe, and wait until the server has heard of it.

        Raises:
            BadSubjectError: no such subject.
            PermissionsError: the server refuses it.
            ConnectionClosedError: there is no connection.
        """
        registry = self._client.registry
        inflow = _Inflow(registry, registry.next_sid(), subject, self._group, self._inbox)
        registry.start(inflow)
        try:
            await flushed(self._client)
            if inflow.failure is not None:
                raise inflow.failure
        except BaseException:
            inflow.end()
            raise
        inflow.is_established = True
        self._inflows.append(inflow)

    def resume(self) -> None:
        """The inbox has room: read on."""
        if not self._inbox.is_full:
            for inflow in self._inflows:
                self._client.registry.unblock(inflow)

    async def flush(self) -> None:
        """Wait until the server has processed all that was published before. Raises ConnectionClosedError."""
        self._carry_on()  # a KeyboardInterrupt may have come between a message and its wake-up
        while self._carrying is not None:
            await asyncio.wait([self._carrying])
        await flushed(self._client)

    def settle(self, message: object) -> None:
        """Nothing is acknowledged."""

    async def close(self) -> None:
        """Release everything but the client; what was not sent by now is given up."""
        for inflow in self._inflows:
            inflow.end()
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.wait([self._carrying])
        if (left := self.outbox.take_encoded()) is not None:
            self._lose(left.messages, self._client.last_error)

    def _carry_on(self) -> None:
        if self._carrying is None:
            self._carrying = asyncio.get_running_loop().create_task(self._carry())

    async def _carry(self) -> None:
        try:
            while (taken := self.outbox.take_encoded()) is not None:
                try:
                    await self._client.writer.hand_over(taken.chunks, (taken.messages, taken.size))
                except BaseException:
                    self._lose(taken.messages, self._client.last_error)
                    raise
                del taken  # large payloads among it
                await asyncio.sleep(0)
        except ConnectionClosedError:
            pass  # what is left is counted by `close`
        finally:
            self._carrying = None


class _Inflow(Subscription):
    """A subscription whose messages go to the inbox, a batch at a time.

    Attributes:
        is_established: whether the server took it, so that a refusal is one of what worked before.
    """

    def __init__(self, home: Subscriptions, sid: int, subject: str, group: str, inbox: Inbox[bytes]) -> None:
        super().__init__(home, sid, subject, group, None, _NO_LIMITS, 0)
        self._inbox = inbox
        self.is_established = False

    def wake(self) -> None:
        """Called by the link when messages came."""
        batch = [message.data for message in iter(self.pop, None)]
        if batch and self._inbox.put(batch):
            self._home.block(self)

    def fail(self, error: Exception) -> None:
        """The server refuses it, now or later."""
        super().fail(error)
        if self.is_established:
            failure = PubSubError(f"the subscription to {self.subject!r} has ended: {error}")
            failure.__cause__ = error
            self._inbox.fail(failure)

    def close(self) -> None:
        """No more messages come."""
        self._home.unblock(self)
        super().close()


async def flushed(client: Client) -> None:
    """Wait until a server has processed all that was sent before; waits while the connection is away.

    Raises:
        ConnectionClosedError: there is none any more.
    """
    while True:
        with suppress(ConnectionReconnectingError):
            try:
                await client.flush(timeout=_FOREVER)
                return
            except ConnectionClosedError:
                if client.is_closed:
                    raise
        await client.writer.hand_over((), (0, 0))  # returns when there is a connection that takes something


_FOREVER = 3600.0  # seconds; whoever flushes has a timeout of their own
