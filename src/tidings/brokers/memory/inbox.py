"""Inboxes: where messages wait for the members of a queue group, or for the one who listens alone."""

import asyncio
from collections import deque

from .message import LastTry, MemoryMsg

__all__ = ["Inbox"]


class Inbox:
    """The messages of one pattern for one queue group; its members' workers take them from one queue.

    Attributes:
        pattern: the subjects.
        queue_group: its name; empty for one who listens alone.
        queue: messages that wait for a worker.
        members: how many listen; with the last one the inbox is no longer published to.
        held: messages that a worker holds until its batch is full.
        given_up: messages that nobody will be there for.
    """

    __slots__ = ("_idle", "_later", "given_up", "held", "members", "pattern", "queue", "queue_group")

    def __init__(self, pattern: str, queue_group: str) -> None:
        self.pattern = pattern
        self.queue_group = queue_group
        self.queue: deque[MemoryMsg] = deque()
        self.members = 0
        self.given_up = 0
        self.held = 0
        self._idle: deque[asyncio.Future[None]] = deque()
        self._later: dict[MemoryMsg, asyncio.TimerHandle] = {}

    def put(self, message: MemoryMsg) -> int:
        """Add a message; how many wait."""
        self.queue.append(message)
        if self._idle:
            self.wake_one()
        return len(self.queue)

    async def arrival(self) -> None:
        """Return when there may be a message, or there is news of the members."""
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if self.queue:
                self.wake_one()  # in our place
            raise

    def wake_one(self) -> None:
        """Wake a worker that waits."""
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake every worker that waits."""
        while self._idle:
            self.wake_one()

    def take_back(self, message: MemoryMsg, delay: float) -> None:
        """Deliver a message again, in so many seconds.

        When nobody listens any more there is no later: it gets one more try at once, by those who
        still work off the queue, and is given up then.
        """
        if not self.members:
            if isinstance(message, LastTry):
                self.given_up += 1
            else:
                self.put(message.again(self, is_last=True))
        elif delay:
            loop = asyncio.get_running_loop()
            self._later[message] = loop.call_later(delay, self._come_back, message)
        else:
            self.put(message.again(self))

    def _come_back(self, message: MemoryMsg) -> None:
        del self._later[message]
        self.put(message.again(self))

    def hurry(self) -> None:
        """Put at once what would come later: nobody will be there then."""
        for message, handle in self._later.items():
            handle.cancel()
            self.put(message.again(self, is_last=True))
        self._later.clear()
