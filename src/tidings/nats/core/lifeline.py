"""What a connection lives on: its link, taken into use, lost, taken up again, left.

`Connection` is what its user sees; here is what happens to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tidings.nats.core import events
from tidings.nats.core.callbacks import Callbacks, check_loop, start_task
from tidings.nats.core.inbox import check_prefix
from tidings.nats.core.inbox_requests import Asker, Inbox
from tidings.nats.core.link import Link, Mark, is_harmless, is_passing, open_link, server_error
from tidings.nats.core.options import Options
from tidings.nats.core.reconnect import Lifecycle, Move, State, WayBack, connect_once
from tidings.nats.core.requests import Replies
from tidings.nats.core.servers import Server, ServerPool
from tidings.nats.core.status import Status
from tidings.nats.core.subscription import Subscription
from tidings.nats.core.subscriptions import Subscriptions
from tidings.nats.core.writer import Writer
from tidings.nats.errors import (
    AuthorizationError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    NoServersError,
    OutboundBufferLimitError,
    PermissionsError,
    PossiblyLostError,
)
from tidings.nats.wire import MAX_PAYLOAD, Err, Event, Info

__all__ = ["Lifeline"]

# How long a server that we leave has to confirm what we wrote to it.
_RETIRE_PATIENCE = 1.0


class Lifeline(Status):
    """One link at a time, and the state of the connection.

    Args:
        servers: URLs of the servers, see `ServerPool`.
        options: see `Options`.
    """

    def __init__(self, servers: str | Sequence[str], options: Options) -> None:
        check_prefix(options.inbox_prefix)
        self.options = options
        self._pool = ServerPool(servers, shuffle=not options.no_randomize)
        self._life = Lifecycle()
        self._link: Link | None = None
        self._left: Link | None = None  # still to be ended: it has to confirm what was written to it
        self._info: dict[str, Any] = {}
        self._last_error: Exception | None = None
        self._replies: Replies | None = None
        self._coming_back: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None
        self._established_at = 0.0
        self._is_informed = False
        self._loop = asyncio.get_running_loop()
        self._events = events.Events()
        # Public, as are the writer and the registry, for what is built on the connection.
        self.callbacks = self._callbacks = Callbacks(options.error_cb, self._note_error)
        self._way_back = WayBack(
            self._pool, options, self._open_link, self._callbacks.report, self._note_failed
        )
        self.writer = self._writer = Writer(self._callbacks.report, options.skip_subject_validation)
        self.registry = self._subscriptions = Subscriptions(
            self, self._writer, self._callbacks.report, options.drain_timeout
        )
        self._asker = Asker(self._subscriptions, self._writer)
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def open(self) -> None:
        """Connect to the first server that takes us; each is tried once.

        With ``retry_on_failed_connect`` it returns when none could be reached, and goes on trying as if the
        connection had been lost; refused credentials are raised all the same.

        Raises:
            NoServersError, AuthorizationError: see `connect_once`.
        """
        try:
            link = await connect_once(self._pool, self._open_link)
        except NoServersError as error:
            if not (self.options.retry_on_failed_connect and self.options.allow_reconnect):
                self._give_up_opening()
                raise
            self._last_error = error
            self._life.move(Move.RETRY)
            self._hold_publishes()
            self._coming_back = start_task(self._come_back(error))
            return
        except BaseException:
            self._give_up_opening()
            raise
        self._establish(link)
        self._events.emit(events.Connected(link.server.address))

    def _give_up_opening(self) -> None:
        self._life.move(Move.FAILED)
        self._events.end()
        self._closed.set_result(None)

    async def force_reconnect(self) -> None:
        """Leave this server in an orderly way and connect again, to another one if there is one.

        What was published before has arrived at the old server, unless it does not answer for a second;
        what is published meanwhile is held as after a loss. Returns when the server is left: the way back
        goes on in the background, and `reconnected_cb` is called at its end. A client that is reconnecting
        already tries the next server without a pause. ``allow_reconnect`` need not be on.

        Raises:
            ConnectionClosedError, ConnectionDrainingError: there is nothing to come back to.
        """
        self._check_open()
        if self.is_draining:
            raise ConnectionDrainingError("the client drains and does not reconnect")
        link = self._link
        if link is None:
            self._way_back.hurry()
            return
        gone = ConnectionClosedError(f"{link.server} was left: force_reconnect() was called")
        self._on_lost(link, gone)
        await link.closed()

    def set_server_pool(self, servers: str | Sequence[str]) -> None:
        """Use these servers from the next reconnect on; it does not bring one about.

        Servers that were discovered before are forgotten, until a server names them again.

        Raises:
            ValueError, TypeError: no server, or a URL that is none; the pool stays as it was.
            ConnectionClosedError: the client is closed.
        """
        self._check_open()
        self._pool.replace(servers)

    # Status

    @property
    def is_connected(self) -> bool:
        """Whether there is a server at the other end now."""
        return self._link is not None

    @property
    def is_reconnecting(self) -> bool:
        """Whether the connection was lost and is being taken up again."""
        return self._life.state is State.RECONNECTING

    @property
    def is_draining(self) -> bool:
        """Whether `drain` is under way."""
        return self._life.state is State.DRAINING

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._life.state is State.CLOSED

    @property
    def connected_url(self) -> str | None:
        """``nats://host:port`` of the server, without credentials; None while there is none."""
        return self._link.server.address if self._link is not None else None

    @property
    def server_pool(self) -> list[Server]:
        """The servers in the order in which they would be tried now: copies, without credentials."""
        return self._pool.shown()

    @property
    def subscriptions(self) -> list[Subscription]:
        """The subscriptions that are open now; those to replies are not among them."""
        return [sub for sub in self._subscriptions if not isinstance(sub, Inbox)]

    @property
    def server_info(self) -> dict[str, Any]:
        """The last INFO of the server, a copy."""
        return dict(self._info)

    @property
    def max_payload(self) -> int:
        """Bytes of headers and payload that the server accepts in one message."""
        return self._writer.encoder.max_payload

    @property
    def last_error(self) -> Exception | None:
        """The last error of the connection."""
        return self._last_error

    # The link, coming and going

    async def _open_link(self, server: Server) -> Link:
        return await open_link(
            server, self.options, self._subscriptions.routes, self._on_event, self._on_lost
        )

    def _establish(self, link: Link) -> None:
        """Take `link` into use: subscriptions first, then what was published meanwhile (ADR-40)."""
        self._life.move(Move.ESTABLISHED)
        self._writer.encoder.refusal = None
        self._established_at = self._loop.time()
        link.server.refusal = None
        self._link = self._subscriptions.link = link
        self._take_info(link)
        replies = self._replies
        link.write_control(
            self._subscriptions.replay({replies.sid: (replies.pattern, "")} if replies else {})
        )
        self._writer.attach(link)
        if self._subscriptions.is_blocked:
            link.pause_reading()
        link.begin()
        if link.is_lost:  # between its last line and now
            self._on_lost(link, link.reason)
            return
        link.start_pings(self.options.ping_interval, self.options.max_outstanding_pings, self._ping)
        self._subscriptions.restored()

    def _ping(self) -> Mark:
        before = self._writer.gathered
        self._writer.encoder.ping()
        return before

    def _on_event(self, link: Link, event: Event) -> None:
        if isinstance(event, Info):
            if link is self._link:  # one that is being left has no say any more
                self._take_info(link)
            if event.fields.get("ldm") and not link.is_lame:
                link.is_lame = True
                self._leave_lame(link)
        elif isinstance(event, Err):
            self._take_error(link, event.text)

    def _take_error(self, link: Link, text: str) -> None:
        self._last_error = error = server_error(text)
        if isinstance(error, PermissionsError):
            self._refuse(error)
        self._callbacks.report(error)
        if isinstance(error, AuthorizationError) or is_passing(text):
            link.abort(error)
        elif not is_harmless(text) and link is self._link and self._life.move(Move.FAILED):
            # A fault of ours or of the account's: it would be the same with the next link.
            self._count_lost(link)
            self._callbacks.notify(self._shut)

    def _refuse(self, error: PermissionsError) -> None:
        """Tell those whose subject the server refuses."""
        self._subscriptions.refuse(error)
        replies = self._replies
        if replies is None:
            return
        if error.operation == "subscription" and error.subject == replies.pattern:
            self._replies = None  # the next request asks anew: permissions can change
            self._subscriptions.routes.pop(replies.sid, None)
            self._late_replies += replies.late
            replies.fail(error)
        else:
            replies.refuse(error)

    def _note_error(self, error: Exception) -> None:
        self._errors += 1
        self._events.emit_error(error)

    def _note_failed(self, server: Server, error: Exception) -> None:
        self._last_error = error  # the reason of being away that counts now, for whoever is refused
        self._events.emit(events.ReconnectFailed(server.address, error))

    def _take_info(self, link: Link) -> None:
        self._info = info = link.info
        encoder = self._writer.encoder
        limit = info.get("max_payload")
        if type(limit) is int and limit > 0:  # what makes no sense changes nothing
            encoder.max_payload = min(limit, MAX_PAYLOAD)
        encoder.headers_supported = bool(info.get("headers", False))
        if self.options.ignore_discovered_servers:
            return
        is_first, self._is_informed = not self._is_informed, True
        discovered = self._pool.discover(info.get("connect_urls"), link.server)
        if discovered and not is_first:
            self._callbacks.notify(self.options.discovered_server_cb)
            self._events.emit(events.ServersDiscovered(tuple(discovered)))

    def _on_lost(self, link: Link, reason: Exception | None) -> None:
        if link is not self._link:
            return  # it never came so far as to be used, or was left before it ended
        self._stop_coming_back()
        self._unlink(link, reason)
        # A drain comes back when it has something to deliver; a callback may have to wait for that to end.
        is_waited_for = self.is_draining and self.options.reconnect_buffer_policy == "block"
        if self.is_reconnecting or is_waited_for:
            self._coming_back = start_task(self._come_back(reason, link))

    def _unlink(self, link: Link, reason: Exception | None) -> None:
        """Use `link` no more."""
        if not link.is_lost:
            self._writer.write_last()
        self._link = self._subscriptions.link = None
        self._count_past(link)
        self._hold_publishes()
        if reason is not None:
            self._last_error = reason
        self._subscriptions.lost()
        self._life.move(Move.LOST)
        self._callbacks.notify(self.options.disconnected_cb)
        self._events.emit(events.Disconnected(reason))
        if link.is_lost:
            self._count_lost(link)
        else:
            self._left = link
        self._way_back.ended(link.server, self._loop.time() - self._established_at)

    def _hold_publishes(self) -> None:
        size = self.options.reconnect_buffer_size
        self._writer.detach(size, self.options.reconnect_buffer_policy)
        if size <= 0:
            self._writer.encoder.refusal = self._nothing_is_held

    def _count_lost(self, link: Link) -> None:
        messages, size = link.take_unconfirmed()
        if messages:
            self._lost_msgs += messages
            self._lost_bytes += size
            self._callbacks.report(PossiblyLostError(link.server.address, messages, size))

    async def _retire(self, link: Link) -> None:
        if not link.is_lost:
            await link.retire(_RETIRE_PATIENCE)
        self._let_go()

    def _let_go(self) -> None:
        """End the link that was left, and tell what may be lost with it."""
        left, self._left = self._left, None
        if left is not None:
            left.abort()
            self._count_lost(left)

    async def _come_back(self, reason: Exception | None, left: Link | None = None) -> None:
        is_wanted = self.options.allow_reconnect or (left is not None and not left.is_lost)
        try:
            if left is not None:
                await self._retire(left)
            if not is_wanted:
                raise ConnectionClosedError("the connection was lost and allow_reconnect is off") from reason
            link = await self._way_back.find(self._info, reason)
        except Exception as error:
            if self.is_closed:  # by a function of the user's that was asked on the way
                return
            self._last_error = error
            self._callbacks.report(error)
            if self._life.move(Move.FAILED):
                await self._shut()
            return
        self._coming_back = None
        self._is_back(link)

    def _leave_lame(self, link: Link) -> None:
        """Move to another server before this one stops, without a moment of being away if there is one."""
        self._callbacks.notify(self.options.lame_duck_mode_cb)
        self._events.emit(events.LameDuck(link.server.address))
        if self.options.allow_reconnect and link is self._link:
            self._stop_coming_back()
            self._moving = start_task(self._move_on(link))

    async def _move_on(self, old: Link) -> None:
        new = await self._way_back.find_other(old.server)
        if new is None:
            return  # we stay until the server ends it
        if self._link is not old or self._life.state is not State.CONNECTED:
            new.abort()
            return
        self._unlink(old, ConnectionClosedError(f"{old.server} was left: it is in lame duck mode"))
        try:
            await self._retire(old)
        except BaseException:
            new.abort()
            raise
        self._moving = None
        self._is_back(new)

    def _is_back(self, link: Link) -> None:
        self._establish(link)
        self._reconnects += 1
        self._callbacks.notify(self.options.reconnected_cb)
        self._events.emit(events.Reconnected(link.server.address))

    async def _come_back_if(self, is_needed: Callable[[], object]) -> None:
        """While the connection is away and `is_needed` holds, try to come back, and wait for it."""
        while self._link is None and is_needed():
            task = self._moving
            if task is None or task.done():
                if self._coming_back is None:
                    self._coming_back = start_task(self._come_back(self._last_error))
                task = self._coming_back
                if task.done():  # it gave up
                    return
            await asyncio.wait([task])

    def _stop_coming_back(self) -> None:
        tasks = (self._coming_back, self._moving)
        self._coming_back = self._moving = None
        for task in tasks:
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._let_go()  # the task may not have begun

    async def _shut(self) -> None:
        """Release everything. The state is CLOSED already."""
        raise NotImplementedError

    def _nothing_is_held(self) -> OutboundBufferLimitError:
        error = OutboundBufferLimitError(
            f"the client is away; reconnect_buffer_size={self.options.reconnect_buffer_size} holds nothing"
        )
        error.__cause__ = self._last_error
        return error

    def _closed_error(self) -> ConnectionClosedError:
        error = ConnectionClosedError("the client is closed; make a new one with connect()")
        error.__cause__ = self._last_error
        return error

    def _check_open(self) -> None:
        check_loop(self._loop)
        if self.is_closed:
            raise self._closed_error()

    def _connected_link(self) -> Link:
        self._check_open()
        if self._link is None:
            raise ConnectionReconnectingError(
                "the connection is away; wait for it to come back"
            ) from self._last_error
        return self._link

    def __repr__(self) -> str:
        where = f" to {self._link.server}" if self._link is not None else ""
        return f"<{type(self).__name__} {self._life.state.value}{where}>"
