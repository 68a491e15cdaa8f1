"""A message's lazy headers, and the limits and counters of the route it waits on."""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections import deque

import pytest

from tidings.nats.errors import Error, ProtocolError
from tidings.nats.wire import BLOCK, DROP_NEW, DROP_OLD, ERROR, Headers

STATUS = b"NATS/1.0 503 No Responders\r\nNats-Subject: orders\r\n\r\n"


def fill(twin, route, *sizes: int) -> None:
    for size in sizes:
        route.put(twin.Msg("a", data=bytes(size)))


def test_a_message_made_by_hand(twin):
    message = twin.Msg("a.b", "r", b"data", sid=7, owner="me")
    assert (message.subject, message.reply, message.data) == ("a.b", "r", b"data")
    assert (message.sid, message.owner) == (7, "me")


def test_a_message_without_headers(twin):
    message = twin.Msg()
    assert (message.subject, message.reply, message.data) == ("", "", b"")
    assert (message.sid, message.owner) == (0, None)
    assert not message.has_headers
    assert message.headers == Headers()
    assert (message.status, message.status_text) == (0, "")


@pytest.mark.parametrize("first", ["headers", "status", "status_text"])
def test_headers_are_parsed_when_first_asked_for_and_kept(twin, first):
    message = twin.Msg(header_block=STATUS)
    assert message.has_headers
    getattr(message, first)
    assert (message.status, message.status_text) == (503, "No Responders")
    assert message.headers.pairs() == [("Nats-Subject", "orders")]
    assert message.headers is message.headers
    message.headers["Own"] = "1"
    assert message.headers["Own"] == "1"


def test_a_bad_header_block_is_reported_each_time(twin):
    message = twin.Msg(header_block=b"nonsense")
    for _ in range(2):
        for name in ("headers", "status", "status_text"):
            with pytest.raises(ProtocolError, match="a header block begins with NATS"):
                getattr(message, name)
    assert message.has_headers


def test_the_fields_can_be_set(twin):
    message = twin.Msg()
    message.subject, message.reply, message.data, message.owner = "s", "r", b"d", 1
    assert (message.subject, message.reply, message.data, message.owner) == ("s", "r", b"d", 1)


def test_repr(twin):
    assert repr(twin.Msg("a.b", data=b"123")) == "<Msg 'a.b' 3 bytes>"
    assert repr(twin.Msg("a.b", "r", header_block=STATUS)) == "<Msg 'a.b' reply='r' 0 bytes>"

    class Msg(twin.Msg):
        pass

    assert repr(Msg("a")) == "<Msg 'a' 0 bytes>"


def test_respond_publishes_to_the_reply_subject(twin):
    sent = []

    class Owner:
        async def publish(self, *args: object) -> None:
            sent.append(args)

    message = twin.Msg("a", "r", owner=Owner())
    for answer in (message.respond(), message.respond(b"x", headers={"A": "1"})):
        with pytest.raises(StopIteration):
            answer.send(None)
    assert sent == [("r", b"", "", None), ("r", b"x", "", {"A": "1"})]


def test_respond_says_when_nobody_can_be_answered(twin):
    with pytest.raises(Error, match="the message on 'a' asks for no reply"):
        twin.Msg("a", owner=1).respond()
    with pytest.raises(Error, match="was not delivered by a client"):
        twin.Msg("a", "r").respond()


def test_a_route_gives_messages_in_order(twin):
    route = twin.Route(3, "me")
    assert (route.sid, route.owner, route.pending_msgs, route.pending_bytes) == (3, "me", 0, 0)
    fill(twin, route, 1, 2, 3)
    assert (route.pending_msgs, route.pending_bytes, route.received) == (3, 6, 3)
    assert [len(route.pop().data) for _ in range(3)] == [1, 2, 3]
    assert (route.pending_msgs, route.pending_bytes, route.received, route.dropped) == (0, 0, 3, 0)
    assert route.pop() is None
    assert (route.pending_msgs, route.pending_bytes) == (0, 0)


def test_the_limit_of_messages(twin):
    route = twin.Route(1, max_pending_msgs=2)
    fill(twin, route, 1, 2, 3, 4)
    assert (route.pending_msgs, route.pending_bytes, route.received, route.dropped) == (2, 3, 4, 2)
    assert len(route.pop().data) == 1
    fill(twin, route, 5)
    assert [len(route.pop().data) for _ in range(2)] == [2, 5]


def test_the_limit_of_bytes(twin):
    route = twin.Route(1, max_pending_bytes=10)
    fill(twin, route, 6, 5, 4, 0, 1)
    assert (route.pending_msgs, route.pending_bytes, route.received, route.dropped) == (3, 10, 5, 2)
    assert [len(route.pop().data) for _ in range(3)] == [6, 4, 0]
    fill(twin, route, 11)
    assert (route.pending_msgs, route.dropped) == (0, 3)


def held(route) -> list[int]:
    return [len(route.pop().data) for _ in range(route.pending_msgs)]


def test_the_oldest_make_room(twin):
    route = twin.Route(1, max_pending_msgs=3, policy=DROP_OLD)
    fill(twin, route, 1, 2, 3, 4, 5)
    assert (route.pending_msgs, route.pending_bytes, route.received, route.dropped) == (3, 12, 5, 2)
    assert held(route) == [3, 4, 5]


def test_as_many_of_the_oldest_as_the_bytes_need(twin):
    route = twin.Route(1, max_pending_bytes=10, policy=DROP_OLD)
    fill(twin, route, 3, 3, 3, 8)
    assert (route.pending_bytes, route.received, route.dropped) == (8, 4, 3)
    fill(twin, route, 11)  # has no room at all, so the others stay
    assert (route.received, route.dropped) == (5, 4)
    assert held(route) == [8]


def test_a_full_route_that_blocks_keeps_everything(twin):
    route = twin.Route(1, max_pending_msgs=2, max_pending_bytes=2, policy=BLOCK)
    fill(twin, route, 1, 2, 3, 4)
    assert (route.dropped, held(route)) == (0, [1, 2, 3, 4])


@pytest.mark.parametrize("limits", [{"max_pending_msgs": 2}, {"max_pending_bytes": 3}])
def test_with_an_error_nothing_is_taken_after_the_first_one_dropped(twin, limits):
    route = twin.Route(1, policy=ERROR, **limits)
    fill(twin, route, 1, 1, 2)
    assert (route.received, route.dropped) == (3, 1)
    route.pop()
    fill(twin, route, 0)
    assert (route.received, route.dropped, held(route)) == (3, 1, [1])


@pytest.mark.parametrize("policy", [DROP_NEW, DROP_OLD, BLOCK, ERROR])
def test_the_most_that_was_held(twin, policy):
    route = twin.Route(1, max_pending_msgs=3, policy=policy)
    assert route.policy == policy
    fill(twin, route, 1, 1)
    route.clear()
    assert route.highest_pending_msgs == 2
    fill(twin, route, 1, 1, 1, 1)
    assert route.highest_pending_msgs == (4 if policy == BLOCK else 3)


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit(twin, limit):
    route = twin.Route(1, max_pending_msgs=limit, max_pending_bytes=limit)
    fill(twin, route, *[100] * 1000)
    assert (route.pending_msgs, route.pending_bytes, route.dropped) == (1000, 100_000, 0)


def test_the_queue_agrees_with_a_deque(twin):
    """However it grew, wrapped around and was emptied."""
    rng = random.Random(0)
    route = twin.Route(1)
    model: deque[bytes] = deque()
    for _ in range(300):
        for _ in range(rng.choice([1, 3, 8, 9, 100])):
            data = rng.randbytes(rng.randint(0, 5))
            route.put(twin.Msg("a", data=data))
            model.append(data)
        for _ in range(rng.choice([0, 2, 7, 40, 300])):
            message = route.pop()
            assert (message and message.data) == (model.popleft() if model else None)
        if rng.random() < 0.02:
            assert route.clear() == len(model)
            model.clear()
        assert route.pending_msgs == len(model)
        assert route.pending_bytes == sum(map(len, model))


def test_a_long_queue_gives_its_memory_back(twin):
    message = twin.Msg("a")
    tracemalloc.start()
    try:
        route = twin.Route(1)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20_000):
            route.put(message)
        assert tracemalloc.get_traced_memory()[0] - before > 20_000 * 8
        while route.pop() is not None:
            pass
        fill(twin, route, 0)
        assert tracemalloc.get_traced_memory()[0] - before < 16_384
    finally:
        tracemalloc.stop()


def test_limits_can_change(twin):
    route = twin.Route(1)
    fill(twin, route, 1, 1)
    route.max_pending_msgs = 2
    fill(twin, route, 1)
    route.max_pending_msgs, route.max_pending_bytes = 0, 3
    fill(twin, route, 1, 1)
    assert (route.pending_msgs, route.received, route.dropped) == (3, 5, 2)


def test_the_messages_of_a_lifetime(twin):
    """What crosses the UNSUB on its way is neither received nor dropped."""
    route = twin.Route(1, max_msgs=3, max_pending_msgs=2)
    fill(twin, route, 1, 1, 1, 1, 1)
    assert (route.pending_msgs, route.received, route.dropped) == (2, 3, 1)
    route.pop()
    fill(twin, route, 1)
    assert (route.pending_msgs, route.received, route.dropped) == (1, 3, 1)
    route.max_msgs = 4
    fill(twin, route, 1, 1)
    assert (route.pending_msgs, route.received) == (2, 4)


def test_the_parser_counts_alike(twin):
    parser = twin.Parser()
    route = parser.routes[1] = twin.Route(1, max_pending_msgs=3, max_pending_bytes=10, max_msgs=5)
    for size in (4, 7, 6, 0, 0, 0):
        parser.feed(b"MSG a 1 %d\r\n%b\r\n" % (size, bytes(size)))
    assert (route.pending_msgs, route.pending_bytes) == (3, 10)
    assert (route.received, route.dropped) == (5, 2)


def test_header_bytes_do_not_count_as_pending(twin):
    parser = twin.Parser()
    route = parser.routes[1] = twin.Route(1)
    parser.feed(b"HMSG a 1 12 15\r\nNATS/1.0\r\n\r\nabc\r\n")
    assert route.pending_bytes == 3


def test_clear(twin):
    route = twin.Route(1, max_pending_msgs=2)
    fill(twin, route, 1, 1, 1)
    assert route.clear() == 2
    assert (route.pending_msgs, route.pending_bytes, route.received, route.dropped) == (0, 0, 3, 1)
    assert route.clear() == 0
    fill(twin, route, 5)
    assert route.pending_bytes == 5


def test_a_route_can_be_extended(twin):
    class Subscription(twin.Route):
        def __init__(self, sid: int, subject: str) -> None:
            super().__init__(sid, self, max_pending_msgs=2)
            self.subject = subject
            self.woken = 0

        def wake(self) -> None:
            self.woken += 1

    parser = twin.Parser()
    route = parser.routes[1] = Subscription(1, "a")
    parser.feed(b"MSG a 1 1\r\nx\r\n")
    for touched in parser.take_touched():
        touched.wake()
    assert route.woken == 1
    assert route.pop().owner is route
    assert twin.Route(1).wake() is None


def test_the_queue_keeps_what_it_was_given_and_no_more(twin):
    """Reference counts of what goes through come back to where they were."""
    owner = object()
    before = sys.getrefcount(owner)
    parser = twin.Parser()
    parser.routes[1] = twin.Route(1, owner)
    parser.feed(b"HMSG a 1 r 12 15\r\nNATS/1.0\r\n\r\nabc\r\nMSG a 1 3\r\nabc\r\n" * 10)
    for _ in range(10):
        assert parser.routes[1].pop().owner is owner
    parser.routes[1].clear()
    del parser
    assert sys.getrefcount(owner) == before
