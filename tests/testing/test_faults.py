"""Faults: what they do to the streams of handlers, and that a seed brings them again."""

from __future__ import annotations

from typing import Any

import pytest

from tidings.brokers.nats import NatsBroker
from tidings.testing import Faults, TestNatsBroker, TestServer

MANY = 50


async def seen_with(faults: Faults) -> list[int]:
    broker, seen = NatsBroker(), list[int]()

    @broker.subscriber("in", stream="S", durable="w")
    async def handler(number: int) -> None:
        seen.append(number)

    async with TestNatsBroker(broker, faults=faults, wait=None) as br:
        for number in range(MANY):
            await br.publish(number, "in")
    async with TestNatsBroker(broker, faults=faults) as br:
        for number in range(MANY, 2 * MANY):
            await br.publish(number, "in")
    return seen


@pytest.mark.parametrize("fault", ["duplicate", "redeliver", "reorder", "drop"])
async def test_a_seed_brings_the_same_faults(fault: str) -> None:
    options: dict[str, Any] = {fault: 0.5}
    first = await seen_with(Faults(seed=7, **options))
    assert first == await seen_with(Faults(seed=7, **options))
    assert first != await seen_with(Faults(seed=8, **options))
    assert first != list(range(2 * MANY))


async def test_what_each_fault_does() -> None:
    every = list(range(2 * MANY))
    assert sorted(await seen_with(Faults(duplicate=1))) == sorted(every * 2)
    assert sorted(await seen_with(Faults(redeliver=1))) == sorted(every * 2)
    assert sorted(await seen_with(Faults(reorder=1))) == every
    assert await seen_with(Faults(drop=1)) == []
    assert await seen_with(Faults()) == every


async def test_a_message_that_is_late_is_waited_for() -> None:
    broker, seen = NatsBroker(), []

    @broker.subscriber("in")
    async def handler(number: int) -> None:
        seen.append(number)

    async with TestNatsBroker(broker, faults=Faults(delay=1, most_delay=0.02)) as br:
        await br.publish(1, "in")
        assert seen == [1]


async def test_a_stop_does_not_lose_what_is_late() -> None:
    broker, seen = NatsBroker(), []

    @broker.subscriber("in", stream="S", durable="w")
    async def handler(number: int) -> None:
        seen.append(number)

    async with TestNatsBroker(broker, faults=Faults(delay=1, most_delay=3600.0), wait=None) as br:
        for number in range(MANY):
            await br.publish(number, "in")
        assert seen == []
    assert sorted(seen) == list(range(MANY))


async def test_a_failure_tells_the_seed() -> None:
    with pytest.raises(AssertionError) as failed:
        async with TestNatsBroker(NatsBroker(), faults=Faults(drop=0.5, seed=7)):
            raise AssertionError
    assert "drop=0.5" in failed.value.__notes__[0]
    assert "seed=7" in failed.value.__notes__[0]


@pytest.mark.parametrize("options", [{"drop": 2}, {"delay": -0.1}, {"most_delay": -1}])
def test_what_is_no_probability_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Faults(**options)


def test_faults_belong_to_one_server() -> None:
    with pytest.raises(ValueError, match="TestServer"):
        TestNatsBroker(NatsBroker(), faults=Faults(), server=TestServer())
