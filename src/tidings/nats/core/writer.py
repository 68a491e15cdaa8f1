"""When gathered commands go to the socket: at once or together, never late.

The first command after a write arms one write at the end of this turn of the loop. What waits for an
answer (a request, a flush) is written at once if it is the first of its turn; those that follow in the
same turn go out together. There is no timer. While the connection is away what is published is held here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from tidings.nats.core.callbacks import check_loop
from tidings.nats.core.link import Link, Mark
from tidings.nats.core.options import BufferPolicy
from tidings.nats.errors import OutboundBufferLimitError
from tidings.nats.wire import Encoder, HeaderInput

__all__ = ["Writer"]

# So much gathered is written without waiting for the end of the turn: enough to make the system call
# cheap a message, and little enough to stay in the cache.
_WRITE_SIZE = 64 * 1024
# So much is written in a row before others get a turn: a turn costs as much as a write.
_TURN_SIZE = 512 * 1024
# What is held is dropped in parts, each so much of all: a message a part would take ten times its memory.
_PARTS = 256


class Writer:
    """Carries what the encoder gathers to the link, while there is one.

    Args:
        report: takes an error that no call can raise.
        skip_subject_validation: see `Options`.

    Attributes:
        encoder: gathers commands; `Encoder.publish` may be called at any time.
        limit: bytes gathered from which a publisher shall call `relieve`.
        dropped: publishes dropped while the connection was away and the buffer full.
    """

    def __init__(self, report: Callable[[Exception], None], skip_subject_validation: bool = False) -> None:
        self.encoder = Encoder(self._arm, skip_subject_validation=skip_subject_validation)
        self.limit = _WRITE_SIZE
        self.dropped = 0
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._handed: Mark = (0, 0)  # what was encoded elsewhere
        self._is_closed = False
        self._taken: Mark = (0, 0)  # how far publishes were written, or dropped
        self._held: deque[tuple[bytes, Mark]] = deque()  # oldest first, and how far each goes: for drop_old
        self._held_size = 0
        self._room = 0
        self._policy: BufferPolicy = "error"
        self._is_dropping = False
        self._change: asyncio.Future[None] | None = None
        self._armed = False
        self._wrote_early = False
        self._written_in_a_row = 0

    def attach(self, link: Link) -> None:
        """A link is up: write what was held for it."""
        self._link = link
        link.on_writable = self.write
        link.confirm(self._taken)
        self.encoder.max_pending = 0
        self.limit = _WRITE_SIZE
        self._is_dropping = False
        self.write()
        self._tell_change()

    def detach(self, buffer_size: int, policy: BufferPolicy = "error") -> None:
        """The link is gone: hold publishes up to `buffer_size` bytes for the next one."""
        self._link = None
        self.encoder.drop_control()
        self.encoder.max_pending = max(buffer_size, 1)
        self._room = buffer_size
        self._policy = policy
        if policy == "drop_old":
            # Handed over in parts, so that the oldest can be told from the rest.
            self.limit = max(buffer_size // _PARTS, 1)
            self._hold()

    def close(self) -> None:
        """Nothing is written any more; whoever waits for room is told by the encoder's ``refusal``."""
        self._link = None
        self._is_closed = True
        self.encoder.clear()
        self._held.clear()
        self._held_size = 0
        self._tell_change()

    def __len__(self) -> int:
        """Bytes that wait to be written."""
        return self._held_size + len(self.encoder)

    @property
    def gathered(self) -> Mark:
        """Publishes so far, and the bytes of their headers and payloads."""
        messages, size = self._handed
        return messages + self.encoder.messages, size + self.encoder.message_bytes

    def write(self) -> None:
        """Hand everything gathered to the socket, unless it is full."""
        link = self._link
        if link is not None and not link.paused and (len(self.encoder) or self._held):
            self._write_to(link)

    def write_last(self) -> None:
        """Hand everything gathered to the socket, full or not: nothing comes after it."""
        if self._link is not None:
            self._write_to(self._link)

    def _write_to(self, link: Link) -> None:
        if link.is_closing:
            return  # what is held until the next link is not lost with this one
        data = self.encoder.take()
        if self._held:
            data = b"".join([chunk for chunk, _ in self._held]) + data
            self._held.clear()
            self._held_size = 0
        self._taken = self.gathered
        link.write(data, self._taken)

    async def hand_over(self, chunks: Sequence[bytes], published: Mark) -> None:
        """Write publishes that were encoded elsewhere; waits while the socket is full or the connection away.

        They go to the socket as they are, in one piece, without a copy of ours.

        Args:
            chunks: whole commands, together.
            published: how many they are, and the bytes of their headers and payloads.

        Raises:
            ConnectionClosedError: the client is closed; nothing was written.
        """
        while (link := self._link) is None or link.paused or link.is_closing:
            if self._is_closed and self.encoder.refusal is not None:
                raise self.encoder.refusal()
            if link is None or link.is_lost:
                await self._changed()
            elif link.is_closing:
                await link.closed()
            else:
                await link.writable()
        self.write()
        messages, size = self._handed
        self._handed = messages + published[0], size + published[1]
        self._taken = self.gathered
        for chunk in chunks:
            link.write(chunk, self._taken)

    def write_parts(self, parts: Sequence[bytes | memoryview], published: Mark) -> bool:
        """Write publishes that were encoded elsewhere, without a copy, if the socket takes something now.

        Args:
            parts: whole commands, together; nobody may change them any more.
            published: how many they are, and the bytes of their headers and payloads.

        Returns:
            Whether they were written.
        """
        self.write()
        link = self._link
        if link is None or link.paused or link.is_closing or self.encoder.refusal is not None:
            return False
        messages, size = self._handed
        self._handed = messages + published[0], size + published[1]
        self._taken = self.gathered
        self._written_in_a_row += published[1]
        link.write_parts(parts, self._taken)
        return True

    def write_early(self) -> None:
        """Write now if this turn wrote nothing yet; otherwise what is gathered goes out at its end."""
        if self._link is None:
            self._hold()
        elif not self._wrote_early:
            self._wrote_early = True
            self.write()
            self._arm()

    async def relieve(self) -> None:
        """Write, and wait while the socket is full; now and then others get a turn."""
        self._written_in_a_row += len(self.encoder)
        self._hold()
        self.write()
        link = self._link
        if link is not None and link.paused:
            await link.writable()
            self.write()
        elif self._written_in_a_row >= _TURN_SIZE:
            self._written_in_a_row = 0
            await asyncio.sleep(0)

    async def publish_in_want_of_room(
        self,
        refused: OutboundBufferLimitError,
        subject: str,
        payload: bytes | bytearray | memoryview | str,
        reply: str,
        headers: HeaderInput | None,
    ) -> None:
        """Do with a publish that the encoder `refused`, since it holds as much as it may, as the policy says.

        Raises:
            OutboundBufferLimitError: the policy is ``error``.
            Error: as `Encoder.publish`.
        """
        message = (subject, payload, reply, headers)
        while self._link is None:
            if self._policy == "error":
                raise refused
            if self._policy == "block":
                await self._changed()
            elif self._policy == "drop_old" and len(self.encoder):
                self._hold()  # it may fit beside what is older
            else:
                self._count_dropped(1, refused)
                return
            try:
                self.encoder.publish(*message)
            except OutboundBufferLimitError as error:
                refused = error
            else:
                await self.relieve()
                return
        raise refused

    def _hold(self) -> None:
        """Take what is gathered out of the encoder, and let the oldest parts go if all of it is too much."""
        if self._link is not None or self._policy != "drop_old" or not len(self.encoder):
            return
        data = self.encoder.take()
        self._held.append((data, self.gathered))
        self._held_size += len(data)
        before = self._taken[0]
        while self._held_size > max(self._room, 0):
            oldest, self._taken = self._held.popleft()
            self._held_size -= len(oldest)
        if self._taken[0] > before:
            full = f"{self._held_size} bytes wait for the connection to come back, the limit is {self._room}"
            self._count_dropped(self._taken[0] - before, OutboundBufferLimitError(full))

    def _count_dropped(self, messages: int, why: OutboundBufferLimitError) -> None:
        self.dropped += messages
        if not self._is_dropping:  # told once, until the connection is back
            self._is_dropping = True
            what = "what is published" if self._policy == "drop_new" else "the oldest of what was published"
            error = OutboundBufferLimitError(f"{why}; {what} is dropped")
            error.__cause__ = why.__cause__
            self._report(error)

    async def _changed(self) -> None:
        """Wait until there is a link, or none will come."""
        if self._change is None:
            self._change = self._loop.create_future()
        await asyncio.shield(self._change)

    def _tell_change(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)
        self._change = None

    def _arm(self) -> None:
        if not self._armed:
            try:
                check_loop(self._loop)
            except RuntimeError:
                self._arm_from_elsewhere()
                raise
            self._armed = True
            self._loop.call_soon(self._end_of_turn)

    def _arm_from_elsewhere(self) -> None:
        """What was gathered is there, and stands before what others gather: it goes out, if anything does."""
        if self._loop.is_closed():
            self.encoder.clear()
        else:
            self._armed = True
            self._loop.call_soon_threadsafe(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._armed = self._wrote_early = False
        self._written_in_a_row = 0
        self.write()
