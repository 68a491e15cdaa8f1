"""A subscription: its queue is the wire's `Route`, its reader a callback, an iterator, or `next_msg`."""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Protocol

from tidings.nats.core.callbacks import is_coroutine_function, start_task
from tidings.nats.core.iteration import BATCH, Iteration
from tidings.nats.core.options import MsgCallback, OrderedBy, SubscriptionLimits, check_timeout
from tidings.nats.core.workers import Crew
from tidings.nats.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    DrainTimeoutError,
    Error,
    PermissionsError,
    SlowConsumerError,
    TimeoutError,
)
from tidings.nats.wire import BLOCK, ERROR, Calls, Msg, Route

__all__ = ["Subscription"]


class Home(Protocol):
    """What a subscription needs of the connection it belongs to."""

    owner: Any
    report: Callable[[Exception], None]
    drain_timeout: float
    is_closed: bool
    calls: Calls
    loop: asyncio.AbstractEventLoop

    def send_unsubscribe(self, sub: Subscription, limit: int = 0) -> None:
        """Tell the server."""

    def forget(self, sub: Subscription) -> None:
        """Take no more messages for `sub`."""

    def finished(self, sub: Subscription) -> None:
        """`sub` got all the messages it asked for."""

    def block(self, sub: Subscription) -> None:
        """Read nothing more from the socket until `unblock`."""

    def unblock(self, sub: Subscription) -> None:
        """Read on, unless another subscription blocks."""

    async def end_inflow(self, *subs: Subscription) -> None:
        """Have the server stop sending to `subs`, and wait for what is under way."""


class Subscription(Route):
    """Interest in a subject. Made by `Client.subscribe`.

    With a callback that is a coroutine function one worker, or as many as asked for, awaits it for each
    message; a worker is a task that lives only while there are messages. A plain function is called by
    the loop, without a task: with a message or two for each of many subscriptions, tasks would cost more
    than all else. Without a callback, read with ``async for`` or `next_msg`.

    Attributes:
        subject: what is subscribed to; may hold wildcards.
        queue_group: the queue group, or an empty string.
        pending_msgs, pending_bytes: what is held and not yet taken.
        received: messages that came, dropped ones included.
        dropped: messages dropped because a limit was reached.
        highest_pending_msgs: the most that was ever held.
        failure: the error that ended it, if one did: a limit with the policy ``error``, or a permission.
    """

    __slots__ = (
        "__weakref__",
        "_blocks",
        "_can_block",
        "_closed",
        "_crew",
        "_draining",
        "_home",
        "_idle",
        "_is_async",
        "_is_dropping",
        "_readers",
        "_seen_dropped",
        "_waiters",
        "_worker",
        "failure",
        "queue_group",
        "subject",
    )

    drains_last = False
    """Whether it is there for what the others' callbacks still do while the client drains."""

    called_by_loop = True
    """Whether a callback that is a plain function needs no worker, which takes every message by `pop`."""

    _HAS_CALLBACK = "the subscription to {!r} has a callback, which gets its messages"

    def __init__(
        self,
        home: Home,
        sid: int,
        subject: str,
        queue_group: str,
        callback: MsgCallback | None,
        limits: SubscriptionLimits,
        max_msgs: int,
        workers: int = 1,
        ordered_by: OrderedBy | None = None,
    ) -> None:
        super().__init__(
            sid,
            home.owner,
            max_pending_msgs=limits.msgs,
            max_pending_bytes=limits.bytes,
            max_msgs=max_msgs,
            policy=limits.policy_number,
        )
        self._home = home
        self.subject = subject
        self.queue_group = queue_group
        self.callback = callback
        # A callback sees the context variables of whoever subscribed, not those of the socket's reader.
        self.context = contextvars.copy_context() if callback is not None else None
        self.calls = home.calls
        self._is_async = callback is not None and is_coroutine_function(callback)
        self._can_block = limits.policy_number == BLOCK
        self._worker: asyncio.Task[None] | None = None
        self._crew = Crew(self, workers, ordered_by, self.context) if workers > 1 else None
        self._waiters: deque[asyncio.Future[None]] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._readers: list[asyncio.Task[Any] | None] = []  # who iterates; one entry an iterator
        self._is_dropping = False
        self._seen_dropped = 0
        self._closed = False
        self._draining = False
        self._blocks = False
        self.failure: Exception | None = None

    @property
    def is_closed(self) -> bool:
        """Whether no more messages come."""
        return self._closed

    @property
    def is_draining(self) -> bool:
        """Whether `drain` was called: nothing new is taken, the rest is handed out."""
        return self._draining

    @property
    def delivered(self) -> int:
        """Messages taken from the server and not dropped."""
        return self.received - self.dropped

    @property
    def messages(self) -> AsyncIterator[Msg]:
        """An iterator over the messages, by nats-py's name."""
        return self.__aiter__()

    def wake(self) -> None:
        """Called by the link when messages came: let the reader go on."""
        if self._is_dropping or self.dropped != self._seen_dropped:
            self._note_drops()
        if self.callback is None:
            if self._waiters:
                self._wake_waiters()
        elif self._crew is not None:
            self._crew.staff()
        elif self.called_by_loop and not self._is_async:
            if self._worker is None:
                self.calls.add(self)
                self.wants_wake = self._is_dropping or self._can_block or self.max_msgs > 0
        elif self._worker is None and self.pending_msgs:
            self._start_worker()
        if self._can_block:
            self._block_if_full()
        if 0 < self.max_msgs <= self.received:
            self._home.finished(self)

    def _note_drops(self) -> None:
        dropped_before, self._seen_dropped = self._seen_dropped, self.dropped
        is_dropping = self.dropped > dropped_before
        if is_dropping and not self._is_dropping:  # told once, until a batch comes through whole
            self._tell_dropping()
        self._is_dropping = is_dropping

    def _tell_dropping(self) -> None:
        error = SlowConsumerError(self.subject, self.sid, self.dropped)
        self.report(error)
        if self.policy == ERROR:
            self.fail(error)

    def _block_if_full(self) -> None:
        is_full = (0 < self.max_pending_msgs <= self.pending_msgs) or (
            0 < self.max_pending_bytes <= self.pending_bytes
        )
        # A drain has to see what the server sent before it heard of it.
        if is_full and not (self._blocks or self._draining or self._closed):
            self._blocks = self.wants_served = True
            self._home.block(self)

    def _unblock_if_half_empty(self) -> None:
        # Half, so that the socket is not paused and resumed for each message.
        if (self.max_pending_msgs <= 0 or self.pending_msgs <= self.max_pending_msgs // 2) and (
            self.max_pending_bytes <= 0 or self.pending_bytes <= self.max_pending_bytes // 2
        ):
            self._unblock()

    def _unblock(self) -> None:
        if self._blocks:
            self._blocks = False
            self._home.unblock(self)

    def __aiter__(self) -> AsyncIterator[Msg]:
        if self.callback is not None:
            raise BadSubscriptionError(self._HAS_CALLBACK.format(self.subject))
        return Iteration(self, self._readers)

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message.

        Args:
            timeout: seconds; None waits until the subscription ends.

        Raises:
            TimeoutError: none came in time.
            BadSubscriptionError: it has a callback, or it is closed and read to the end.
            SlowConsumerError, PermissionsError: it was ended by this, and is read to the end.
            ConnectionClosedError: the client is closed.
        """
        if self.callback is not None:
            raise BadSubscriptionError(self._HAS_CALLBACK.format(self.subject))
        if (message := self.take()) is not None:
            return message
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                while (message := self.take()) is None:
                    if self._closed:
                        raise self.failure or self._end()
                    await self.arrival()
        except builtins.TimeoutError as error:
            if isinstance(error, Error):
                raise
            raise TimeoutError(f"no message on {self.subject!r} within {timeout} s") from None
        return message

    async def closed(self) -> Exception | None:
        """Wait until no more messages come: it ended, or the client did; returns the `failure`, if any.

        What is held then can still be read, and the callback may still be at work.
        """
        while not self._closed:
            await self.arrival()
        return self.failure

    async def unsubscribe(self, limit: int = 0) -> None:
        """End the subscription now, or after `limit` messages in all since it was made.

        Without `limit` what is held and not yet taken is dropped; `drain` hands it out first.

        Raises:
            BadSubscriptionError: it is closed already.
            ConnectionClosedError: the client is closed.
        """
        self._check_open()
        if limit > self.received:
            self.max_msgs = limit
            self.wants_wake = True
            self._home.send_unsubscribe(self, limit)
            return
        self._home.send_unsubscribe(self)
        self._home.forget(self)
        if limit <= 0:
            self.clear()
        self.close()

    async def drain(self, timeout: float | None = None) -> None:
        """End the subscription without losing what was delivered.

        The server stops sending, all that is under way arrives, and every message is handled by the
        callback or taken by the iterator; then the subscription closes. Called from its own callback
        it returns once nothing more can arrive. Cancelled, it closes at once; what is held can still be
        taken.

        Args:
            timeout: seconds; None takes ``drain_timeout`` of the options.

        Raises:
            DrainTimeoutError: messages were left; the text says how many.
            BadSubscriptionError, ConnectionClosedError: it is closed already.
        """
        check_timeout(timeout)
        self._check_open()
        self.start_draining()
        limit = self._home.drain_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                await self._home.end_inflow(self)
                self.close()
                await self.emptied()
        except builtins.TimeoutError:
            self._home.forget(self)
            self.close()
            left = f"{self.unhandled} messages are left"
            if self.tasks:
                left += " and the callback still runs"
            raise DrainTimeoutError(f"draining {self.subject!r} took over {limit} s; {left}") from None
        except BaseException:
            # Nothing comes any more: whoever reads would wait for ever, and nobody could end it again.
            self._home.forget(self)
            self.close()
            raise

    async def emptied(self) -> None:
        """Wait until everything held was handed out and the worker is done, or the client closes.

        What nobody reads is not waited for: messages that are read by `next_msg` stay there to be
        taken, and so do those of a loop that was left. Neither the worker nor a loop waits for itself.
        """
        current = asyncio.current_task()
        while not self._home.is_closed and self._has_others_at_work(current):
            if self._idle is None:
                self._idle = self._home.loop.create_future()
                self.wants_served = True
            await asyncio.shield(self._idle)

    def _has_others_at_work(self, current: asyncio.Task[Any] | None) -> bool:
        if self.is_due:
            return True
        if tasks := self.tasks:
            return any(task is not current for task in tasks)
        return self.pending_msgs > 0 and any(reader is not current for reader in self._readers)

    def start_draining(self) -> None:
        """From now on it is not made known to a new server."""
        self._draining = True
        self._unblock()

    def end(self) -> None:
        """Have the server send no more, and close. Does nothing when it is closed."""
        if not self._closed:
            self._home.send_unsubscribe(self)
            self._home.forget(self)
            self.close()

    def fail(self, error: Exception) -> None:
        """End it because of `error`, which the reader gets after what is held."""
        if not self._closed:
            self.failure = error
            self.end()

    def is_refused_by(self, error: PermissionsError) -> bool:
        """Whether `error` says that the server did not take this subscription."""
        return (
            error.operation == "subscription"
            and error.subject == self.subject
            and error.queue_group == self.queue_group
        )

    def refuse(self, error: PermissionsError) -> None:
        """The server refuses something, perhaps this: then it ends."""
        if self.is_refused_by(error):
            self.fail(error)

    def lost(self) -> None:
        """Called when the link is gone: a subclass may have asked the server for something."""

    def restored(self) -> None:
        """Called when a new link was told of it."""

    def close(self) -> None:
        """No more messages come; whoever waits is told. What is held can still be taken."""
        self._closed = True
        self._unblock()
        if self._waiters:
            self._wake_waiters()
        self.settle()

    def stop(self) -> list[asyncio.Task[None]]:
        """Cancel the workers, except the caller; returns those to wait for.

        What a callback has not got by then it never gets.
        """
        workers = [task for task in self.tasks if task is not asyncio.current_task()]
        if self.callback is not None:
            self.clear()
        self.settle()
        for worker in workers:
            worker.cancel()
        return workers

    @property
    def worker(self) -> asyncio.Task[None] | None:
        """The task that runs the callback now, if any, of a subscription with one worker."""
        return self._worker

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """The tasks that run the callback now."""
        if self._crew is not None:
            return self._crew.tasks
        return () if self._worker is None else (self._worker,)

    @property
    def unhandled(self) -> int:
        """Messages that came and were not handed out yet."""
        return self.pending_msgs + (self._crew.parked if self._crew is not None else 0)

    def failed(self, error: BaseException) -> None:
        """Report what the callback, a plain function, raised."""
        if isinstance(error, Exception):
            self._home.report(error)
        elif isinstance(error, asyncio.CancelledError):
            self._home.report(self._cancelled(error))
        else:
            raise error

    def returned(self, result: Any) -> bool:
        """A plain function may give something to be awaited: then a worker takes over."""
        if not inspect.isawaitable(result):
            return False
        self._start_worker(result)
        return True

    def served(self) -> None:
        """The callback was called: let a drain look again, and perhaps the link read on."""
        self.settle()
        if self._blocks:
            self._unblock_if_half_empty()
        self.wants_served = self._blocks or self._idle is not None

    def _start_worker(self, first: Awaitable[Any] | None = None) -> None:
        self.wants_wake = True
        self._worker = start_task(self._work(first), context=self.context)
        if inspect.iscoroutine(first):
            # A worker that is cancelled before it begins never awaits it.
            self._worker.add_done_callback(lambda _: first.close())

    async def _work(self, first: Awaitable[Any] | None) -> None:
        """Await `first`, then the callback for each message until none is left."""
        callback = self.callback
        assert callback is not None
        is_async = self._is_async
        pop = self.take if self._can_block else self.pop
        try:
            if first is not None:
                await self._finish(first)
            while self.pending_msgs:
                for _ in range(BATCH):
                    message = pop()
                    if message is None:
                        return
                    try:
                        result: Any = callback(message)
                        if result is not None and (is_async or inspect.isawaitable(result)):
                            await result
                    except Exception as error:
                        self._home.report(error)
                    except asyncio.CancelledError as error:
                        self._reraise_if_cancelled(error)
                await asyncio.sleep(0)
        finally:
            self._worker = None
            self.settle()

    async def _finish(self, result: Awaitable[Any]) -> None:
        try:
            await result
        except Exception as error:
            self._home.report(error)
        except asyncio.CancelledError as error:
            self._reraise_if_cancelled(error)

    async def handle(self, message: Msg) -> None:
        """Call the callback with `message`, for a worker that is one of several."""
        assert self.callback is not None
        try:
            result: Any = self.callback(message)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            self.report(error)
        except asyncio.CancelledError as error:
            self._reraise_if_cancelled(error)

    def report(self, error: Exception) -> None:
        """Report an error that concerns this subscription."""
        self._home.report(error)

    def worker_ended(self) -> None:
        """Called by one of several workers: let a drain look again."""
        self._nudge()

    def _reraise_if_cancelled(self, error: asyncio.CancelledError) -> None:
        """A callback may await something that was cancelled; the worker goes on unless cancelled too."""
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
        self._home.report(self._cancelled(error))

    def _cancelled(self, cause: asyncio.CancelledError) -> Error:
        failure = Error(f"the callback of {self.subject!r} awaited something that was cancelled")
        failure.__cause__ = cause
        return failure

    def take(self) -> Msg | None:
        """The oldest message, if there is one."""
        message = self.pop()
        if self._idle is not None:
            self.settle()
        if self._blocks:
            self._unblock_if_half_empty()
        return message

    async def arrival(self) -> None:
        """Wait until a message came, or the end."""
        waiter: asyncio.Future[None] = self._home.loop.create_future()
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters and waiter in self._waiters:  # timed out or cancelled
                self._waiters.remove(waiter)

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def settle(self) -> None:
        """Let a drain look again whether everything was handed out."""
        if self._idle is not None and (
            self._home.is_closed or not (self.is_due or self.tasks or (self.pending_msgs and self._readers))
        ):
            self._nudge()

    def _nudge(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._idle = None

    def _check_open(self) -> None:
        if self._closed or self._draining:
            raise self._end() from self.failure

    def _end(self) -> Exception:
        if self._home.is_closed:
            return ConnectionClosedError("the client is closed")
        state = "draining" if self._draining and not self._closed else "closed"
        return BadSubscriptionError(f"the subscription to {self.subject!r} is {state}")
