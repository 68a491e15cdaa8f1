"""All subscriptions of a connection: their ids, what the server is told of them, their replay."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tidings.nats.core.iteration import BATCH
from tidings.nats.core.link import Link
from tidings.nats.core.options import MsgCallback, OrderedBy, SubscriptionLimits
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.writer import Writer
from tidings.nats.errors import PermissionsError
from tidings.nats.wire import Calls, Encoder, Msg, Route

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
        message_type: the class of messages, unless a route asks for one that this is no subclass of.
        loop: the one in which all of it happens.
        calls: calls the callbacks that are plain functions, in the loop's next turn.
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
        self.message_type: type[Msg] = Msg
        self.report = report
        self.drain_timeout = drain_timeout
        self.link: Link | None = None
        self.is_closed = False
        self._writer = writer
        self.loop = asyncio.get_running_loop()
        self.calls = Calls(partial(self.loop.call_soon, self._call))
        self._last_sid = 0
        self._blocking: set[int] = set()
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
        workers: int = 1,
        ordered_by: OrderedBy | None = None,
    ) -> Subscription:
        """Make a subscription and `start` it. Raises BadSubjectError."""
        sid = self.next_sid()
        sub = Subscription(self, sid, subject, queue, callback, limits, max_msgs, workers, ordered_by)
        self.start(sub)
        return sub

    def start(self, sub: Subscription) -> None:
        """Tell the server of `sub`, now or when it is back. Raises BadSubjectError."""
        self.add_route(sub, sub.subject, sub.queue_group)
        self._alive.add(sub)
        if sub.max_msgs:
            self.send_unsubscribe(sub, sub.max_msgs)

    def next_sid(self) -> int:
        """An id that this connection has not used yet."""
        self._last_sid += 1
        return self._last_sid

    def add_route(self, route: Route, subject: str, queue: str = "") -> None:
        """Have the messages of `subject` delivered to `route`. Raises BadSubjectError."""
        # While there is no link the command is only checked; `replay` makes it again.
        encoder = self._writer.encoder if self.link is not None else Encoder()
        encoder.subscribe(route.sid, subject, queue)
        if issubclass(self.message_type, route.message_type):
            route.message_type = self.message_type
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

    def refuse(self, error: PermissionsError) -> None:
        """Tell the subscriptions what the server refuses; it may be one of them."""
        for sub in self:
            sub.refuse(error)

    @property
    def is_blocked(self) -> bool:
        """Whether a subscription is full and nothing is to be read for now."""
        return bool(self._blocking)

    def block(self, sub: Subscription) -> None:
        """Read nothing more from the socket until `unblock`."""
        self._blocking.add(sub.sid)
        if self.link is not None:
            self.link.pause_reading()

    def unblock(self, sub: Subscription) -> None:
        """Read on, unless another subscription blocks."""
        self._blocking.discard(sub.sid)
        if self.link is not None and not self._blocking:
            self.link.resume_reading()

    def _call(self) -> None:
        self.calls.run(BATCH)

    async def end_inflow(self, *subs: Subscription) -> None:
        """Have the server stop sending to `subs`; returns when all that was under way has arrived."""
        link = self.link
        if link is not None:
            for sub in subs:
                self._writer.encoder.unsubscribe(sub.sid)
            pong = link.expect_pong(self._writer.gathered)
            self._writer.encoder.ping()
            self._writer.write_early()
            # When the link is lost instead, nothing is under way any more.
            await asyncio.wait([pong])
        for sub in subs:
            self.forget(sub)

    async def drain(self) -> None:
        """Let all end together without losing what was delivered."""
        subs = [sub for sub in self if not sub.drains_last]
        for sub in subs:
            sub.start_draining()
        await self.end_inflow(*subs)
        for sub in subs:
            sub.close()
        # In two steps: what drains last may be made by a callback that runs until then.
        for drains_last in (False, True):
            for sub in list(self._alive):
                if sub.drains_last is drains_last:
                    await sub.emptied()

    def runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` is the one in which a subscription calls its callback."""
        return any(task in sub.tasks for sub in list(self._alive))

    def left(self) -> str:
        """What was not handled yet, for an error message."""
        subs = list(self._alive)
        messages = sum(sub.unhandled for sub in subs)
        running = sum(len(sub.tasks) for sub in subs)
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

    def lost(self) -> None:
        """The link is gone: tell those who want to know."""
        for sub in self:
            sub.lost()

    def restored(self) -> None:
        """A new link was told of every subscription: tell those who want to know."""
        for sub in self:
            sub.restored()

    def close(self) -> list[asyncio.Task[None]]:
        """End every subscription: readers are told, workers cancelled; returns those to wait for."""
        self.is_closed = True
        self.link = None
        workers: list[asyncio.Task[None]] = []
        for sub in list(self._alive):
            sub.close()
            workers += sub.stop()
        self.routes.clear()
        return workers
