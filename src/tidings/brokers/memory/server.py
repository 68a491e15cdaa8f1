"""What memory brokers connect to: the subjects, who listens to them, and who waits for an answer."""

import asyncio
from collections.abc import Mapping
from itertools import count
from random import Random
from typing import NamedTuple

from tidings.messaging.errors import PublishError, SetupError
from tidings.messaging.marks import MemoryMarks
from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_subject, subject_matches

from .inbox import Inbox
from .message import NO_HEADERS, MemoryMsg

__all__ = ["MemoryServer"]

_MOST_ROUTES = 10_000  # subjects whose inboxes are remembered


class _Route(NamedTuple):
    """The inboxes of a subject: of those alone all get a message, of each queue group one.

    `only` is the one that gets it where there is but one.
    """

    only: Inbox | None
    alone: tuple[Inbox, ...]
    groups: tuple[tuple[Inbox, ...], ...]


class MemoryServer:
    """What the brokers of one process share::

        server = MemoryServer()
        shop, mail = MemoryBroker(server), MemoryBroker(server)

    It belongs to the event loop of the brokers that are connected to it.

    Attributes:
        marks: what they share of what happens once.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections = 0
        self._inboxes: list[Inbox] = []
        self._routes: dict[str, _Route] = {}
        self._replies: dict[str, asyncio.Future[MemoryMsg]] = {}
        self._delayed: set[asyncio.TimerHandle] = set()
        self._numbers = count(1)
        self.marks = MemoryMarks()
        self._random = Random()

    def connect(self) -> None:
        """Count one more connection. SetupError where those that are open are of another event loop."""
        loop = asyncio.get_running_loop()
        if self._connections and self._loop is not loop and self._loop and not self._loop.is_closed():
            raise SetupError(
                "the brokers of a MemoryServer run in one event loop: give each loop one of its own"
            )
        if self._loop is not loop:  # what an earlier loop left has nobody any more
            self._loop, self._connections = loop, 0
            self._forget()
        self._connections += 1

    def disconnect(self) -> int:
        """Count one connection less; how many delayed messages that leaves without anybody."""
        self._connections -= 1
        if self._connections:
            return 0
        left = len(self._delayed)
        self._forget()
        return left

    def _forget(self) -> None:
        for handle in self._delayed:
            handle.cancel()
        self._delayed.clear()
        self._inboxes.clear()
        self._routes.clear()
        self._replies.clear()

    @property
    def is_idle(self) -> bool:
        """Whether no message waits for a worker, or for the rest of its batch."""
        return not any(inbox.queue or inbox.held for inbox in self._inboxes)

    # Who listens

    def join(self, pattern: str, queue_group: str) -> Inbox:
        """Listen to a pattern, alone or as a member of a queue group."""
        for inbox in self._inboxes:
            if queue_group and (inbox.pattern, inbox.queue_group) == (pattern, queue_group):
                break
        else:
            inbox = self.new_inbox(pattern, queue_group)
            self._inboxes.append(inbox)
            self._routes.clear()
        inbox.members += 1
        return inbox

    def new_inbox(self, pattern: str, queue_group: str) -> Inbox:
        """The inbox of a pattern that nobody listened to."""
        return Inbox(pattern, queue_group)

    def leave(self, inbox: Inbox) -> None:
        """Listen no more. What the inbox holds is for the other members; without any, for who leaves."""
        inbox.members -= 1
        if not inbox.members and inbox in self._inboxes:
            self._inboxes.remove(inbox)
            self._routes.clear()

    # What is published

    def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] = NO_HEADERS, reply: str = ""
    ) -> int:
        """Deliver a message; of the inboxes that got it, how many messages the fullest one holds.

        0 when nobody got it. PublishError for a subject that is none.
        """
        try:
            route = self._routes.get(subject)
        except TypeError:  # a list, a dict: what nobody could have published to
            raise PublishError(f"the subject must be a str, not {type(subject).__name__}") from None
        if route is None:
            if (waiting := self._replies.pop(subject, None)) is not None:
                if not waiting.done():
                    waiting.set_result(MemoryMsg(subject, data, headers, reply))
                return 1
            route = self._find(subject)
        if (only := route.only) is not None:
            return only.put(MemoryMsg(subject, data, headers, reply, only))
        fullest = 0
        for inbox in (*route.alone, *map(self._one_of, route.groups)):
            fullest = max(fullest, inbox.put(MemoryMsg(subject, data, headers, reply, inbox)))
        return fullest

    def publish_later(
        self, delay: float, subject: str, data: bytes, headers: Mapping[str, str], reply: str = ""
    ) -> None:
        """Deliver a message in so many seconds, to those who listen then. PublishError as `publish`."""
        _check(subject)

        def deliver() -> None:
            self._delayed.discard(handle)
            self.publish(subject, data, headers, reply)

        handle = asyncio.get_running_loop().call_later(delay, deliver)
        self._delayed.add(handle)

    def expect(self) -> tuple[str, "asyncio.Future[MemoryMsg]"]:
        """An address for one answer, and the answer."""
        address = f"_INBOX.{next(self._numbers)}"
        answer = self._replies[address] = asyncio.get_running_loop().create_future()
        return address, answer

    def forget(self, address: str) -> None:
        """Expect no answer any more."""
        self._replies.pop(address, None)

    def _find(self, subject: str) -> _Route:
        _check(subject)
        alone: list[Inbox] = []
        groups: dict[str, list[Inbox]] = {}
        for inbox in self._inboxes:
            if subject_matches(inbox.pattern, subject):
                if inbox.queue_group:
                    groups.setdefault(inbox.queue_group, []).append(inbox)
                else:
                    alone.append(inbox)
        only = alone[0] if len(alone) == 1 and not groups else None
        if not alone and len(groups) == 1:
            (members,) = groups.values()
            only = members[0] if len(members) == 1 else None
        route = _Route(only, tuple(alone), tuple(map(tuple, groups.values())))
        if alone or groups:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            self._routes[subject] = route
        return route

    def _one_of(self, inboxes: tuple[Inbox, ...]) -> Inbox:
        """As in NATS a queue group has one name, whatever patterns its members listen to."""
        if len(inboxes) == 1:
            return inboxes[0]
        return self._random.choices(inboxes, [inbox.members for inbox in inboxes])[0]


def _check(subject: str) -> None:
    try:
        check_subject(subject)
    except (BadSubjectError, TypeError) as error:
        raise PublishError(str(error)) from error
