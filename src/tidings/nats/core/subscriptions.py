"""All subscriptions of a connection: their ids, what the server is told of them, their replay."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from tidings.nats.core.link import Link
from tidings.nats.core.options import MsgCallback, SubscriptionLimits
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.writer import Writer
from tidings.nats.wire import Encoder, Route

__all__ = ["Subscriptions"]


class Subscriptions:
    """The routes of a connection and the SUB and UNSUB that go with them.

    Args:
        owner: the client, handed to every message.
        writer: where commands go.
        report: takes an error that no call can raise.
        drain_timeout: seconds, for a drain that is given none.

    Attributes:
        routes: subscription id → route; shared with the parser of every link.
    """

    def __init__(
        self,
        owner: Any,
        writer: Writer,
        report: Callable[[Exception], None],
        drain_timeout: float,
    ) -> None:
        self.owner = owner
        self.routes: dict[int, Route] = {}
        self.report = report
        self.drain_timeout = drain_timeout
        self.link: Link | None = None
        self.is_closed = False
        self._writer = writer
        self._last_sid = 0
        # Also those that get no more messages, whose last callbacks may still run.
        self._alive: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def __iter__(self) -> Iterator[Subscription]:
        return iter([route for route in self.routes.values() if isinstance(route, Subscription)])

    def __len__(self) -> int:
        return len(self.routes)

    def add(
        self,
        subject: str,
        queue: str,
        callback: MsgCallback | None,
        limits: SubscriptionLimits,
        max_msgs: int,
    ) -> Subscription:
        """Make a subscription and tell the server, now or when it is back. Raises BadSubjectError."""
        sub = Subscription(self, self.next_sid(), subject, queue, callback, limits, max_msgs)
        self.add_route(sub, subject, queue)
        self._alive.add(sub)
        if max_msgs:
            self.send_unsubscribe(sub, max_msgs)
        return sub

    def next_sid(self) -> int:
        """An id that this connection has not used yet."""
        self._last_sid += 1
        return self._last_sid

    def add_route(self, route: Route, subject: str, queue: str = "") -> None:
        """Have the messages of `subject` delivered to `route`. Raises BadSubjectError."""
        # While there is no link the command is only checked; `replay` makes it again.
        encoder = self._writer.encoder if self.link is not None else Encoder()
        encoder.subscribe(route.sid, subject, queue)
        self.routes[route.sid] = route

    def send_unsubscribe(self, sub: Subscription, limit: int = 0) -> None:
        """Tell the server, if there is one; a later one will not hear of `sub` again."""
        if self.link is not None:
            self._writer.encoder.unsubscribe(sub.sid, limit)

    def forget(self, sub: Subscription) -> None:
        """Take no more messages for `sub`."""
        self.routes.pop(sub.sid, None)

    def finished(self, sub: Subscription) -> None:
        """`sub` got all the messages it asked for."""
        self.forget(sub)
        sub.close()

    async def end_inflow(self, *subs: Subscription) -> None:
        """Have the server stop sending to `subs`; returns when all that was under way has arrived."""
        link = self.link
        if link is not None:
            for sub in subs:
                self._writer.encoder.unsubscribe(sub.sid)
            pong = link.expect_pong(len(self._writer.encoder))
            self._writer.encoder.ping()
            self._writer.write_early()
            # When the link is lost instead, nothing is under way any more.
            await asyncio.wait([pong])
        for sub in subs:
            self.forget(sub)

    async def drain(self) -> None:
        """Let all end together without losing what was delivered."""
        subs = list(self)
        for sub in subs:
            sub.start_draining()
        await self.end_inflow(*subs)
        for sub in subs:
            sub.close()
        for sub in list(self._alive):
            await sub.emptied()

    def runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` is the one in which a subscription calls its callback."""
        return any(sub.worker is task for sub in list(self._alive))

    def left(self) -> str:
        """What was not handled yet, for an error message."""
        subs = list(self._alive)
        messages = sum(sub.pending_msgs for sub in subs)
        running = sum(sub.worker is not None for sub in subs)
        return f"{messages} messages are left" + (f" and {running} callbacks still run" if running else "")

    def replay(self, subjects: dict[int, tuple[str, str]]) -> bytes:
        """The commands that make a new server know every subscription (ADR-40).

        Args:
            subjects: subject and queue group of routes that are no `Subscription`, by id.
        """
        commands = Encoder()
        for sid, (subject, queue) in subjects.items():
            commands.subscribe(sid, subject, queue)
        for sub in self:
            if sub.is_draining:
                continue
            commands.subscribe(sub.sid, sub.subject, sub.queue_group)
            if sub.max_msgs > 0:
                # The new server counts from zero.
                commands.unsubscribe(sub.sid, sub.max_msgs - sub.received)
        return commands.take()

    def close(self) -> list[asyncio.Task[None]]:
        """End every subscription: readers are told, workers cancelled; returns those to wait for."""
        self.is_closed = True
        self.link = None
        workers = []
        for sub in list(self._alive):
            sub.close()
            if worker := sub.stop():
                workers.append(worker)
        self.routes.clear()
        return workers
