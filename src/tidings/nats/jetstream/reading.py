"""Continuous reading: pulls that overlap, so that there is always something on its way."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypedDict

from tidings.nats.core.connection import Connection
from tidings.nats.errors import DrainTimeoutError, TimeoutError
from tidings.nats.jetstream.errors import (
    ConfigError,
    JetStreamUnavailableError,
    NoHeartbeatError,
    NotFoundError,
    PullError,
    PullRefusedError,
)
from tidings.nats.jetstream.fetch import UNBOUNDED
from tidings.nats.jetstream.message import JetStreamMsg
from tidings.nats.jetstream.pull import PAUSE, Priority, PriorityOptions, Puller, Source, message_size
from tidings.nats.jetstream.statuses import PIN_MISMATCH, Verdict, batch_limit_in, limit_in
from tidings.nats.jetstream.times import to_seconds

__all__ = ["ErrorHandler", "Reading", "ReadingOptions", "ReadingSettings", "tell"]

ErrorHandler: TypeAlias = Callable[[Exception], object]

_MOST_HEARTBEAT = 30.0
_LEAST_EXPIRES = 1.0
_LONGEST_PAUSE = 5.0


class ReadingOptions(TypedDict, total=False):
    """`ReadingSettings` as keyword arguments."""

    batch: int
    max_bytes: int | None
    threshold: int | None
    expires: float
    heartbeat: float | None
    stop_after: int | None
    on_error: ErrorHandler | None
    group: str | None
    min_pending: int
    min_ack_pending: int
    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingSettings:
    """How to read on and on; times in seconds.

    Attributes:
        batch: messages asked for and not yet taken, at most.
        max_bytes: … in bytes, in the place of messages; counted with subject, ack subject and headers.
        threshold: ask for more when fewer are left of them, of bytes where `max_bytes` is given; None
            is half.
        expires: how long a pull waits at the server. Then it is asked again: no limit for the reader.
        heartbeat: how often an idle server shows that it is there; None is half of `expires`, at most 30.
        stop_after: end after so many messages; None goes on.
        on_error: called, plain or async, with what went wrong and did not end the reading; None reports it
            to the client's error callback.
        priority: see `Priority`.
    """

    batch: int = 500
    max_bytes: int | None = None
    threshold: int | None = None
    expires: float = 30.0
    heartbeat: float | None = None
    stop_after: int | None = None
    on_error: ErrorHandler | None = None
    priority: Priority = field(default_factory=Priority)

    def __post_init__(self) -> None:
        object.__setattr__(self, "expires", to_seconds(self.expires, "expires"))
        if self.heartbeat is not None:
            object.__setattr__(self, "heartbeat", to_seconds(self.heartbeat, "heartbeat"))
        for name in ("batch", "max_bytes", "threshold", "stop_after"):
            value = getattr(self, name)
            if type(value) is not int and (value is not None or name == "batch"):
                raise ConfigError(f"{name} is an int, not {value!r}")
        if self.batch < 1:
            raise ConfigError(f"batch is at least 1, not {self.batch!r}")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(f"max_bytes is at least 1, not {self.max_bytes!r}")
        if self.expires < _LEAST_EXPIRES:
            raise ConfigError(f"expires is at least {_LEAST_EXPIRES} s, not {self.expires!r}")
        if self.heartbeat is not None and not 0 < self.heartbeat <= self.expires / 2:
            raise ConfigError(f"heartbeat is above 0 and at most half of expires, not {self.heartbeat!r}")
        if self.threshold is not None and not 0 < self.threshold <= self.window:
            raise ConfigError(f"threshold is 1 to {self.window}, not {self.threshold!r}")
        if self.stop_after is not None and self.stop_after < 1:
            raise ConfigError(f"stop_after is at least 1, not {self.stop_after!r}")

    @classmethod
    def of(cls, options: ReadingOptions, group: str | None = None) -> ReadingSettings:
        """Settings from keyword arguments; `group` is the priority group when they name none."""
        rest: dict[str, Any] = dict(options)
        priority = {name: rest.pop(name) for name in PriorityOptions.__annotations__ if name in rest}
        if priority.get("group") is None:
            priority["group"] = group
        try:
            return cls(**rest, priority=Priority(**priority))
        except TypeError as error:
            raise ConfigError(f"{error}; the options are those of ReadingSettings") from None

    @property
    def window(self) -> int:
        """Messages or bytes that may be under way."""
        return self.max_bytes or self.batch

    @property
    def low(self) -> int:
        """Fewer messages or bytes than that under way: ask for more."""
        return self.threshold or (self.window + 1) // 2

    @property
    def beat(self) -> float:
        """Seconds between heartbeats."""
        return self.heartbeat or min(self.expires / 2, _MOST_HEARTBEAT)

    def within(self, text: str) -> ReadingSettings | None:
        """Settings that keep the limit of the consumer that `text` tells of; None when they do already."""
        limit = limit_in(text)
        if limit is None or limit <= 0:
            return None
        kind = text.lower()
        if "maxrequestbatch" in kind and self.batch > limit and not self.max_bytes:
            return replace(self, batch=int(limit), threshold=None)
        if "maxrequestbytes" in kind or "maxrequestmaxbytes" in kind:
            if self.max_bytes and self.max_bytes > limit:
                return replace(self, max_bytes=int(limit), threshold=None)
        elif "maxrequestexpires" in kind and self.expires > limit >= _LEAST_EXPIRES:
            return replace(self, expires=limit, heartbeat=None)
        return None


class Reading(Puller):
    """Pulls from a consumer as its reader goes on.

    Attributes:
        taken: messages handed to the reader.
        check_at: when so many are taken, `take_next` has something to look after. Until then a reader may
            take from `held` itself, if it counts them in `taken`.
        workers: the tasks that take messages, where it is not the user who does.
    """

    def __init__(self, source: Source, settings: ReadingSettings) -> None:
        super().__init__(source, settings.priority, counts_bytes=settings.max_bytes is not None)
        self.settings = settings
        self.taken = 0
        self.check_at = 0
        self.workers: Collection[asyncio.Task[None]] = ()
        self._end_at = settings.stop_after or sys.maxsize
        self._began = False
        self._absent = False
        self._got_some = False
        self._most = UNBOUNDED
        self._pause = PAUSE
        self._resume: asyncio.TimerHandle | None = None

    # The reader's side

    def start(self) -> None:
        """Ask for the first messages; `take_next` does it otherwise. Raises as that."""
        self._began = True
        self.begin()
        self.refill()

    async def take_next(self) -> JetStreamMsg | None:
        """The next message; None at the end.

        Raises:
            ConsumerDeletedError, NotFoundError, PullError: this ended it, and all that came is taken.
            ConnectionClosedError, ConnectionDrainingError: the client is closed before it began.
        """
        if not self._began:
            self.start()
        while not self.held:
            if self.is_closed or self.is_left:
                if self.failure is not None:
                    raise self.failure
                return None
            if self._absent:
                await self._look_for_consumer()
            else:
                await self.arrival()
        message = self.held.popleft()
        self.taken += 1
        if self._counts_bytes:
            self.bytes_held = max(self.bytes_held - message_size(message), 0)
        if self.taken >= self._end_at:
            self._finish_early()
        else:
            self.refill()
        if self.is_draining:
            self.settle()
        return message

    @property
    def readers(self) -> list[asyncio.Task[Any] | None]:
        """Who iterates, one entry an iteration: a drain of the client waits for them to take what is held."""
        return self._readers

    @readers.setter
    def readers(self, readers: list[asyncio.Task[Any] | None]) -> None:
        self._readers = readers

    def refill(self) -> None:
        """Ask for more if too little is under way."""
        settings = self.settings
        if self._counts_bytes:
            self.check_at = 0  # each message is weighed when it is taken
            under_way = self.bytes_to_come + self.bytes_held
            if under_way < settings.low and self._may_ask:
                self.ask(self._most, settings.window - under_way, settings.expires, settings.beat)
            return
        wanted = min(settings.batch, self._end_at - self.taken)
        under_way = self.to_come + len(self.held)
        if under_way < min(settings.low, wanted) and self._may_ask:
            self.ask(wanted - under_way, 0, settings.expires, settings.beat)
            under_way = wanted
        self.check_at = (
            0 if self.is_draining else min(self.taken + under_way - settings.low, self._end_at - 1)
        )

    @property
    def _may_ask(self) -> bool:
        return self.can_ask and self._began and self._resume is None and not self._absent

    def _finish_early(self) -> None:
        """All that was wanted is taken."""
        self.give_back()
        self.end()

    # The server's side

    def came(self) -> None:
        """Called after a batch was noted."""
        if self.held:
            self._pause = PAUSE
            self._got_some = True
        if self.to_come < self.settings.low:
            self.refill()

    def ended(self, verdict: Verdict, error: PullError) -> None:
        """Called when a pull came to its end; `came` is called after it and asks for more."""
        self.check_at = 0
        match verdict:
            case Verdict.EMPTY | Verdict.OVER:
                if isinstance(error, PullRefusedError) and not self.held and not self._got_some:
                    self.report(error)  # what is next is larger than max_bytes, and will be
                    self._wait_before_asking()
                self._got_some = False
            case Verdict.VOID:
                if error.status != PIN_MISMATCH:  # another client's turn: what pinning is for
                    self.report(error)
            case Verdict.BUSY:
                self.report(error)
                self._wait_before_asking()
            case Verdict.ABSENT:
                self._absent = True
                if self._waiters:
                    self._wake_waiters()
            case Verdict.REFUSED if self._counts_bytes and (most := batch_limit_in(error.text)) < self._most:
                self._most = most
            case Verdict.REFUSED if fitting := self.settings.within(error.text):
                self.settings = fitting
            case _:
                self.fail(error)

    def went_silent(self, seconds: float) -> None:
        """Called when no heartbeat came: ask again."""
        self.report(NoHeartbeatError(f"no heartbeat of consumer {self.source.consumer!r} for {seconds:g} s"))
        self.forget_asked()
        self.refill()

    def restored(self) -> None:
        """There is a server again: what was asked of the last one is asked of it."""
        self._absent = False
        self.refill()

    def report(self, error: Exception) -> None:
        """Tell whoever listens of an error that does not end the reading."""
        tell(self._connection, self.settings.on_error, error)

    def _wait_before_asking(self) -> None:
        if self._resume is None:
            self._resume = self._loop.call_later(self._pause, self._go_on)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _go_on(self) -> None:
        self._resume = None
        self.refill()

    async def _look_for_consumer(self) -> None:
        """Nobody took a pull: is the consumer gone, or only its leader?"""
        try:
            await self.source.look()
        except NotFoundError as error:
            self.fail(error)
        except (JetStreamUnavailableError, TimeoutError) as error:
            self.report(error)
        if self._absent and not self.is_closed:
            self._absent = False
            self._wait_before_asking()

    # The end

    def start_draining(self) -> None:
        """Ask for nothing more, and have each message looked after."""
        super().start_draining()
        self.check_at = 0

    async def finish(self, *, keep: bool) -> None:
        """End it with nothing in doubt: what is under way arrives, and what nobody takes is given back.

        Args:
            keep: leave what came to be taken.
        """
        if not (self.is_closed or self.is_draining):
            self.start_draining()
            if self._began:
                await self._end_inflow()
            self.end()
        if not keep:
            self.give_back()

    async def drain(self, timeout: float | None = None) -> None:
        """End it when what was delivered is taken, if somebody reads; see `Messages.drain`."""
        limit = self._connection.options.drain_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                await self.finish(keep=True)
                await self.emptied()
        except builtins.TimeoutError:
            left = len(self.held)
            self.give_back()
            raise DrainTimeoutError(f"draining took over {limit} s; {left} messages are left") from None

    def close(self) -> None:
        """No more messages come; what is held can still be taken."""
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self.check_at = 0
        super().close()

    # What a drain of the client waits for: what is held here, and not in the route

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """The tasks that a drain waits for."""
        return self.workers

    def settle(self) -> None:
        """Let a drain look again whether everything was handed out."""
        if self._idle is not None and (
            self._connection.is_closed or (not self.tasks and not (self.held and self._readers))
        ):
            self._nudge()

    def _has_others_at_work(self, current: asyncio.Task[Any] | None) -> bool:
        if self.tasks:
            return any(task is not current for task in self.tasks)
        return bool(self.held) and any(reader is not current for reader in self._readers)

    @property
    def unhandled(self) -> int:
        """Messages that came and were not handed out yet."""
        return len(self.held)

    def stop(self) -> list[asyncio.Task[None]]:
        """The client closes: cancel the workers, except the caller; returns those to wait for."""
        workers = [task for task in self.tasks if task is not asyncio.current_task()]
        if self.tasks:
            self.held.clear()
        self.settle()
        for worker in workers:
            worker.cancel()
        return workers


def tell(connection: Connection, handler: ErrorHandler | None, error: Exception) -> None:
    """Call `handler`, plain or async, with `error`; without one, and when it fails, the client reports it."""
    report = connection.callbacks.report
    if handler is None:
        report(error)
        return
    try:
        result = handler(error)
    except Exception as failure:
        report(failure)
    else:
        if inspect.isawaitable(result):
            connection.callbacks.notify(lambda: result)
