"""Handlers that are called at times, not for messages::

    @broker.every("30s")
    async def poll(logger: Logger) -> None: ...

    @broker.cron("0 6 * * mon-fri", tz="Europe/Berlin")
    @broker.publisher("reports")
    async def report(scheduled: datetime, session: Session = Depends(session)) -> Report: ...

They get what other handlers get, but for a payload: in its place the scheduled time, for a parameter that is
a `datetime`. One process runs each tick, see `turns`.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypedDict

from ..adapter import Handle
from ..broker import Broker, Output
from ..durations import Duration, to_seconds
from ..endpoints import Destination, Source
from ..errors import SetupError
from ..health import SubscriberHealth
from ..marks import MarkStore
from ..message import Message
from ..middleware import Middleware
from ..plans.pauses import Pauses
from ..retry import Retry
from .schedule_plan import Tick, TickMessage, schedule_plan
from .ticks import Ticks
from .turns import Busy, Turn, Turns

__all__ = ["Schedule", "ScheduleOptions", "ScheduleSource"]

_RENEWALS = 3  # within a lease
_LAST_WORDS = 1.0  # seconds for a run that is cancelled to give its turn back
_ONCE = Retry(attempts=1)


class ScheduleOptions(TypedDict, total=False):
    """What `every` and `cron` take besides: see `ScheduleSource`; a test keeps the two alike."""

    name: str
    missed: Literal["skip", "once"]
    lease: Duration
    everywhere: bool
    store: MarkStore | None
    timeout: float | None
    retry: Retry | None
    middlewares: Sequence[Middleware]
    dependencies: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSource(Source):
    """When a handler is called.

    Attributes:
        ticks: the times.
        name: by which processes know that it is the same schedule; empty is the handler's module and name.
        missed: what becomes of a tick that no process was there for: ``"skip"``, or ``"once"`` to run the
            last of them at the next start. With that a tick whose process dies is run by another one too.
        lease: how long the schedule waits for a process that died while it ran: seconds, a timedelta or
            a text; a second at least. A handler may take longer, its process renews it.
        everywhere: each process runs every tick, and nothing is shared.
        store: where the turns are; None for that of the broker.
        retry: how often a tick whose handler failed is tried, in place. Once, unless it is said; the next
            tick comes anyway.
    """

    ticks: Ticks
    name: str = ""
    missed: Literal["skip", "once"] = "skip"
    lease: Duration = 30.0
    everywhere: bool = False
    store: MarkStore | None = None
    retry: Retry | None = _ONCE

    def check(self) -> None:
        """Refuse options that cannot work. SetupError."""
        Source.check(self)
        if self.missed not in ("skip", "once"):
            raise SetupError(f'missed of {self.channel} is "skip" or "once", not {self.missed!r}')
        if to_seconds(self.lease, f"lease of {self.channel}") < 1:
            raise SetupError(f"lease of {self.channel} is at least a second, not {self.lease!r}")

    @property
    def channel(self) -> str:
        """The name and the times."""
        return f"{self.name} {self.ticks}".lstrip()

    def prefixed(self, prefix: str) -> Self:
        """The prefix of a router is one of the name, so that it can be included twice."""
        return replace(self, name=prefix + self.name)

    def takes(self, destination: Destination) -> bool:
        """Nothing is published to a schedule."""
        return False

    @property
    def path_names(self) -> Collection[str]:
        """None."""
        return ()


class Schedule:
    """Calls a handler at its times, from the broker's start to its stop.

    Attributes:
        broker, source, function: whose, when and what.

    Args:
        outputs_of: where the results of a function go.
    """

    def __init__(
        self,
        broker: Broker[Any],
        source: ScheduleSource,
        function: Callable[..., Any],
        outputs_of: Callable[[Callable[..., Any]], Sequence[Output]],
    ) -> None:
        self.broker = broker
        self.source = source
        self.function = function
        self._outputs_of = outputs_of
        self._lease = to_seconds(source.lease, "lease")
        self._pauses = Pauses()
        self._is_asking = False  # the store, for a turn
        self._trouble = ""
        self._skipped = ""  # why the last ticks were
        self._prepared: tuple[Turns | None, Handle] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """Its one function."""
        return [self.function]

    def message_factory(self) -> Callable[[Any], Message[Any]]:
        """What makes messages of ticks."""
        return TickMessage

    async def listen(self) -> None:
        """Make ready for ticks, which `begin` waits for; does nothing where it does already.

        Raises:
            SetupError: the handler asks for something that cannot be, or the store cannot be opened.
            StoreError: the store does not answer.
        """
        if self._waiting is not None:
            return
        self._pauses, self._trouble, self._skipped = Pauses(), "", ""
        outputs = self._outputs_of(self.function)
        handle = schedule_plan(self.function, outputs, self.broker, self.source, self._pauses)
        if self.broker.watch is not None:
            handle = self.broker.watch.around(self, handle)
        turns = None
        if not self.source.everywhere:
            store = self.source.store or self.broker.adapter.shared_marks()
            marks = await self.broker.adapter.marks(store)
            turns = Turns(marks, self.source.name, self._lease, is_kept=self.source.missed == "once")
        self._prepared = turns, handle

    def begin(self) -> None:
        """Wait for the next tick, once those who listen to what it publishes do."""
        if self._prepared is None:
            return
        waiting = self._wait(*self._prepared)
        self._prepared = None
        self._waiting = asyncio.get_running_loop().create_task(waiting)
        self._waiting.add_done_callback(self._ended)
        self.broker.clock.look_at(self._waiting, is_run=False)

    def feeds(self, other: Any, /) -> bool:
        """Whether its results are published to what `other` listens to."""
        outputs = self._outputs_of(self.function)
        return any(other.source.takes(output.destination) for output in outputs)

    def health(self) -> SubscriberHealth:
        """Whether it goes on: not where its store does not answer."""
        trouble = self._trouble
        if self._waiting is None:
            trouble = "it is not started"
        elif self._waiting.done():
            trouble = "it has ended"
        return SubscriberHealth(self.source.channel, trouble)

    async def drain(self, timeout: float) -> int:
        """Run no more ticks, and wait so many seconds for the one that is run: 1 if that was not enough."""
        deadline = asyncio.get_running_loop().time() + timeout
        self._prepared = None
        self._pauses.end()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self._is_asking:
            # A cancelled question may be answered all the same, and its lease would outlive us.
            await asyncio.wait([waiting], timeout=timeout)
        await _end(waiting)
        running = self._running
        if running is None or running is asyncio.current_task():
            return 0
        await asyncio.wait([running], timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        if running.done():
            return 0
        await _end(running, _LAST_WORDS)
        return 1

    def closed(self) -> None:
        """The broker is closed."""
        self._prepared = None
        self._pauses.end()
        for task in (self._waiting, self._running):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._waiting = None

    async def _wait(self, turns: Turns | None, handle: Handle) -> None:
        clock, ticks = self.broker.clock, self.source.ticks
        is_kept = self.source.missed == "once" and turns is not None
        wake = ticks.after(clock.now())
        if is_kept and turns is not None:
            await self._begin(turns)
            wake = clock.now()  # one may have been missed
        while wake != float("inf") and not self._pauses.are_over:
            await clock.sleep_until(wake)
            now = clock.now()
            tick, due, wake = ticks.last(now), wake, ticks.after(now)
            if tick > due:
                self._log(
                    f"is late: it goes on with the tick of {_told(tick)}, not with that of {_told(due)}"
                )
            if self._running is not None:
                self._skip(tick, "the run before it goes on")
            elif not await self._try(turns, tick, handle) and is_kept:
                wake = min(wake, now + self._lease)

    async def _begin(self, turns: Turns) -> None:
        try:
            await turns.begin(self.source.ticks.last(self.broker.clock.now()))
        except Exception as error:
            self._log("does not know yet whether a tick was missed: its store does not answer", error)

    async def _try(self, turns: Turns | None, tick: float, handle: Handle) -> bool:
        """Run a tick if it is our turn; whether it is known to be run."""
        turn = None
        if turns is not None:
            self._is_asking = True
            try:
                turn = await turns.take(tick)
            except Busy as busy:
                if busy.tick < tick:
                    told = f"that of {_told(busy.tick)} is still run by another process, which may have died"
                    self._skip(tick, told)
                return False
            except Exception as error:
                self._trouble = f"its store does not answer: {error}"
                self._log(f"does not run the tick of {_told(tick)} here: its store does not answer", error)
                return False
            finally:
                self._is_asking = False
            self._trouble = ""
            if turn is None:
                return True
        running = self._running = asyncio.get_running_loop().create_task(self._run(turns, turn, tick, handle))
        running.add_done_callback(self._ended)
        self._skipped = ""
        self.broker.clock.look_at(running, is_run=True)
        return True

    def _skip(self, tick: float, why: str) -> None:
        if self._skipped != why:  # one line for each run that goes on
            self._log(f"skips the tick of {_told(tick)}, and those to come: {why}")
        self._skipped = why

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._running:
            self._running = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log("failed", error)

    async def _run(self, turns: Turns | None, turn: Turn | None, tick: float, handle: Handle) -> None:
        native = Tick(datetime.fromtimestamp(tick, UTC), self.source.channel)
        if turns is None or turn is None:
            await handle(native)
            return
        renewing = asyncio.get_running_loop().create_task(self._renew(turns, turn))
        is_run = False
        try:
            await handle(native)
            is_run = True
        finally:
            await _end(renewing)
            try:
                await turns.end(turn, is_run=is_run)
            except Exception as error:
                self._log("keeps its turn until the lease ends: its store does not answer", error)

    async def _renew(self, turns: Turns, turn: Turn) -> None:
        while True:
            await asyncio.sleep(self._lease / _RENEWALS)
            try:
                if not await turns.renew(turn):
                    self._log("has lost its lease, so the next tick may be run beside this one")
                    return
            except Exception as error:
                self._log("cannot renew its lease: its store does not answer", error)

    def _log(self, what: str, error: BaseException | None = None) -> None:
        text = "" if error is None else f": {error}"
        self.broker.logger.warning("%s %s%s", self.source.channel, what, text)


def _told(tick: float) -> str:
    return datetime.fromtimestamp(tick, UTC).isoformat()


async def _end(task: "asyncio.Task[None] | None", timeout: float | None = None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task], timeout=timeout)
