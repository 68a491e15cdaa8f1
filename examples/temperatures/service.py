"""The service: three handlers, each subscribed to what the one before it publishes.

    temperatures.raw.<city> → check → temperatures.checked → compare → temperatures.compared → watch

By itself: tidings run --embedded temperatures.service:app --app-dir examples
"""

from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from statistics import fmean
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from tidings import App, Context, Depends, Logger, Path
from tidings.brokers.nats import NatsBroker

WEEK = 7 * 24  # readings
UNUSUAL = 5.0  # °C away from the mean of the past week


class RawReading(BaseModel):
    """A line of a station's file: local time with slashes, degrees Fahrenheit."""

    date: Annotated[datetime, BeforeValidator(lambda text: text.replace("/", "-"))]
    temp: float = Field(gt=-80, lt=140)


class Reading(BaseModel):
    city: str
    at: datetime
    celsius: float


class Compared(Reading):
    departure: float  # °C from the mean of the past week


class Station:
    """What the service remembers, and whom it tells when a reading is through."""

    def __init__(self) -> None:
        self.past_week: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WEEK))
        self.alerts: list[Compared] = []
        self.passed = {"check": 0, "compare": 0, "watch": 0}  # readings, by handler
        self.problems: list[BaseException] = []  # drops are among them
        self.on_arrival: Callable[[str], None] = lambda correlation_id: None


station = Station()
broker = NatsBroker(error_cb=station.problems.append)
app = App(broker)


def get_station() -> Station:
    return station


Here = Annotated[Station, Depends(get_station)]


@broker.subscriber("temperatures.raw.{city}")
@broker.publisher("temperatures.checked")
async def check(raw: RawReading, here: Here, city: str = Path()) -> Reading:
    here.passed["check"] += 1
    return Reading(city=city, at=raw.date, celsius=(raw.temp - 32) / 1.8)


@broker.subscriber("temperatures.checked")
@broker.publisher("temperatures.compared")
async def compare(reading: Reading, here: Here) -> Compared:
    past = here.past_week[reading.city]
    usual = fmean(past) if past else reading.celsius
    past.append(reading.celsius)
    here.passed["compare"] += 1
    return Compared(**dict(reading), departure=reading.celsius - usual)


@broker.subscriber("temperatures.compared")
async def watch(
    reading: Compared,
    logger: Logger,
    here: Here,
    correlation_id: str = Context("message.correlation_id"),
) -> None:
    if abs(reading.departure) > UNUSUAL:
        logger.info("%s: %+.1f °C from the usual", reading.city, reading.departure)
        here.alerts.append(reading)
    here.passed["watch"] += 1
    here.on_arrival(correlation_id)
