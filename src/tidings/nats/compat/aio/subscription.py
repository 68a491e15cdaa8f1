"""`nats.aio.subscription`: our subscription, with nats-py's names beside ours."""

from __future__ import annotations

from tidings.nats.compat import errors
from tidings.nats.compat.aio.msg import Msg
from tidings.nats.compat.border import translates
from tidings.nats.core.subscription import Subscription as NativeSubscription

__all__ = ["DEFAULT_SUB_PENDING_BYTES_LIMIT", "DEFAULT_SUB_PENDING_MSGS_LIMIT", "Subscription"]

DEFAULT_SUB_PENDING_MSGS_LIMIT = 512 * 1024
DEFAULT_SUB_PENDING_BYTES_LIMIT = 128 * 1024 * 1024


class Subscription(NativeSubscription):
    """Interest in a subject. Made by `Client.subscribe`."""

    __slots__ = ()

    @property
    def queue(self) -> str:
        """The queue group, or an empty string."""
        return self.queue_group

    @property
    def _id(self) -> int:
        return self.sid

    @translates
    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message. Raises TimeoutError, ConnectionClosedError, BadSubscriptionError."""
        if self.callback is not None:
            raise errors.Error("nats: next_msg cannot be used in async subscriptions")
        message = await super().next_msg(timeout)
        assert isinstance(message, Msg)
        return message

    @translates
    async def unsubscribe(self, limit: int = 0) -> None:
        """End it now, or after `limit` messages; one that has ended with its last message is as good."""
        if self.is_closed and 0 < self.max_msgs <= self.received:
            return
        await super().unsubscribe(limit)

    @translates
    async def drain(self, timeout: float | None = None) -> None:
        """End it when what was delivered is handled."""
        await super().drain(timeout)
