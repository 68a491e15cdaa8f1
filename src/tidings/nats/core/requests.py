"""Requests: one wildcard subscription takes the replies to all of them."""

from __future__ import annotations

import asyncio
import itertools

from tidings.nats.core.inbox import new_inbox
from tidings.nats.errors import NoRespondersError, ProtocolError, TimeoutError
from tidings.nats.wire import Msg, Route

__all__ = ["Replies"]

NO_RESPONDERS = 503


class Replies(Route):
    """The route of all replies; each request has a token of its own, the last of the reply subject.

    A reply whose request has ended is dropped silently.

    Attributes:
        pattern: what to subscribe to.
        waiting: token → the request that waits.
    """

    __slots__ = ("_prefix", "_tokens", "pattern", "waiting")

    def __init__(self, sid: int, owner: object, inbox_prefix: str) -> None:
        super().__init__(sid, owner)
        self._prefix = new_inbox(inbox_prefix) + "."
        self._tokens = itertools.count(1)
        self.pattern = self._prefix + "*"
        self.waiting: dict[str, asyncio.Future[Msg]] = {}

    def open(self) -> tuple[str, asyncio.Future[Msg]]:
        """A reply subject, and the future that its first reply completes."""
        reply = f"{self._prefix}{next(self._tokens)}"
        future = self.waiting[reply] = asyncio.get_running_loop().create_future()
        return reply, future

    def wake(self) -> None:
        """Called by the link when replies came."""
        while (message := self.pop()) is not None:
            future = self.waiting.pop(message.subject, None)
            if future is None or future.done():
                continue
            if _is_no_responders(message):
                future.set_exception(NoRespondersError("nobody is subscribed to the subject of the request"))
            else:
                future.set_result(message)

    def expire(self, reply: str, subject: str, timeout: float) -> None:
        """The time of the request behind `reply` is over."""
        future = self.waiting.get(reply)
        if future is not None and not future.done():
            future.set_exception(TimeoutError(f"no reply from {subject!r} within {timeout} s"))

    def fail(self, error: Exception) -> None:
        """Complete every request that still waits with `error`."""
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(error)
                future.exception()
        self.waiting.clear()


def _is_no_responders(message: Msg) -> bool:
    """Whether the server says that nobody is there: status 503 without a payload."""
    if message.data or not message.has_headers:
        return False
    try:
        return message.status == NO_RESPONDERS
    except ProtocolError:
        return False  # another client's broken header block, which the server hands on as it is
