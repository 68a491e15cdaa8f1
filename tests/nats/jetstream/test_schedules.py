from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidings.nats import Client, connect
from tidings.nats.jetstream import JetStream, Schedule, Stream
from tidings.nats.jetstream.errors import ConfigError, MessageNotFoundError, ScheduleError

WHEN = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "headers"),
    [
        (Schedule.at(WHEN, target="a.b"), {"Nats-Schedule": "@at 2030-01-02T03:04:05Z"}),
        (Schedule.every(90, target="a.b"), {"Nats-Schedule": "@every 90000ms"}),
        (Schedule.every(timedelta(hours=1), target="a.b"), {"Nats-Schedule": "@every 3600000ms"}),
        (Schedule.cron("0  30 5 * * mon-fri", target="a.b"), {"Nats-Schedule": "0 30 5 * * mon-fri"}),
        (Schedule.cron("@hourly", target="a.b", source="a.s"), {"Nats-Schedule-Source": "a.s"}),
        (
            Schedule.cron("@daily", target="a.b", time_zone="Europe/Berlin"),
            {"Nats-Schedule-Time-Zone": "Europe/Berlin"},
        ),
        (
            Schedule.every(1, target="a.b", ttl="never", rollup="sub"),
            {"Nats-Schedule-TTL": "never", "Nats-Schedule-Rollup": "sub"},
        ),
        (Schedule.every(1, target="a.b", ttl=timedelta(minutes=5)), {"Nats-Schedule-TTL": "300"}),
    ],
)
def test_what_becomes_of_it(schedule: Schedule, headers: dict[str, str]) -> None:
    said = schedule.headers()
    assert said["Nats-Schedule-Target"] == "a.b"
    assert said == {"Nats-Schedule": schedule.pattern, "Nats-Schedule-Target": "a.b"} | headers


@pytest.mark.parametrize(
    "make",
    [
        lambda: Schedule.at(datetime(2030, 1, 1), target="a.b"),
        lambda: Schedule.at(WHEN, target="a.*"),
        lambda: Schedule.at(WHEN, target=""),
        lambda: Schedule.every(0.5, target="a.b"),
        lambda: Schedule.every(-1, target="a.b"),
        lambda: Schedule.cron("30 5 * * *", target="a.b"),
        lambda: Schedule.cron("@never", target="a.b"),
        lambda: Schedule.cron("@daily", target="a.b", time_zone="no zone"),
        lambda: Schedule.every(1, target="a.b", source="a.>"),
        lambda: Schedule.every(1, target="a.b", ttl=0.1),
        lambda: Schedule.every(1, target="a.b", rollup="some"),  # type: ignore[arg-type]
        lambda: Schedule(pattern="@every 1s", target="a.b", time_zone="UTC"),
        lambda: Schedule(pattern="@at\r\n", target="a.b"),
    ],
)
def test_what_cannot_work_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


async def scheduled(client: Client, name: str) -> tuple[JetStream, Stream]:
    js = client.jetstream()
    stream = await js.create_stream(
        name=name, subjects=[f"{name}.>"], allow_msg_schedules=True, allow_msg_ttl=True
    )
    return js, stream


async def produced(stream: Stream, subject: str) -> Any:
    while True:  # bounded by the limit of the test
        try:
            return await stream.get_msg(last_by_subject=subject)
        except MessageNotFoundError:
            await asyncio.sleep(0.05)


async def test_a_message_comes_later_and_once(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js, stream = await scheduled(client, name)
        later = datetime.now(UTC) + timedelta(seconds=1)
        schedule = Schedule.at(later, target=f"{name}.due", ttl=60)
        await js.publish(f"{name}.later.1", b"remind", headers={"A": "1"}, schedule=schedule)
        message = await produced(stream, f"{name}.due")
        assert message.data == b"remind"
        assert message.time is not None
        assert message.time >= later - timedelta(milliseconds=5)
        assert dict(message.headers) == {
            "A": "1",
            "Nats-Scheduler": f"{name}.later.1",
            "Nats-Schedule-Next": "purge",
            "Nats-TTL": "60",
        }
        with pytest.raises(MessageNotFoundError):
            await stream.get_msg(last_by_subject=f"{name}.later.1")


async def test_what_is_overdue_comes_at_once(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js, stream = await scheduled(client, name)
        schedule = Schedule.at(datetime(2020, 1, 1, tzinfo=UTC), target=f"{name}.due")
        await js.publish(f"{name}.later.1", b"x", schedule=schedule)
        assert (await produced(stream, f"{name}.due")).data == b"x"


async def test_a_message_comes_again_and_again(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js, stream = await scheduled(client, name)
        await js.publish(f"{name}.values", b"21.5")
        schedule = Schedule.every(1, target=f"{name}.sampled", source=f"{name}.values")
        await js.publish(f"{name}.sampling", schedule=schedule)
        first = await produced(stream, f"{name}.sampled")
        assert first.data == b"21.5"
        await js.publish(f"{name}.values", b"22")
        message = first
        while message.data != b"22":  # bounded by the limit of the test
            await asyncio.sleep(0.05)
            message = await stream.get_msg(last_by_subject=f"{name}.sampled")
        await stream.purge(subject=f"{name}.sampling")


async def test_a_stream_that_allows_none(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[f"{name}.>"])
        with pytest.raises(ScheduleError, match="disabled"):
            await js.publish(f"{name}.a", schedule=Schedule.every(1, target=f"{name}.b"))


async def test_what_only_the_server_knows_to_be_wrong(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js, _ = await scheduled(client, name)
        for schedule in (
            Schedule.every(1, target="elsewhere"),
            Schedule.every(1, target=f"{name}.a"),
            Schedule.cron("99 * * * * *", target=f"{name}.b"),
            Schedule.cron("@daily", target=f"{name}.b", time_zone="No/Where"),
        ):
            with pytest.raises(ScheduleError):
                await js.publish(f"{name}.a", schedule=schedule)
