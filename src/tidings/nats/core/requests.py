"""Requests: one wildcard subscription takes the replies to all of them."""

from __future__ import annotations

import asyncio
import itertools

from tidings.nats.core.inbox import new_inbox
from tidings.nats.errors import NoRespondersError, PermissionsError, ProtocolError, TimeoutError
from tidings.nats.wire import Msg, Route

__all__ = ["Replies", "is_no_responders", "no_responders"]

NO_RESPONDERS = 503


class Replies(Route):
    """The route of all replies; each request has a token of its own, the last of the reply subject.

    A reply whose request has ended is dropped and counted.

    Attributes:
        pattern: what to subscribe to.
        waiting: reply subject → the request that waits, and the subject it went to.
        late: replies that nobody waited for any more.
    """

    __slots__ = ("_prefix", "_tokens", "late", "pattern", "waiting")

    def __init__(self, sid: int, owner: object, inbox_prefix: str) -> None:
        super().__init__(sid, owner)
        self._prefix = new_inbox(inbox_prefix) + "."
        self._tokens = itertools.count(1)
        self.pattern = self._prefix + "*"
        self.waiting: dict[str, tuple[asyncio.Future[Msg], str]] = {}
        self.late = 0

    def open(self, subject: str) -> tuple[str, asyncio.Future[Msg]]:
        """A reply subject for a request to `subject`, and the future that its first reply completes."""
        reply = f"{self._prefix}{next(self._tokens)}"
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self.waiting[reply] = (future, subject)
        return reply, future

    def wake(self) -> None:
        """Called by the link when replies came."""
        while (message := self.pop()) is not None:
            future, subject = self.waiting.pop(message.subject, _NOBODY)
            if future is None or future.done():
                self.late += 1
            elif is_no_responders(message):
                future.set_exception(no_responders(subject))
            else:
                future.set_result(message)

    def expire(self, reply: str, timeout: float) -> None:
        """The time of the request behind `reply` is over."""
        future, subject = self.waiting.get(reply, _NOBODY)
        if future is not None and not future.done():
            future.set_exception(TimeoutError(f"no reply from {subject!r} within {timeout} s"))

    def refuse(self, error: PermissionsError) -> None:
        """The server refuses a publish: the requests to that subject need not wait for their time."""
        if error.operation == "publish":
            self._fail(
                [future for future, subject in self.waiting.values() if subject == error.subject], error
            )

    def fail(self, error: Exception) -> None:
        """Complete every request that still waits with `error`."""
        self._fail([future for future, _ in self.waiting.values()], error)
        self.waiting.clear()

    def _fail(self, futures: list[asyncio.Future[Msg]], error: Exception) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)
                future.exception()


_NOBODY: tuple[None, str] = (None, "")


def is_no_responders(message: Msg) -> bool:
    """Whether the server says that nobody is there: status 503 without a payload."""
    if message.data or not message.has_headers:
        return False
    try:
        return message.status == NO_RESPONDERS
    except ProtocolError:
        return False  # another client's broken header block, which the server hands on as it is


def no_responders(subject: str) -> NoRespondersError:
    """The error for a request to `subject` that nobody hears."""
    return NoRespondersError(f"nobody is subscribed to {subject!r}, the subject of the request", subject)
