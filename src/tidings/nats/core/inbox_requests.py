"""Requests with a subscription of their own: for one reply (old style), or for many (ADR-47)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from tidings.nats.core.options import DEFAULT_LIMITS
from tidings.nats.core.requests import is_no_responders, no_responders
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.subscriptions import Subscriptions
from tidings.nats.core.writer import Writer
from tidings.nats.errors import BadSubscriptionError, PermissionsError, TimeoutError
from tidings.nats.wire import HeaderInput, Msg

__all__ = ["Asker", "ReplyStream", "is_empty"]

Payload: TypeAlias = bytes | bytearray | memoryview | str


def is_empty(message: Msg) -> bool:
    """Whether `message` has no payload: the usual sign that it was the last one."""
    return not message.data


class Inbox(Subscription):
    """The replies to one request."""

    __slots__ = ("asked", "is_over")

    def __init__(self, home: Subscriptions, inbox: str, asked: str, most: int) -> None:
        super().__init__(home, home.next_sid(), inbox, "", None, DEFAULT_LIMITS, most)
        self.asked = asked
        self.is_over = False

    def expire(self) -> None:
        """The time is over: nothing more comes, what has come can be read."""
        self.is_over = True
        self.end()

    def abandon(self) -> None:
        """Nobody waits for replies any more."""
        self.clear()
        self.end()

    def is_refused_by(self, error: PermissionsError) -> bool:
        """Whether `error` is about the inbox or about the request."""
        return super().is_refused_by(error) or (error.operation == "publish" and error.subject == self.asked)


class Asker:
    """Sends requests whose replies come on a subscription of their own.

    Args:
        subscriptions, writer: those of the connection.
    """

    def __init__(self, subscriptions: Subscriptions, writer: Writer) -> None:
        self._subscriptions = subscriptions
        self._writer = writer

    async def ask(
        self, inbox: str, subject: str, payload: Payload, timeout: float | None, headers: HeaderInput | None
    ) -> Msg:
        """One reply, as `Connection.request`."""
        sub = self.open(inbox, subject, payload, headers, most=1)
        try:
            reply = await sub.next_msg(timeout)
        except TimeoutError:
            raise TimeoutError(f"no reply from {subject!r} within {timeout} s") from None
        finally:
            sub.abandon()
        if is_no_responders(reply):
            raise no_responders(subject)
        return reply

    def open(
        self, inbox: str, subject: str, payload: Payload, headers: HeaderInput | None, most: int
    ) -> Inbox:
        """Send a request; the subscription to its replies. Raises as `Connection.publish`."""
        sub = Inbox(self._subscriptions, inbox, subject, most)
        self._subscriptions.start(sub)
        try:
            self._writer.encoder.publish(subject, payload, inbox, headers)
            self._writer.write_early()
        except BaseException:
            sub.abandon()
            raise
        return sub


class ReplyStream:
    """The replies to one request, as they come; made by `Connection.request_many`.

    The request goes out when the first reply is asked for. However the iteration ends, also by ``break``
    or cancellation, the subscription to the replies ends with it.
    """

    def __init__(
        self,
        asker: Asker,
        request: tuple[str, str, Payload, HeaderInput | None],
        *,
        max_msgs: int,
        stall: float | None,
        timeout: float | None,
        sentinel: Callable[[Msg], object] | None,
    ) -> None:
        self._asker = asker
        self._request = request
        self._max_msgs = max_msgs
        self._stall = stall
        self._timeout = timeout
        self._sentinel = sentinel
        self._count = 0
        self._sub: Inbox | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def __aiter__(self) -> ReplyStream:
        return self

    async def __anext__(self) -> Msg:
        if self._ended:
            raise StopAsyncIteration
        try:
            message = await self._next()
        except BaseException:
            self._end()
            raise
        if message is None:
            self._end()
            raise StopAsyncIteration
        self._count += 1
        return message

    async def aclose(self) -> None:
        """End it now. Needed by nobody who lets go of it."""
        self._end()

    async def __aenter__(self) -> ReplyStream:
        return self

    async def __aexit__(self, *exc: Any) -> None:
        self._end()

    def __del__(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and with it the connection
            self._end()

    async def _next(self) -> Msg | None:
        """The next reply; None when there is none any more."""
        subject = self._request[1]
        sub = self._sub or self._start()
        try:
            # Until the first reply only the whole time counts: whoever answers may need to think.
            message = await sub.next_msg(self._stall if self._count else None)
        except (TimeoutError, BadSubscriptionError):
            if self._count or sub.received:
                return None
            if not sub.is_over:
                raise  # the client drains
            raise TimeoutError(f"no reply from {subject!r} within {self._timeout} s") from None
        if is_no_responders(message):
            if self._count:
                return None
            raise no_responders(subject)
        if self._sentinel is not None and self._sentinel(message):
            return None
        return message

    def _start(self) -> Inbox:
        inbox, subject, payload, headers = self._request
        sub = self._sub = self._asker.open(inbox, subject, payload, headers, self._max_msgs)
        if self._timeout is not None:
            # It holds the subscription and not the stream, which then ends when it is let go of.
            self._timer = asyncio.get_running_loop().call_later(self._timeout, sub.expire)
        return sub

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sub is not None:
            self._sub.abandon()
