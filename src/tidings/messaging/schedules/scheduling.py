"""`every` and `cron` of brokers and routers."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, TypeVar, Unpack

from ..adapter import Adapter
from ..broker import Broker, Output
from ..durations import Duration
from ..errors import SetupError
from ..plans.signature import describe
from .schedule import Schedule, ScheduleOptions, ScheduleSource
from .ticks import Cron, Every, Ticks

__all__ = ["Scheduling", "SchedulingBroker"]

AdapterT = TypeVar("AdapterT", bound=Adapter[Any, Any])
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])


class Scheduling:
    """What has handlers that are called at times."""

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
            self.add_schedule(
                ScheduleSource(ticks=ticks, **{"name": describe(function), **options}), function
            )
            return function

        return schedule

    @abstractmethod
    def add_schedule(
        self,
        source: ScheduleSource,
        function: Callable[..., Any],
        outputs_of: Callable[[Callable[..., Any]], Sequence[Output]] | None = None,
    ) -> None:
        """Have `function` called; where its results go, `outputs_of` knows in the place of the broker."""


class SchedulingBroker(Scheduling, Broker[AdapterT]):
    """A broker whose handlers may be called at times too."""

    async def start(self) -> None:
        """Connect and start the subscribers, then the schedules. Raises as `Broker.start`."""
        await super().start()
        for each in self.subscribers:
            if isinstance(each, Schedule):
                each.begin()

    def add_schedule(
        self,
        source: ScheduleSource,
        function: Callable[..., Any],
        outputs_of: Callable[[Callable[..., Any]], Sequence[Output]] | None = None,
    ) -> None:
        """See `Scheduling.add_schedule`. SetupError for one whose name there is."""
        names = [each.source.name for each in self.subscribers if isinstance(each, Schedule)]
        if source.name in names:
            raise SetupError(f"there is a schedule {source.name!r}: give one of them another name=")
        self.subscribers.append(Schedule(self, source, function, outputs_of or self.outputs_of))
