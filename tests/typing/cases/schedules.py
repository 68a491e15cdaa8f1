"""Schedules change nothing of a function, and their options are known."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import assert_type

from tidings import Router
from tidings.brokers.nats import KvMarks, NatsBroker
from tidings.nats.jetstream import PubAck

broker = NatsBroker()
router = Router()


@broker.every(timedelta(seconds=30), missed="once", store=KvMarks("turns"))
async def poll(scheduled: datetime) -> int:
    return scheduled.year


@router.cron("0 6 * * *", tz="Europe/Berlin", name="report")
def report() -> str:
    return "text"


kept: Callable[[datetime], Awaitable[int]] = poll
assert_type(report(), str)
poll("now")  # error
broker.every("30s", missed="twice")  # error
broker.every("30s", queue="w")  # error
broker.cron(5)  # error


async def publishing() -> None:
    assert_type(await broker.publish_batch(1, 2, subject="s", stream="S"), PubAck | None)
    await broker.publish_batch(1, subject="s", timeout=1)  # error
    await broker.publish_batch(1, "s")  # error
