"""What a schedule refuses, and when."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, get_type_hints

import pytest

from tidings import CallNext, Message, Router, SetupError
from tidings.brokers.memory import MemoryBroker
from tidings.messaging.endpoints import Source
from tidings.messaging.schedules.schedule import ScheduleOptions, ScheduleSource
from tidings.testing import ManualClock


def test_the_options_and_their_keywords_are_alike() -> None:
    of_source = get_type_hints(ScheduleSource)
    options = get_type_hints(ScheduleOptions)
    assert options == {name: of_source[name] for name in options}
    assert of_source.keys() - get_type_hints(Source).keys() - options.keys() == {"ticks"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"missed": "twice"}, 'missed of .* is "skip" or "once", not \'twice\''),
        ({"lease": 0.5}, "lease of .* is at least a second"),
        ({"lease": "soon"}, "lease of"),
        ({"timeout": 0}, "timeout of"),
    ],
    ids=["missed", "short", "lease", "timeout"],
)
def test_bad_options_are_refused_by_the_decorator(options: Any, why: str) -> None:
    with pytest.raises(SetupError, match=why):
        MemoryBroker().every("10s", **options)


@pytest.mark.parametrize(
    "call", [lambda b: b.every("now"), lambda b: b.cron("every day")], ids=["every", "cron"]
)
def test_bad_times_are_refused_by_the_decorator(call: Any) -> None:
    with pytest.raises(SetupError, match=r"the interval of every\(\)|is no cron expression"):
        call(MemoryBroker())


def test_two_of_a_name_are_refused() -> None:
    broker = MemoryBroker()

    @broker.every("10s")
    async def poll() -> None: ...

    with pytest.raises(SetupError, match=r"there is a schedule .*poll'.*another name="):
        broker.cron("* * * * *")(poll)
    broker.cron("* * * * *", name="poll hourly")(poll)


async def test_a_payload_is_refused_at_the_start() -> None:
    async with MemoryBroker() as broker:

        @broker.every("10s")
        async def poll(order: date) -> None: ...

        with pytest.raises(SetupError, match=r"parameter 'order' of .*poll: a schedule has no message"):
            await broker.start()


async def test_a_router_has_schedules_too() -> None:
    noted: list[str] = []

    async def around(message: Message[Any], call_next: CallNext) -> Any:
        noted.append(message.channel)
        return await call_next(message)

    clock, broker, router = ManualClock(), MemoryBroker(), Router("shop.", middlewares=[around])

    @router.every("10s", name="poll")
    @router.publisher("polled")
    async def poll() -> str:
        return "text"

    @broker.subscriber("shop.polled")
    async def polled(text: str) -> None:
        noted.append(text)

    @broker.subscriber("mall.shop.polled")
    async def of_mall(text: str) -> None:
        noted.append(f"mall {text}")

    broker.clock = clock
    broker.include_router(router)
    broker.include_router(router, prefix="mall.")
    with pytest.raises(SetupError, match="included"):
        router.cron("* * * * *")(poll)
    async with broker:
        await broker.start()
        await clock.advance(10)
    assert sorted(noted) == ["mall text", "mall.shop.poll every 10s", "shop.poll every 10s", "text"]


async def test_it_stays_a_function() -> None:
    broker = MemoryBroker()

    @broker.every("10s")
    async def poll(scheduled: datetime) -> int:
        return scheduled.year

    assert await poll(datetime(2030, 1, 1)) == 2030
