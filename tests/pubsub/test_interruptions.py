"""Python runs signal handlers and finalizers between any two instructions: here between each two in turn."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from tidings.nats.wire import IMPLEMENTATION
from tidings.pubsub import MemoryPubSub
from tidings.pubsub.inbox import Inbox, Limits
from tidings.pubsub.nats_outbox import EncodedOutbox
from tidings.pubsub.outbox import Outbox
from tidings.pubsub.waiting import Waiters

PATIENCE = 20.0


class Interrupted(threading.Thread):
    """Does `work`, and `handler` after so many instructions of it that are ours.

    With `is_signal` only where CPython looks for signals: behind a call, at a function's head and in loops. A
    finalizer may come anywhere before 3.12.
    """

    def __init__(
        self, work: Callable[[], Any], handler: Callable[[], Any], after: int, is_signal: bool
    ) -> None:
        super().__init__(daemon=True)
        self.is_done = False  # the handler came
        self.result: Any = None
        self.error: BaseException | None = None
        self._work = work
        self._handler = handler
        self._left = after
        self._is_signal = is_signal
        self._last = ""

    def run(self) -> None:
        sys.settrace(self._trace)
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if self.is_done or "/tidings/pubsub/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            last, self._last = self._last, dis.opname[frame.f_code.co_code[frame.f_lasti]]
            looks = last.startswith("CALL") or self._last in ("RESUME", "JUMP_BACKWARD")
            self._left -= looks or not self._is_signal
            if self._left < 0:
                self.is_done = True
                self._handler()
        return self._trace


def interruptions(
    make: Callable[[], tuple[Callable[[], Any], Callable[[], Any]]], is_signal: bool = False
) -> Iterator[Interrupted]:
    """What came of the work of `make` with its handler after the first instruction, the second, and so on."""
    for after in range(10_000):
        work, handler = make()
        thread = Interrupted(work, handler, after, is_signal)
        thread.start()
        thread.join(0.05)
        if thread.is_alive() and not thread.is_done:  # it waits, and has no more instructions until then
            handler()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "it is not woken from outside"
            return
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"it hangs when interrupted after {after} instructions"
        if not thread.is_done:
            return
        yield thread
    raise AssertionError("it never ends")


def box(policy: Any = "block") -> Inbox[bytes]:
    return Inbox(Limits(2, 1000, policy), "test")


def test_closing_while_a_message_is_awaited() -> None:
    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        empty = box()
        return empty.take, empty.close

    for each in interruptions(make):
        assert (each.result, each.error) == (None, None)


def test_a_message_while_one_is_awaited() -> None:
    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        empty = box()
        return empty.take, lambda: empty.put([b"x"])

    for each in interruptions(make):
        assert (each.result, each.error) == (b"x", None)


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_a_message_while_one_is_put(policy: str) -> None:
    boxes: list[Inbox[bytes]] = []

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        shared = box(policy)
        boxes.append(shared)
        return lambda: shared.put([b"outer"]), lambda: shared.put([b"inner"])

    for each in interruptions(make):
        assert each.error is None
        assert sorted([boxes[-1].take(0), boxes[-1].take(0)], key=str) == [b"inner", b"outer"]
        assert boxes[-1].take(0) is None
        assert (boxes[-1].size, boxes[-1].is_full) == (0, False)


def test_an_interrupt_keeps_nobody_from_reading_on() -> None:
    """A KeyboardInterrupt in who takes: the network is read on when the rest is taken."""
    rooms: list[None] = []
    boxes: list[Inbox[bytes]] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        rooms.clear()
        full: Inbox[bytes] = Inbox(Limits(2, 1000, "block"), "test", lambda: rooms.append(None))
        full.put([b"1", b"2"])
        boxes.append(full)
        return full.take, interrupt

    for _ in interruptions(make, is_signal=True):
        while boxes[-1].take(0) is not None:
            pass
        assert rooms
        assert not boxes[-1].is_full


@pytest.mark.parametrize("size", [10, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("other_size", [10, 100_000], ids=["small", "large"])
def test_publishing_while_publishing(size: int, other_size: int) -> None:
    if IMPLEMENTATION == "python" and size == other_size == 10:
        pytest.skip("the pure twin of the encoder gathers in several instructions of its own")
    wakes: list[None] = []
    boxes: list[EncodedOutbox] = []

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        wakes.clear()
        outbox = EncodedOutbox(lambda: wakes.append(None), lambda: False)
        outbox.publish("before", b"1", PATIENCE)
        boxes.append(outbox)
        return (
            lambda: outbox.publish("outer", b"o" * size, PATIENCE),
            lambda: outbox.publish("inner", b"i" * other_size, PATIENCE),
        )

    for each in interruptions(make):
        assert each.error is None
        assert wakes
        assert sorted(subjects(boxes[-1])) == [("before", 1), ("inner", other_size), ("outer", size)]


@pytest.mark.parametrize("size", [10, 100_000], ids=["small", "large"])
def test_publishing_while_it_is_taken(size: int) -> None:
    wakes: list[None] = []
    boxes: list[EncodedOutbox] = []

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        outbox = EncodedOutbox(lambda: wakes.append(None), lambda: False)
        outbox.publish("before", b"1", PATIENCE)
        wakes.clear()
        boxes.append(outbox)
        return outbox.take_encoded, lambda: outbox.publish("inner", b"i" * size, PATIENCE)

    for each in interruptions(make):
        assert each.error is None
        found = parsed(each.result.chunks) if each.result is not None else []
        rest = subjects(boxes[-1])
        assert sorted(found + rest) == [("before", 1), ("inner", size)]
        # Who takes goes on until there is nothing, and whoever publishes after that tells.
        wakes.clear()
        boxes[-1].publish("later", b"", PATIENCE)
        assert wakes


def test_publishing_while_entries_are_taken() -> None:
    wakes: list[None] = []
    boxes: list[Outbox] = []

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        outbox = Outbox(lambda: wakes.append(None), lambda: False)
        outbox.publish("a", b"before", PATIENCE)
        wakes.clear()
        boxes.append(outbox)
        return outbox.take, lambda: outbox.publish("a", b"inner", PATIENCE)

    for each in interruptions(make):
        assert each.error is None
        assert each.result + boxes[-1].take() == [("a", b"before"), ("a", b"inner")]
        wakes.clear()
        boxes[-1].publish("a", b"later", PATIENCE)
        assert wakes


def test_closing_a_backend_while_it_is_closed_or_published_to() -> None:
    for action in ("close", "publish", "flush", "counters"):

        def make(action: str = action) -> tuple[Callable[[], Any], Callable[[], Any]]:
            backend = MemoryPubSub({"name": "interrupted"})
            backend.subscribe("a")

            def work() -> None:
                if action == "publish":
                    backend.publish("a", b"x")
                elif action == "counters":
                    _ = backend.counters
                else:
                    getattr(backend, action)()

            return work, backend.close

        for each in interruptions(make):
            assert each.error is None or "closed" in str(each.error)


def test_whoever_is_woken_and_leaves_wakes_another() -> None:
    """Of two who wait the first is interrupted when it is told of the only message."""
    waiters = Waiters()
    found: list[str] = []
    items: list[str] = []
    both = threading.Barrier(3)

    def interrupted() -> None:
        def look() -> None:
            if items:
                raise KeyboardInterrupt
            if not both.broken and both.n_waiting < 2:
                both.wait(PATIENCE)

        with pytest.raises(KeyboardInterrupt):
            waiters.wait(look, PATIENCE)

    def other() -> None:
        def look() -> str | None:
            if items:
                return items.pop()
            return None

        both.wait(PATIENCE)
        found.append(waiters.wait(look, PATIENCE) or "nothing")

    threads = [threading.Thread(target=interrupted), threading.Thread(target=other)]
    for thread in threads:
        thread.start()
    both.wait(PATIENCE)
    while len(waiters._waiting) < 2:
        threading.Event().wait(0.01)
    items.append("message")
    waiters.wake(1)
    for thread in threads:
        thread.join(PATIENCE)
    assert found == ["message"]


def subjects(outbox: EncodedOutbox) -> list[tuple[str, int]]:
    """What is left in `outbox`."""
    found = []
    while (taken := outbox.take_encoded()) is not None:
        found += parsed(taken.chunks)
    return found


def parsed(chunks: list[bytes]) -> list[tuple[str, int]]:
    """The publishes that a server would see: subjects, and sizes of the payloads."""
    data, found = b"".join(chunks), []
    while data:
        line, _, rest = data.partition(b"\r\n")
        verb, subject, size = line.split()
        assert verb == b"PUB"
        length = int(size)
        assert rest[length : length + 2] == b"\r\n"
        found.append((subject.decode(), length))
        data = rest[length + 2 :]
    return found
