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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from .adapter import Adapter, Handle
from .broker import Broker
from .durations import Duration, to_seconds
from .endpoints import Destination, Source
from .errors import SetupError
from .health import SubscriberHealth
from .marks import MarkStore
from .message import Message
from .middleware import Middleware
from .pauses import Pauses
from .retry import Retry
from .schedule_plan import Tick, TickMessage, schedule_plan
from .signature import describe
from .ticks import Cron, Every, Ticks
from .turns import Busy, Turn, Turns

__all__ = ["Schedule", "ScheduleOptions", "ScheduleSource", "SchedulingBroker"]

AdapterT = TypeVar("AdapterT", bound=Adapter[Any, Any])
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])

_RENEWALS = 3  # within a lease
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
        retry: how often a tick whose handler failed is tried, in place; None for once. The next tick comes
            anyway.
    """

    ticks: Ticks
    name: str = ""
    missed: Literal["skip", "once"] = "skip"
    lease: Duration = 30.0
    everywhere: bool = False
    store: MarkStore | None = None

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
    """

    def __init__(self, broker: "SchedulingBroker[Any]", source: ScheduleSource, function: Any) -> None:
        self.broker = broker
        self.source = source
        self.function = function
        self._lease = to_seconds(source.lease, "lease")
        self._pauses = Pauses()
        self._is_asking = False  # the store, for a turn
        self._trouble = ""
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
        """Wait for the next tick; does nothing where it does.

        Raises:
            SetupError: the handler asks for something that cannot be, or the store cannot be opened.
            StoreError: the store does not answer.
        """
        if self._waiting is not None:
            return
        self._pauses = Pauses()
        handle = schedule_plan(self.function, self.broker, self.source, self._pauses)
        if self.broker.watch is not None:
            handle = self.broker.watch.around(self, handle)
        turns = None
        if not self.source.everywhere:
            store = self.source.store or self.broker.adapter.shared_marks()
            marks = await self.broker.adapter.marks(store)
            turns = Turns(marks, self.source.name, self._lease, is_kept=self.source.missed == "once")
        self._waiting = asyncio.get_running_loop().create_task(self._wait(turns, handle))
        self.broker.clock.look_at(self._waiting, is_run=False)

    def feeds(self, other: Any, /) -> bool:
        """Whether its results are published to what `other` listens to."""
        outputs = self.broker.outputs_of(self.function)
        return any(other.source.takes(output.destination) for output in outputs)

    def health(self) -> SubscriberHealth:
        """Whether it goes on: not where its store does not answer."""
        trouble = "it is not started" if self._waiting is None else self._trouble
        return SubscriberHealth(self.source.channel, trouble)

    async def drain(self, timeout: float) -> int:
        """Run no more ticks, and wait so many seconds for the one that is run: 1 if that was not enough."""
        deadline = asyncio.get_running_loop().time() + timeout
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
        await _end(running)
        return 1

    def closed(self) -> None:
        """The broker is closed."""
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
                self._log(f"skips the tick of {_told(tick)}: the run before it goes on")
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
                    self._log(
                        f"skips the tick of {_told(tick)} here: that of {_told(busy.tick)} is still run by "
                        "another process, which may have died"
                    )
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
        self.broker.clock.look_at(running, is_run=True)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
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


async def _end(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


class SchedulingBroker(Broker[AdapterT]):
    """A broker whose handlers may be called at times too."""

    def every(self, interval: Duration, **options: Unpack[ScheduleOptions]) -> Callable[[HandlerT], HandlerT]:
        """Decorator: call the handler again and again. The function stays as it is.

        Args:
            interval: seconds, a timedelta or a text such as "30s", "5m", "1h30m". Ticks are counted from
                1970, so ``every("1h")`` is on the hour, UTC, whenever a process starts.
            options: see `ScheduleSource`.

        Raises:
            SetupError: what cannot be.
        """
        return self._scheduled(Every(interval), options)

    def cron(
        self, expression: str, *, tz: str | tzinfo = UTC, **options: Unpack[ScheduleOptions]
    ) -> Callable[[HandlerT], HandlerT]:
        """Decorator: call the handler at the times of a cron expression. Takes the extra ``cron``.

        Args:
            expression: minute, hour, day of month, month and day of week; of six
                fields the first is the second.
            tz: the time zone of these, as "Europe/Berlin".
            options: see `ScheduleSource`.

        Raises:
            SetupError: what cannot be, or the extra is not installed.
        """
        return self._scheduled(Cron(expression, tz), options)

    def _scheduled(self, ticks: Ticks, options: Mapping[str, Any]) -> Callable[[HandlerT], HandlerT]:
        ScheduleSource(ticks=ticks, **options).check()

        def schedule(function: HandlerT) -> HandlerT:
            source = ScheduleSource(ticks=ticks, **{"name": describe(function), "retry": _ONCE, **options})
            names = [each.source.name for each in self.subscribers if isinstance(each, Schedule)]
            if source.name in names:
                raise SetupError(f"there is a schedule {source.name!r}: give one of them another name=")
            self.subscribers.append(Schedule(self, source, function))
            return function

        return schedule
