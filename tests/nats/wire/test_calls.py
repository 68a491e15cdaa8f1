"""The calls of plain callbacks: in which order, in which context, and what is left when one fails."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


class Office:
    """Routes whose callbacks note what they were called with."""

    def __init__(self, twin: Any) -> None:
        self.armed = 0
        self.heard: list[tuple[int, bytes]] = []
        self.calls = twin.Calls(self.arm)
        self._twin = twin

    def arm(self) -> None:
        self.armed += 1

    def route(
        self, sid: int, callback: Callable[[Any], Any] | None = None, cls: Any = None, **limits: int
    ) -> Any:
        made = (cls or self._twin.Route)(sid, **limits)
        made.callback = callback or (lambda message: self.heard.append((sid, message.data)))
        made.context = copy_context()
        made.calls = self.calls
        made.wants_wake = False
        return made

    def put(self, route: Any, *payloads: bytes) -> None:
        for payload in payloads:
            route.put(self._twin.Msg("a", "", payload))
        self.calls.add(route)


@pytest.fixture
def office(twin: Any) -> Office:
    return Office(twin)


def test_each_route_has_its_turn_with_all_it_holds(office: Office) -> None:
    first, second = office.route(1), office.route(2)
    office.put(second, b"a", b"b")
    office.put(first, b"c")
    office.put(second, b"d")
    assert (office.armed, first.is_due, second.is_due) == (1, True, True)
    office.calls.run(10)
    assert office.heard == [(2, b"a"), (2, b"b"), (2, b"d"), (1, b"c")]
    assert (office.armed, first.is_due, second.is_due) == (1, False, False)
    office.calls.run(10)
    assert len(office.heard) == 4


def test_what_exceeds_the_limit_is_due_again(office: Office) -> None:
    busy, other = office.route(1), office.route(2)
    office.put(busy, b"a", b"b", b"c")
    office.put(other, b"d")
    office.calls.run(2)
    assert office.heard == [(1, b"a"), (1, b"b"), (2, b"d")]
    assert (office.armed, busy.is_due, other.is_due) == (2, True, False)
    office.calls.run(2)
    assert office.heard[3:] == [(1, b"c")]


def test_a_callback_that_makes_its_own_route_due_is_called_in_the_next_turn(office: Office) -> None:
    def again(message: Any) -> None:
        office.heard.append((1, message.data))
        if len(office.heard) == 1:
            office.put(route, b"again")

    route = office.route(1, again)
    office.put(route, b"first")
    office.calls.run(1)
    assert office.heard == [(1, b"first")]
    office.calls.run(1)
    assert office.heard[1:] == [(1, b"again")]


def test_each_runs_in_a_context_of_its_own(office: Office) -> None:
    seen: list[str] = []

    def change(message: Any) -> None:
        seen.append(WHO.get())
        WHO.set(message.data.decode())

    token = WHO.set("subscriber")
    first, second = office.route(1, change), office.route(2, change)
    WHO.reset(token)
    for name in (b"first", b"second"):
        office.put(first, name)
        office.put(second, b"other")
        office.calls.run(10)
    assert seen == ["subscriber", "subscriber", "first", "other"]
    assert WHO.get() == "nobody"


def test_a_failure_goes_to_the_route_and_the_rest_is_handled(office: Office, twin: Any) -> None:
    failures: list[BaseException] = []

    class Forgiving(twin.Route):
        def failed(self, error: BaseException) -> None:
            failures.append(error)

    def refuse(message: Any) -> None:
        office.heard.append((1, message.data))
        raise ValueError(message.data)

    office.put(office.route(1, refuse, Forgiving), b"a", b"b")
    office.put(office.route(2), b"c")
    office.calls.run(10)
    assert office.heard == [(1, b"a"), (1, b"b"), (2, b"c")]
    assert [error.args for error in failures] == [(b"a",), (b"b",)]


def test_a_failure_that_the_route_raises_leaves_the_others_due(office: Office) -> None:
    def interrupt(message: Any) -> None:
        raise KeyboardInterrupt

    before, failing, after = office.route(1), office.route(2, interrupt), office.route(3)
    for route in (before, failing, after):
        office.put(route, b"a", b"b")
    with pytest.raises(KeyboardInterrupt):
        office.calls.run(10)
    assert office.heard == [(1, b"a"), (1, b"b")]
    assert (before.is_due, failing.is_due, after.is_due, office.armed) == (False, True, True, 2)
    failing.callback = before.callback
    office.calls.run(10)
    assert office.heard[2:] == [(1, b"b"), (3, b"a"), (3, b"b")]


def test_who_takes_over_gets_the_rest(office: Office, twin: Any) -> None:
    results: list[Any] = []

    class Handing(twin.Route):
        def returned(self, result: Any) -> bool:
            results.append(result)
            return result == b"b"

    route = office.route(1, lambda message: message.data, Handing)
    office.put(route, b"a", b"b", b"c")
    office.calls.run(10)
    assert (results, route.pending_msgs, route.is_due) == ([b"a", b"b"], 1, False)


def test_served_is_called_when_it_is_wanted(office: Office, twin: Any) -> None:
    served: list[int] = []

    class Curious(twin.Route):
        def served(self) -> None:
            served.append(self.pending_msgs)

    route = office.route(1, cls=Curious)
    for wanted in (False, True):
        route.wants_served = wanted
        office.put(route, b"a")
        office.calls.run(10)
    assert served == [0]


def test_the_reader_is_told_of_those_alone_that_want_to_be_woken(office: Office, twin: Any) -> None:
    parser = twin.Parser()
    plain, woken, without = office.route(1), office.route(2), office.route(3)
    woken.wants_wake, without.calls = True, None
    parser.routes |= {1: plain, 2: woken, 3: without}
    parser.feed(b"".join(b"MSG a %d 1\r\nx\r\n" % sid for sid in (1, 2, 3, 1)))
    assert parser.take_touched() == [woken, without]
    assert (plain.is_due, woken.is_due, plain.touched, woken.touched) == (True, False, False, False)
    office.calls.run(10)
    assert office.heard == [(1, b"x"), (1, b"x")]


@pytest.mark.parametrize("policy", [0, 1, 3], ids=["drop_new", "drop_old", "error"])
def test_a_route_that_dropped_something_wants_to_be_woken(office: Office, policy: int) -> None:
    route = office.route(1, max_pending_msgs=1, policy=policy)
    office.put(route, b"a")
    assert not route.wants_wake
    office.put(route, b"b")
    assert route.wants_wake


@pytest.mark.parametrize("context", [None, 1, object()], ids=["none", "number", "object"])
def test_a_route_without_a_context_is_an_error(office: Office, context: Any) -> None:
    route = office.route(1)
    route.context = context
    office.put(route, b"a")
    with pytest.raises((TypeError, AttributeError)):
        office.calls.run(1)
