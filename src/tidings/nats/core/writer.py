"""When gathered commands go to the socket: at once or together, never late.

The first command after a write arms one write at the end of this turn of the loop. What waits for an
answer (a request, a flush) is written at once if it is the first of its turn; those that follow in the
same turn go out together. There is no timer.
"""

from __future__ import annotations

import asyncio

from tidings.nats.core.link import Link
from tidings.nats.wire import Encoder

__all__ = ["Writer"]

# So much gathered is written without waiting for the end of the turn: enough to make the system call
# cheap a message, and little enough to stay in the cache.
_WRITE_SIZE = 64 * 1024
# So much is written in a row before others get a turn: a turn costs as much as a write.
_TURN_SIZE = 512 * 1024


class Writer:
    """Carries what the encoder gathers to the link, while there is one.

    Attributes:
        encoder: gathers commands; `Encoder.publish` may be called at any time.
        limit: bytes gathered from which a publisher shall call `relieve`.
    """

    limit = _WRITE_SIZE

    def __init__(self) -> None:
        self.encoder = Encoder(self._arm)
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._armed = False
        self._wrote_early = False
        self._written_in_a_row = 0

    def attach(self, link: Link) -> None:
        """A link is up: write what was held for it."""
        self._link = link
        link.on_writable = self.write
        self.encoder.max_pending = 0
        self.write()

    def detach(self, buffer_size: int) -> None:
        """The link is gone: hold publishes up to `buffer_size` bytes for the next one."""
        self._link = None
        self.encoder.drop_control()
        self.encoder.max_pending = max(buffer_size, 1)

    def write(self) -> None:
        """Hand everything gathered to the socket, unless it is full."""
        link = self._link
        if link is not None and not link.paused and len(self.encoder):
            link.write(self.encoder.take())

    def write_last(self) -> None:
        """Hand everything gathered to the socket, full or not: nothing comes after it."""
        if self._link is not None:
            self._link.write(self.encoder.take())

    def write_early(self) -> None:
        """Write now if this turn wrote nothing yet; otherwise what is gathered goes out at its end."""
        if not self._wrote_early:
            self._wrote_early = True
            self.write()
            self._arm()

    async def relieve(self) -> None:
        """Write, and wait while the socket is full; now and then others get a turn."""
        self._written_in_a_row += len(self.encoder)
        self.write()
        link = self._link
        if link is not None and link.paused:
            await link.writable()
            self.write()
        elif self._written_in_a_row >= _TURN_SIZE:
            self._written_in_a_row = 0
            await asyncio.sleep(0)

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._armed = self._wrote_early = False
        self._written_in_a_row = 0
        self.write()
