"""How bytes reach the parser must not matter, and takes no memory beyond need."""

from __future__ import annotations

import contextlib
import gc
import itertools
import random
import tracemalloc
import weakref

import pytest

from tidings.nats.errors import ProtocolError
from tidings.nats.wire import READ_SIZE
from tidings.nats.wire.events import Err, Info, Ok, Ping, Pong

HEADERS = b"NATS/1.0\r\nA: 1\r\nA:2 \r\n\r\n"
STATUS = b"NATS/1.0 503 No Responders\r\nNats-Subject: x\r\n\r\n"

STREAM = b"".join(
    [
        b'INFO {"server_id":"S","max_payload":1048576,"headers":true}\r\n',
        b"+OK\r\n",
        b"PING\r\n",
        b"MSG a.b 1 5\r\nhello\r\n",
        b"MSG a.b 1 reply.to 0\r\n\r\n",
        b"msg\ta.b  2\t r 4 \r\n\r\n\r\n\r\n",
        b"HMSG h 1 %d %d\r\n%bdata\r\n" % (len(HEADERS), len(HEADERS) + 4, HEADERS),
        b"HMSG h 2 r.r %d %d\r\n%b\r\n" % (len(STATUS), len(STATUS), STATUS),
        b"MSG skipped 9 3\r\nabc\r\n",
        b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n",
        b"MSG \xc3\xa9.\xff 2 6\r\nPING\r\n\r\n",
        b"PONG\r\n",
    ]
)
EVENTS = [
    Info({"server_id": "S", "max_payload": 1048576, "headers": True}),
    Ok(),
    Ping(),
    Err('Permissions Violation for Publish to "x"'),
    Pong(),
]
NONE = (0, "", [], False)
FIRST = [
    (1, "owner 1", "a.b", "", b"hello", NONE),
    (1, "owner 1", "a.b", "reply.to", b"", NONE),
    (1, "owner 1", "h", "", b"data", (0, "", [("A", "1"), ("A", "2")], True)),
]
SECOND = [
    (2, "owner 2", "a.b", "r", b"\r\n\r\n", NONE),
    (2, "owner 2", "h", "r.r", b"", (503, "No Responders", [("Nats-Subject", "x")], True)),
    (2, "owner 2", "é.\udcff", "", b"PING\r\n", NONE),
]


def pieces_of(data: bytes, sizes):
    """`data` cut into pieces of the sizes given, one after the other."""
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size


def fixed(size: int):
    while True:
        yield size


def shuffled(seed: int, most: int):
    rng = random.Random(seed)
    while True:
        yield rng.randint(1, most)


def test_every_split_in_two_gives_the_same(twin, pump, taken):
    for at in range(len(STREAM) + 1):
        parser = twin.reader(1, 2)
        events = pump(parser, [STREAM[:at]]) + pump(parser, [STREAM[at:]])
        assert events == EVENTS, at
        assert taken(parser) == FIRST + SECOND, at
        assert parser.unrouted == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_of_one_size_give_the_same(twin, pump, taken, size):
    parser = twin.reader(1, 2)
    assert pump(parser, pieces_of(STREAM, fixed(size))) == EVENTS
    assert taken(parser) == FIRST + SECOND


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_random_size_give_the_same(twin, pump, taken, seed):
    parser = twin.reader(1, 2)
    assert pump(parser, pieces_of(STREAM * 5, shuffled(seed, 40))) == EVENTS * 5
    assert taken(parser) == FIRST * 5 + SECOND * 5


def test_full_buffers_give_the_same(twin, pump, taken):
    times = 4 * READ_SIZE // len(STREAM)
    parser = twin.reader(1, 2)
    assert pump(parser, [STREAM * times]) == EVENTS * times
    assert parser.unrouted == times
    assert taken(parser) == FIRST * times + SECOND * times


def test_feed_and_the_buffers_can_take_turns(twin, pump, taken):
    parser = twin.reader(1, 2)
    events = []
    for i, piece in enumerate(pieces_of(STREAM * 5, shuffled(1, 60))):
        events += parser.feed(piece) if i % 2 else pump(parser, [piece])
    assert events == EVENTS * 5
    assert taken(parser) == FIRST * 5 + SECOND * 5


# A message may fill the buffer to the last byte, or exceed it by one; the header block may, too.
EDGES = sorted({READ_SIZE + by for by in (-40, -18, -17, -16, -15, -14, -13, -12, -2, -1, 0, 1, 40)})


@pytest.mark.parametrize("size", [*EDGES, 3 * READ_SIZE + 5])
@pytest.mark.parametrize("step", [1000, 65536, READ_SIZE, 1 << 30])
def test_a_payload_around_and_over_the_buffer(twin, pump, taken, size, step):
    body = random.Random(size).randbytes(size)
    parser = twin.reader(1)
    data = b"PING\r\nMSG a 1 r %d\r\n%b\r\nMSG b 1 2\r\nhi\r\n" % (size, body)
    assert pump(parser, pieces_of(data, fixed(step))) == [Ping()]
    assert taken(parser) == [
        (1, "owner 1", "a", "r", body, NONE),
        (1, "owner 1", "b", "", b"hi", NONE),
    ]


@pytest.mark.parametrize("value", [10, READ_SIZE // 2, READ_SIZE - 20, READ_SIZE, 3 * READ_SIZE])
@pytest.mark.parametrize("size", [0, 1, 2, 100, READ_SIZE, 2 * READ_SIZE])
@pytest.mark.parametrize("step", [4099, 1 << 30])
def test_headers_and_payload_around_and_over_the_buffer(twin, pump, taken, value, size, step):
    block = b"NATS/1.0\r\nA: " + b"v" * value + b"\r\n\r\n"
    body = random.Random(size).randbytes(size)
    parser = twin.reader(1)
    line = b"HMSG a 1 r %d %d\r\n" % (len(block), len(block) + size)
    data = b"PING\r\n" + line + block + body + b"\r\nMSG b 1 2\r\nhi\r\n"
    assert pump(parser, pieces_of(data, fixed(step))) == [Ping()]
    assert taken(parser) == [
        (1, "owner 1", "a", "r", body, (0, "", [("A", "v" * value)], True)),
        (1, "owner 1", "b", "", b"hi", NONE),
    ]


def test_a_long_message_without_a_route_is_skipped(twin, pump):
    parser = twin.reader()
    assert pump(parser, [b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (3 * READ_SIZE, bytes(3 * READ_SIZE))])
    assert parser.unrouted == 1


@pytest.mark.parametrize("tail", [b"\n\r", b"xx", b"\rx"])
@pytest.mark.parametrize("line", [b"MSG a 1", b"HMSG a 1 26"])
def test_a_long_payload_is_followed_by_a_line_end(twin, pump, line, tail):
    size = 2 * READ_SIZE
    data = b"%b %d\r\n%b%b%b" % (line, size, HEADERS, bytes(size - len(HEADERS)), tail)
    with pytest.raises(ProtocolError, match=f"the payload of {size} bytes is not followed by CRLF"):
        pump(twin.reader(1), [data])


@pytest.mark.parametrize("size", [10, 2 * READ_SIZE])
def test_the_route_is_looked_up_when_the_message_is_whole(twin, pump, size):
    """An unsubscribe between two reads ends delivery, however long the message is."""
    parser = twin.reader(1)
    route = parser.routes[1]
    data = b"MSG a 1 %d\r\n%b\r\n" % (size, bytes(size))
    pump(parser, [data[:-5]])
    del parser.routes[1]
    pump(parser, [data[-5:]])
    assert (parser.unrouted, route.received) == (1, 0)
    pump(parser, [data[:-5]])
    parser.routes[1] = route
    pump(parser, [data[-5:]])
    assert (parser.unrouted, route.received) == (1, 1)
    assert route.pop().owner == "owner 1"


def test_the_buffer_has_room_for_a_good_read_at_any_time(twin):
    """A read of a few bytes costs as much as one of many."""
    parser = twin.reader()
    data = b"MSG a 1 1000\r\n%b\r\n" % bytes(1000) * 500
    at = 0
    for size in itertools.islice(shuffled(0, READ_SIZE), 60):
        window = parser.get_buffer()
        assert len(window) >= READ_SIZE // 4
        size = min(size, len(window))
        piece = (data + data)[at : at + size]
        window[: len(piece)] = piece
        parser.buffer_updated(len(piece))
        at = (at + len(piece)) % len(data)


@contextlib.contextmanager
def memory():
    """Measures memory taken since; yields a function that gives (now, at most), in bytes."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tuple(size - before for size in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()


def test_the_buffer_stays_bounded_when_no_read_ever_ends_with_a_line(twin):
    """A server that always sends half a line more must not push the buffer along for ever."""
    lines = b"K\r\n" + b"-ERR '%b'\r\n" % (b"x" * 3000) * 10 + b"+O"
    with memory() as used:
        parser = twin.reader()
        parser.feed(b"+O")
        for _ in range(3 * READ_SIZE // len(lines)):
            parser.feed(lines)
        assert used()[1] < 2.5 * READ_SIZE


def test_a_large_message_gives_its_memory_back(twin, pump):
    size = 10 * READ_SIZE
    data = b"MSG a 1 %d\r\n%b\r\n" % (size, bytes(size))
    with memory() as used:
        parser = twin.reader(1)
        for _ in range(3):
            pump(parser, [b"PING\r\n" * 1000, data, b"PI"])
            assert size <= used()[0]
            parser.routes[1].clear()
            pump(parser, [b"NG\r\n"])
            parser.get_buffer()
            assert used()[0] < 1.5 * READ_SIZE
        assert used()[1] < 2.5 * size  # the buffer and the payload taken out of it


def test_a_long_line_gives_its_memory_back(twin, pump):
    data = b'INFO {"a":"%b"}\r\n' % (b"x" * 3 * READ_SIZE)
    with memory() as used:
        parser = twin.reader()
        pump(parser, [data])
        parser.get_buffer()
        assert used()[0] < 1.5 * READ_SIZE


def test_the_buffer_grows_no_more_after_an_error(twin):
    with memory() as used:
        parser = twin.reader(1)
        with pytest.raises(ProtocolError):
            parser.feed(b"?\r\n")
        for _ in range(20):
            size = len(parser.get_buffer())
            assert size > 0
            with pytest.raises(ProtocolError):
                parser.buffer_updated(size)
        assert used()[1] < 1.5 * READ_SIZE


def test_what_is_announced_takes_no_more_than_itself(twin):
    with memory() as used:
        parser = twin.reader(1)
        parser.feed(b"MSG a 1 %d\r\n" % (8 * READ_SIZE))
        parser.get_buffer()
        assert used()[1] < 11 * READ_SIZE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"x" * 3 * READ_SIZE, id="grown line"),
        pytest.param(b"MSG a 1 %d\r\n%b" % (4 * READ_SIZE, bytes(READ_SIZE)), id="long message"),
        pytest.param(b"MSG a 1 %d\r\n%b\r\nPI" % (4 * READ_SIZE, bytes(4 * READ_SIZE)), id="shrunk"),
        pytest.param(b"?\r\n", id="broken"),
    ],
)
def test_a_window_outlives_whatever_becomes_of_the_parser(twin, pump, data):
    """Written through after the buffer moved on and the parser is gone; a sanitizer sees it."""
    parser = twin.reader(1)
    windows = [parser.get_buffer()]
    with contextlib.suppress(ProtocolError):
        pump(parser, [data])
    windows.append(parser.get_buffer())
    del parser
    gc.collect()
    for window in windows:
        assert not window.readonly
        window[:] = b"\xaa" * len(window)
        assert window[-1] == 0xAA


def test_a_parser_with_its_routes_is_collected(twin):
    class Owner:
        pass

    class Own(twin.Route):
        __slots__ = ("__weakref__",)

    parser = twin.Parser()
    owner = Owner()
    route = parser.routes[1] = Own(1, owner)
    owner.parser = parser
    parser.feed(b"MSG a 1 0\r\n\r\n")
    route.clear()
    watch = weakref.ref(owner)
    del parser, owner, route
    gc.collect()
    assert watch() is None
