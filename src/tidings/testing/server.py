"""The memory server of tests: it remembers what was published, waits for nothing, and brings faults."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from tidings.brokers.memory.inbox import Inbox
from tidings.brokers.memory.message import NO_HEADERS, MemoryMsg
from tidings.brokers.memory.server import MemoryServer

from .faults import Faults

__all__ = ["Published", "TestServer"]


class Published(NamedTuple):
    """One message that was published."""

    subject: str
    data: bytes
    headers: Mapping[str, str]


class TestServer(MemoryServer):
    """What test brokers share.

    Args:
        faults: what happens to messages on their way.

    Attributes:
        published: all messages, in order.
    """

    __test__ = False

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__()
        self.faults = faults
        self.published: list[Published] = []

    def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] = NO_HEADERS, reply: str = ""
    ) -> int:
        """Deliver a message, and remember it."""
        self.published.append(Published(subject, data, headers))
        return super().publish(subject, data, headers, reply)

    def new_inbox(self, pattern: str, queue_group: str) -> Inbox:
        """One whose messages come again without a wait, with faults where there are."""
        if self.faults is None:
            return _QuickInbox(pattern, queue_group)
        return _FaultyInbox(pattern, queue_group, self.faults)


class _QuickInbox(Inbox):
    """What shall come again later comes at once: a test need not wait for a backoff."""

    __slots__ = ()

    def take_back(self, message: MemoryMsg, delay: float) -> None:
        super().take_back(message, 0.0)


class _FaultyInbox(_QuickInbox):
    """An inbox that messages reach with faults."""

    __slots__ = ("_faults", "_late", "_random")

    def __init__(self, pattern: str, queue_group: str, faults: Faults) -> None:
        super().__init__(pattern, queue_group)
        self._faults = faults
        self._late: dict[MemoryMsg, asyncio.TimerHandle] = {}
        # Of its own, so that what happens here does not depend on the turns that others take.
        self._random = Random(f"{faults.seed} {pattern} {queue_group}")

    def put(self, message: MemoryMsg) -> int:
        if not self.members:  # a stop gets what is left as it is
            return super().put(message)
        faults, chance = self._faults, self._random.random
        # Always the same number of draws: a probability that is changed leaves the others' faults alone.
        drops, twice, again, late, overtakes = (chance() for _ in range(5))
        lateness, place = chance() * faults.most_delay, chance()
        copies = [] if drops < faults.drop else [message]
        if copies and twice < faults.duplicate:
            copies.append(
                MemoryMsg(
                    message.subject, message.data, message.headers, message.reply, self, message.deliveries
                )
            )
        if copies and again < faults.redeliver:
            copies.append(message.again(self))
        for each in copies:
            if late < faults.delay:
                self.held += 1
                loop = asyncio.get_running_loop()
                self._late[each] = loop.call_later(lateness, self._arrive_late, each)
            elif overtakes < faults.reorder:
                self.queue.insert(int(place * len(self.queue)), each)
                self.wake_one()
            else:
                super().put(each)
        return max(1, len(self.queue))

    def _arrive_late(self, message: MemoryMsg) -> None:
        self.held -= 1
        del self._late[message]
        super().put(message)

    def hurry(self) -> None:
        for message, handle in list(self._late.items()):
            handle.cancel()
            self._arrive_late(message)
        super().hurry()
