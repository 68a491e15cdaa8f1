"""Waits between tries."""

from typing import Any

import pytest

from tidings.messaging.batch import Batch
from tidings.messaging.retry import Retry


def test_the_wait_doubles_up_to_the_most() -> None:
    retry = Retry(backoff=1, max_delay=10, jitter=0)
    assert [retry.delay(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert retry.delay(10_000) == 10


def test_jitter_is_a_share_and_never_goes_beyond_the_most() -> None:
    retry = Retry(backoff=1, max_delay=4, jitter=0.5)
    first = [retry.delay(1) for _ in range(200)]
    assert 0.5 <= min(first) < 0.8
    assert 1.2 < max(first) <= 1.5
    assert max(retry.delay(9) for _ in range(200)) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": "3"},
        {"attempts": 2.5},
        {"backoff": -1},
        {"backoff": "1s"},
        {"max_delay": -1},
        {"jitter": 2},
        {"jitter": -0.1},
        {"jitter": "x"},
        {"on": "ValueError"},
        {"on": [ValueError]},
        {"on": (ValueError, 3)},
    ],
)
def test_what_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Retry(**options)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": "3"}, {"timeout": -1}, {"timeout": "1s"}])
def test_a_batch_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Batch(**options)
