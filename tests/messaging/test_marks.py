from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from tests.brokers.marks import MarksContract, given
from tidings.messaging.errors import SetupError
from tidings.messaging.marks import Marks, MemoryMarks


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestMemoryMarks(MarksContract):
    def marks(self) -> AbstractAsyncContextManager[Marks]:
        self.time = Time()
        return given(MemoryMarks(clock=self.time))

    async def pass_time(self) -> None:
        self.time.now += 0.4


async def test_the_first_goes_where_there_are_too_many() -> None:
    marks = MemoryMarks(3)
    for key in "abcd":
        await marks.create(key, "x", 60.0)
    assert len(marks) == 3
    assert await marks.get("a") is None
    assert await marks.get("d") is not None


async def test_marks_that_change_on_and_on_take_no_more_room() -> None:
    marks = MemoryMarks(10)
    revision = await marks.create("a", "x", 60.0)
    for _ in range(1000):
        assert revision is not None
        revision = await marks.update("a", "x", revision, 60.0)
    assert len(marks._ends) <= 21
    assert await marks.open(None) is marks


def test_room_for_none_is_refused() -> None:
    with pytest.raises(SetupError, match="max_keys is at least 1, not 0"):
        MemoryMarks(0)
