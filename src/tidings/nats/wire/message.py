"""A message as it came off the wire, and the route that its subscription reads from."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from typing import Any

from tidings.nats.errors import Error
from tidings.nats.wire.headers import HeaderInput, Headers, parse_headers

__all__ = ["BLOCK", "DROP_NEW", "DROP_OLD", "ERROR", "Msg", "Route"]

DROP_NEW, DROP_OLD, BLOCK, ERROR = range(4)
"""What a route does with a message that exceeds a limit, see `Route`."""


class Msg:
    """One delivered message. Made by the parser; headers are parsed when first asked for.

    Attributes:
        subject: the subject it was published to.
        reply: where an answer goes; empty when none is wanted.
        data: the payload.
        sid: the id of the subscription it came for.
        owner: what the route belongs to; the client, for a message of a client.
    """

    __slots__ = ("_block", "_headers", "_status", "data", "owner", "reply", "sid", "subject")

    def __init__(
        self,
        subject: str = "",
        reply: str = "",
        data: bytes = b"",
        *,
        header_block: bytes | None = None,
        sid: int = 0,
        owner: Any = None,
    ) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self.sid = sid
        self.owner = owner
        self._block = header_block
        self._headers: Headers | None = None
        self._status: tuple[int, str] = (0, "")

    @property
    def header_block(self) -> bytes | None:
        """The headers as they came, or None when there are none."""
        return self._block

    @property
    def headers(self) -> Headers:
        """The headers; empty when there are none.

        Raises:
            ProtocolError: the header block is not one (ADR-4).
        """
        if self._headers is None:
            self._parse()
        assert self._headers is not None
        return self._headers

    @property
    def has_headers(self) -> bool:
        """Whether a header block came with the message; costs no parsing."""
        return self._block is not None

    @property
    def status(self) -> int:
        """The status code of the header block, 0 when it has none. Raises like `headers`."""
        if self._headers is None:
            self._parse()
        return self._status[0]

    @property
    def status_text(self) -> str:
        """The description beside the status code. Raises like `headers`."""
        if self._headers is None:
            self._parse()
        return self._status[1]

    def respond(
        self,
        data: bytes | bytearray | memoryview | str = b"",
        *,
        headers: HeaderInput | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Publish `data` to the reply subject, through the owner; to be awaited.

        Raises:
            Error: the message asks for no reply, or belongs to nobody who can publish.
            MaxPayloadError, BadHeaderError, ConnectionClosedError: as the client's `publish`.
        """
        return answer(self, data, headers)

    def _parse(self) -> None:
        if self._block is None:
            self._headers = Headers()
        else:
            status, text, pairs = parse_headers(self._block)
            self._status = (status, text)
            self._headers = Headers(pairs)

    def __repr__(self) -> str:
        reply = f" reply={self.reply!r}" if self.reply else ""
        return f"<{type(self).__name__} {self.subject!r}{reply} {len(self.data)} bytes>"


def answer(
    message: Msg, data: bytes | bytearray | memoryview | str, headers: HeaderInput | None
) -> Coroutine[Any, Any, None]:
    """`Msg.respond` of both twins."""
    if not message.reply:
        raise Error(f"the message on {message.subject!r} asks for no reply")
    if message.owner is None:
        raise Error("the message was not delivered by a client, so there is nobody to answer through")
    published: Coroutine[Any, Any, None] = message.owner.publish(message.reply, data, "", headers)
    return published


class Route:
    """Where the messages of one subscription id go: a bounded queue and its counters.

    The parser appends, the subscription takes from the front with `pop`. A message that would exceed a
    limit is dropped and counted (`DROP_NEW`), pushes out the oldest ones, which are dropped and counted
    (`DROP_OLD`), is kept nevertheless, because the reader stops taking more (`BLOCK`), or is dropped and
    the last one that the route takes (`ERROR`).

    Attributes:
        sid: the subscription id.
        owner: handed on to every message.
        policy: what happens at a limit, see above.
        pending_bytes: payload bytes in the queue.
        max_pending_msgs: limit of the queue in messages; 0 or less is no limit.
        max_pending_bytes: limit of `pending_bytes`; 0 or less is no limit.
        max_msgs: messages the subscription takes in its life; 0 is no limit.
        received: messages that came for it, dropped ones included.
        dropped: messages dropped at a limit.
        highest_pending_msgs: the most messages that the queue ever held.
        callback: a plain function that gets the messages, called in `context` by `calls`; or None.
        context: a `contextvars.Context`.
        calls: the `Calls` that `callback` belongs to.
        is_due: whether `callback` is to be called; set by `calls`.
        wants_wake: whether the reader calls `wake` after a batch that put messages here, or only has
            `callback` called; set when a message is dropped.
        message_type: `Msg`, or a subclass without slots of its own: what the parser makes.
        wants_served: whether `served` is called after `callback` was.
    """

    __slots__ = (
        "_queue",
        "callback",
        "calls",
        "context",
        "dropped",
        "highest_pending_msgs",
        "is_due",
        "max_msgs",
        "max_pending_bytes",
        "max_pending_msgs",
        "message_type",
        "owner",
        "pending_bytes",
        "policy",
        "received",
        "sid",
        "touched",
        "wants_served",
        "wants_wake",
    )

    def __init__(
        self,
        sid: int,
        owner: Any = None,
        *,
        max_pending_msgs: int = 0,
        max_pending_bytes: int = 0,
        max_msgs: int = 0,
        policy: int = DROP_NEW,
    ) -> None:
        self.sid = sid
        self.owner = owner
        self.policy = policy
        self.max_pending_msgs = max_pending_msgs
        self.max_pending_bytes = max_pending_bytes
        self.max_msgs = max_msgs
        self._queue: deque[Msg] = deque()
        self.pending_bytes = 0
        self.received = 0
        self.dropped = 0
        self.highest_pending_msgs = 0
        self.touched = False
        self.message_type: type[Msg] = Msg
        self.callback: Any = None
        self.context: Any = None
        self.calls: Any = None
        self.is_due = False
        self.wants_wake = True
        self.wants_served = False

    @property
    def pending_msgs(self) -> int:
        """Messages in the queue."""
        return len(self._queue)

    def put(self, message: Msg) -> None:
        """Append `message`, or do at a limit what the policy says."""
        if 0 < self.max_msgs <= self.received:
            return  # more than was asked for: an UNSUB crossed them on the way
        self.received += 1
        size = len(message.data)
        if self._is_over(size) and not self._makes_room(size):
            self._count_drop()
            return
        self._queue.append(message)
        self.pending_bytes += size
        if len(self._queue) > self.highest_pending_msgs:
            self.highest_pending_msgs = len(self._queue)

    def _is_over(self, size: int) -> bool:
        """Whether a message of `size` would exceed a limit."""
        return (0 < self.max_pending_msgs <= len(self._queue)) or (
            0 < self.max_pending_bytes < self.pending_bytes + size
        )

    def _makes_room(self, size: int) -> bool:
        """Whether a message that exceeds a limit is kept."""
        if self.policy == DROP_OLD:
            if 0 < self.max_pending_bytes < size:
                return False  # it would not fit into an empty queue either
            while self._is_over(size):
                self.pop()
                self._count_drop()
            return True
        if self.policy == ERROR:
            self.max_msgs = self.received  # what comes after a gap is not what the reader waits for
        return self.policy == BLOCK

    def _count_drop(self) -> None:
        self.dropped += 1
        self.wants_wake = True

    def wake(self) -> None:
        """Called by the reader after a batch that put messages here; a subscription overrides it."""

    def failed(self, error: BaseException) -> None:
        """Called when `callback` raised `error`; raises it, unless a subscription knows better."""
        raise error

    def returned(self, result: Any) -> bool:
        """Called when `callback` returned something else than None: whether to leave the rest to others."""
        return False

    def served(self) -> None:
        """Called after `callback` was, if that is wanted."""

    def pop(self) -> Msg | None:
        """Take the oldest message; None when there is none."""
        if not self._queue:
            return None
        message = self._queue.popleft()
        self.pending_bytes -= len(message.data)
        return message

    def clear(self) -> int:
        """Forget what was not taken; returns how many messages that were."""
        count = len(self._queue)
        self._queue.clear()
        self.pending_bytes = 0
        return count
