"""Publishing into a stream from threads: each message stored once, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from functools import partial

from tidings.nats import Client, ConnectionClosedError, Error, MaxPayloadError, OutboundBufferLimitError
from tidings.nats.jetstream import JetStream, PubAck
from tidings.nats.jetstream.errors import UnconfirmedError
from tidings.nats.wire import check_subject
from tidings.pubsub.background import Background
from tidings.pubsub.outbox import Outbox

__all__ = ["Storing"]

# How often a message is published of which nobody knows whether the stream has it.
_ATTEMPTS = 5


class _Entry:
    """A message on its way into the stream, which takes one of its id only once."""

    __slots__ = ("attempts", "id", "payload", "subject")

    def __init__(self, subject: str, payload: bytes, message_id: str) -> None:
        self.subject = subject
        self.payload = payload
        self.id = message_id
        self.attempts = 0


class Storing:
    """Takes what threads publish and sees that it is stored; lives in the client's loop, but for `publish`.

    Args:
        client: connected.
        js: its context.
        background: the loop.
        lose: called with how many messages were not stored, and why.
    """

    def __init__(
        self,
        client: Client,
        js: JetStream,
        background: Background,
        lose: Callable[[int, BaseException | None], None],
    ) -> None:
        self.outbox = Outbox(lambda: background.soon(self._carry_on), lambda: background.is_here)
        self._client = client
        self._js = js
        self._lose = lose
        self._prefix = os.urandom(9).hex()
        self._number = 0
        self._waiting: deque[_Entry] = deque()
        self._again: deque[_Entry] = deque()  # these come first: they were published before the others
        self._under_way = 0
        self._carrying: asyncio.Task[None] | None = None
        self._is_closed = False

    def publish(self, topic: str, payload: bytes, timeout: float) -> None:
        """Gather a message, see `Outbox.publish`. Raises BadSubjectError, MaxPayloadError too."""
        check_subject(topic)
        limit = self._client.max_payload
        if len(payload) > limit:
            raise MaxPayloadError(
                f"the payload is {len(payload)} bytes, the server accepts {limit} (max_payload)"
            )
        self.outbox.publish(topic, payload, timeout)

    async def stored(self) -> None:
        """Wait until all that was published is stored, or has failed."""
        self._carry_on()
        while self._carrying is not None or self._under_way:
            if self._carrying is not None:
                await asyncio.wait([self._carrying])
            else:
                await self._js.publish_async_completed()
                await asyncio.sleep(0)  # those who were told go first

    async def close(self) -> None:
        """End; what is not stored by now is given up."""
        self._is_closed = True
        if self._carrying is not None:
            self._carrying.cancel()
            await asyncio.wait([self._carrying])
        if left := len(self._again) + len(self._waiting) + len(self.outbox.take()) + self._under_way:
            self._lose(left, self._client.last_error)

    def _carry_on(self) -> None:
        if self._carrying is None and not self._is_closed:
            self._carrying = asyncio.get_running_loop().create_task(self._carry())

    async def _carry(self) -> None:
        try:
            while True:
                if not self._client.is_connected:  # what was under way comes back first, to be sent again
                    await self._client.writer.hand_over((), (0, 0))
                entry = self._next()
                if entry is None:
                    return
                await self._send(entry)
        except ConnectionClosedError:
            pass  # `close` says what is left
        finally:
            self._carrying = None

    def _next(self) -> _Entry | None:
        if self._again:
            return self._again.popleft()
        if not self._waiting:
            for subject, payload in self.outbox.take():
                self._number += 1
                self._waiting.append(_Entry(subject, payload, f"{self._prefix}{self._number}"))
        return self._waiting.popleft() if self._waiting else None

    async def _send(self, entry: _Entry) -> None:
        try:
            stored = await self._js.publish_async(entry.subject, entry.payload, msg_id=entry.id)
        except OutboundBufferLimitError:
            self._again.appendleft(entry)
            return
        except (ConnectionClosedError, asyncio.CancelledError):
            self._again.appendleft(entry)
            raise
        except Error as error:
            self._lose(1, error)
            return
        entry.attempts += 1
        self._under_way += 1
        stored.add_done_callback(partial(self._done, entry))

    def _done(self, entry: _Entry, stored: asyncio.Future[PubAck]) -> None:
        self._under_way -= 1
        if self._is_closed:  # it was counted
            if not stored.cancelled():
                stored.exception()  # nobody else looks at it
            return
        if stored.cancelled():
            self._lose(1, None)
            return
        error = stored.exception()
        if error is None:
            return
        if isinstance(error, UnconfirmedError) and entry.attempts < _ATTEMPTS:
            self._again.append(entry)
            self._carry_on()
        else:
            self._lose(1, error)
