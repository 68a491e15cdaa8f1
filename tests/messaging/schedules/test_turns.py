"""Whose turn a tick is."""

from __future__ import annotations

import asyncio

import pytest

from tidings.messaging.errors import StoreError
from tidings.messaging.marks import Mark, MemoryMarks
from tidings.messaging.schedules.turns import Busy, Turns


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def marks(time: Time) -> MemoryMarks:
    return MemoryMarks(clock=time)


def turns(marks: MemoryMarks, *, is_kept: bool = False) -> Turns:
    return Turns(marks, "app.jobs.<locals>.tidy", 30.0, is_kept=is_kept)


@pytest.mark.parametrize("is_kept", [False, True])
async def test_each_tick_is_the_turn_of_one(marks: MemoryMarks, is_kept: bool) -> None:
    one, other = turns(marks, is_kept=is_kept), turns(marks, is_kept=is_kept)
    turn = await one.take(10.0)
    assert turn is not None
    with pytest.raises(Busy):
        await other.take(10.0)
    await one.end(turn, is_run=True)
    assert await other.take(10.0) is None
    later = await other.take(20.0)
    assert later is not None
    await other.end(later, is_run=True)
    assert await one.take(20.0) is None


async def test_of_many_at_once_one_runs_it(marks: MemoryMarks) -> None:
    all_turns = [turns(marks) for _ in range(10)]
    found = await asyncio.gather(*(each.take(10.0) for each in all_turns), return_exceptions=True)
    assert sum(not isinstance(each, Busy) for each in found) == 1


async def test_a_clock_that_is_behind_runs_nothing_again(marks: MemoryMarks) -> None:
    ahead, behind = turns(marks), turns(marks)
    for tick in (10.0, 20.0):
        turn = await ahead.take(tick)
        assert turn is not None
        await ahead.end(turn, is_run=True)
    assert await behind.take(10.0) is None
    assert await behind.take(20.0) is None
    assert await behind.take(30.0) is not None


@pytest.mark.parametrize(("is_kept", "runs_again"), [(False, False), (True, True)])
async def test_when_its_process_dies(marks: MemoryMarks, time: Time, is_kept: bool, runs_again: bool) -> None:
    dead, alive = turns(marks, is_kept=is_kept), turns(marks, is_kept=is_kept)
    assert await dead.take(10.0) is not None
    time.now = 29.0
    with pytest.raises(Busy):
        await alive.take(10.0)
    time.now = 31.0
    turn = await alive.take(10.0)
    assert (turn is not None) is runs_again
    if turn is None:
        assert await alive.take(20.0) is not None


async def test_a_lease_can_be_renewed_until_it_has_ended(marks: MemoryMarks, time: Time) -> None:
    one, other = turns(marks), turns(marks)
    turn = await one.take(10.0)
    assert turn is not None
    for now in (20.0, 40.0, 60.0):
        time.now = now
        assert await one.renew(turn)
    with pytest.raises(Busy):
        await other.take(20.0)
    time.now = 91.0
    assert not await one.renew(turn)
    second = await other.take(20.0)
    assert second is not None
    await one.end(turn, is_run=True)  # it does not take the turn from the other
    with pytest.raises(Busy):
        await one.take(30.0)


async def test_what_was_not_run_is_run_by_another(marks: MemoryMarks) -> None:
    one = turns(marks, is_kept=True)
    turn = await one.take(10.0)
    assert turn is not None
    await one.end(turn, is_run=False)
    assert await turns(marks, is_kept=True).take(10.0) is not None


async def test_a_new_schedule_has_missed_nothing(marks: MemoryMarks) -> None:
    one = turns(marks, is_kept=True)
    await one.begin(10.0)
    await one.begin(20.0)
    assert await one.take(10.0) is None
    assert await one.take(20.0) is not None


async def test_a_store_that_fails_leaves_no_lease(
    marks: MemoryMarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, get = turns(marks), marks.get

    async def fail(key: str) -> Mark | None:
        if key.endswith("-last"):
            raise StoreError("gone")
        return await get(key)

    with monkeypatch.context() as patch:
        patch.setattr(marks, "get", fail)
        with pytest.raises(StoreError):
            await one.take(10.0)
    assert await one.take(10.0) is not None


async def test_names_that_differ_do_not_meet(marks: MemoryMarks) -> None:
    one, other = Turns(marks, "a.b", 30.0, is_kept=False), Turns(marks, "a-b", 30.0, is_kept=False)
    assert await one.take(10.0) is not None
    assert await other.take(10.0) is not None
