"""Priority groups (ADR-42): overflow, pinned, prioritized."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.jetstream.consuming import fill, numbered, numbers
from tests.nats.jetstream.pulling import eventually, pulled

from tidings.nats.jetstream import Priority
from tidings.nats.jetstream.errors import ConfigError, PullRefusedError


@pytest.mark.parametrize(
    "options",
    [
        {"min_pending": -1, "group": "g"},
        {"priority": 10, "group": "g"},
        {"min_ack_pending": 1},
        {"priority": 1},
    ],
)
def test_refuses_what_cannot_be(options: Any) -> None:
    with pytest.raises(ConfigError):
        Priority(**options)


async def test_overflow_gets_what_is_above(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 5) as (client, stream):
        consumer = await stream.create_consumer(name="c", priority_groups=["g"], priority_policy="overflow")
        assert await consumer.fetch(5, 0.3, group="g", min_pending=10) == []
        assert await consumer.fetch(5, 0.3, group="g", min_ack_pending=1) == []
        await fill(client, f"{name}.n", 10, 6)
        assert numbers(await consumer.fetch(2, 5, group="g", min_pending=10)) == [1, 2]
        assert numbers(await consumer.fetch(1, 5, group="g", min_ack_pending=2)) == [3]


async def test_the_only_group_need_not_be_named(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (_client, stream):
        consumer = await stream.create_consumer(name="c", priority_groups=["g"], priority_policy="overflow")
        assert numbers(await consumer.fetch(1)) == [1]
        async with consumer.messages(stop_after=2) as messages:
            assert numbers([message async for message in messages]) == [2, 3]
        with pytest.raises(PullRefusedError, match="Invalid Priority Group"):
            await consumer.fetch(1, group="other")


async def test_prioritized_lets_the_lower_number_go_first(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        consumer = await stream.create_consumer(
            name="c", priority_groups=["g"], priority_policy="prioritized"
        )
        last = asyncio.create_task(consumer.fetch(2, 10, group="g", priority=5))
        while (await consumer.info()).num_waiting < 1:
            pass
        first = asyncio.create_task(consumer.fetch(2, 10, group="g", priority=1))
        while (await consumer.info()).num_waiting < 2:
            pass
        await fill(client, f"{name}.n", 4)
        assert numbers(await first) == [1, 2]
        assert numbers(await last) == [3, 4]


async def test_one_client_is_pinned_until_it_is_unpinned(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        one = await stream.create_consumer(
            name="c", priority_groups=["g"], priority_policy="pinned_client", priority_timeout=60
        )
        two = await stream.consumer("c")
        found: dict[str, list[int]] = {"one": [], "two": []}

        async def read(who: str, consumer: Any) -> None:
            async with consumer.messages(group="g", batch=10) as messages:
                async for message in messages:
                    found[who].append(int(message.data))
                    await message.ack()

        tasks = [asyncio.create_task(read("one", one))]
        await fill(client, f"{name}.n", 5)
        await eventually(lambda: len(found["one"]) == 5)
        tasks.append(asyncio.create_task(read("two", two)))
        while (await one.info()).num_waiting < 2:
            pass
        await fill(client, f"{name}.n", 20, 6)
        await eventually(lambda: len(found["one"]) == 25)
        assert not found["two"]
        (state,) = (await one.info()).priority_groups
        assert state.pinned_client_id

        await stream.unpin_consumer("c", "g")
        await fill(client, f"{name}.n", 200, 26)
        await eventually(lambda: len(found["one"]) + len(found["two"]) >= 225)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert set(found["one"]) | set(found["two"]) == set(range(1, 226))


async def test_the_pin_is_sent_and_forgotten_when_it_is_another_clients() -> None:
    async with pulled(priority_groups=["g"], priority_policy="pinned_client") as server:
        fetch = asyncio.create_task(server.consumer.fetch(1, 10))
        assert (await server.asked(1))["group"] == "g"
        await server.messages(1, headers="Nats-Pin-Id: abc")
        await fetch
        fetch = asyncio.create_task(server.consumer.fetch(1, 10))
        assert (await server.asked(2))["id"] == "abc"
        await server.status("423 Nats-Pin-Id mismatch", {"Nats-Wrong-Pin-Id": "abc"})
        assert "id" not in await server.asked(3)
        await server.messages(1, headers="Nats-Pin-Id: def")
        await fetch
        fetch = asyncio.create_task(server.consumer.fetch(1, 10))
        assert (await server.asked(4))["id"] == "def"
        await server.status("404 No Messages")
        await fetch
