"""The buffer between the network and the loop body, where the threads race."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from tidings.pubsub import BufferFullError, PubSubError
from tidings.pubsub.inbox import BufferPolicy, Inbox, Limits

from .servers import eventually

PATIENCE = 20.0


def inbox(messages: int = 10, size: int = 1000, policy: BufferPolicy = "block") -> Inbox[bytes]:
    return Inbox(Limits(messages, size, policy), "test")


def test_bytes_are_counted_by_who_fills_it() -> None:
    box = inbox()
    box.put([b"1234", b"56"])
    assert (box.qsize(), box.size, box.empty()) == (2, 6, False)
    assert box.take() == b"1234"
    assert box.size == 2
    assert box.take() == b"56"
    assert (box.qsize(), box.size, box.empty()) == (0, 0, True)


def test_full_by_bytes_or_by_messages() -> None:
    rooms = count()
    box: Inbox[bytes] = Inbox(Limits(4, 100, "block"), "test", lambda: next(rooms))
    assert box.put([bytes(100)])
    assert box.take()
    assert not box.is_full
    assert box.put([b""] * 4)
    assert [box.take(), box.is_full] == [b"", True]
    assert [box.take(), box.is_full] == [b"", False]
    assert next(rooms) == 2


def test_the_oldest_go_until_it_fits() -> None:
    box = inbox(size=10, policy="drop_oldest")
    box.put([b"aaaa", b"bbbb"])
    box.put([b"cccccc"])
    assert (box.dropped, box.take(), box.take(), box.take(0)) == (1, b"bbbb", b"cccccc", None)


def test_what_is_too_much_goes_and_the_rest_is_handed_out() -> None:
    box = inbox(messages=2, policy="error")
    box.put([b"a", b"b", b"c"])
    box.put([b"d"])
    assert (box.take(), box.take(), box.dropped) == (b"a", b"b", 2)
    for _ in range(2):
        with pytest.raises(BufferFullError):
            box.take()


def test_a_failure_comes_after_what_is_held() -> None:
    box = inbox()
    box.put([b"a"])
    box.fail(PubSubError("first"))
    box.fail(PubSubError("second"))
    assert box.take() == b"a"
    with pytest.raises(PubSubError, match="first"):
        box.take()


def test_closing_drops_what_is_held() -> None:
    box = inbox()
    box.put([b"a", b"b"])
    box.close()
    box.put([b"c"])
    assert (box.take(), box.received, box.dropped, box.size) == (None, 3, 3, 0)


def test_all_taken_before_it_was_found_full_is_no_standstill() -> None:
    """Who takes needs no lock, so a message may be gone before the one who put it there looks."""
    told = threading.Event()
    box: Inbox[bytes] = Inbox(Limits(1, 1000, "block"), "test", told.set)
    keep_limits = box._keep_limits

    def late() -> None:
        box._items.clear()  # as by a thread that takes just now
        keep_limits()

    box._keep_limits = late  # type: ignore[method-assign]
    assert box.put([b"a"])
    assert box.take(0) is None
    assert told.is_set()
    assert not box.is_full


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_many_takers(policy: BufferPolicy) -> None:
    room = threading.Event()
    box: Inbox[bytes] = Inbox(Limits(8, 64, policy), "test", room.set)
    taken: list[bytes] = []
    threads = [threading.Thread(target=lambda: taken.extend(iter(box.take, None))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(5000):
        if box.put([b"%d" % number]):
            assert room.wait(PATIENCE)
            room.clear()
    eventually(box.empty, "the last to be taken")
    box.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(taken) + box.dropped == box.received == 5000
    assert len(set(taken)) == len(taken)
    if policy == "block":
        assert box.dropped == 0
