"""What the parser makes of each line: every verb, every error, every limit."""

from __future__ import annotations

import json

import pytest

from tidings.nats.errors import ProtocolError
from tidings.nats.wire.events import Err, Info, Ok, Ping, Pong

HEADERS = b"NATS/1.0\r\nA: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"PING", Ping()),
        (b"ping", Ping()),
        (b"PiNg \t", Ping()),
        (b"PONG", Pong()),
        (b"+OK", Ok()),
        (b"+ok", Ok()),
        (b"-ERR 'Stale Connection'", Err("Stale Connection")),
        (b"-err\t'a b'", Err("a b")),
        (b"-ERR   'spaced'  ", Err("spaced")),
        (b"-ERR unquoted", Err("unquoted")),
        (b"-ERR", Err("")),
        (b"-ERR ''", Err("")),
        (b"-ERR '\xff\xc3\xa9'", Err("\N{REPLACEMENT CHARACTER}é")),
        (b"INFO {}", Info({})),
        (b'info\t{"a":1}  ', Info({"a": 1})),
        (b'INFO {"a":{"b":[1,null,"\xc3\xa9"]}}', Info({"a": {"b": [1, None, "é"]}})),
    ],
)
def test_control_lines_become_events(twin, line, event):
    parser = twin.reader()
    assert parser.feed(line + b"\r\n" + line + b"\r\n") == [event, event]
    assert parser.take_touched() == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "unknown protocol line b''"),
        (b" ", "unknown protocol line b' '"),
        (b" PING", "unknown protocol line"),
        (b"PINGS", "unknown protocol line b'PINGS'"),
        (b"\x00", "unknown protocol line"),
        (b"\xffPING", "unknown protocol line"),
        (b"PUB a 1", "unknown protocol line b'PUB a 1'"),
        (b"MSGS a 1 1", "unknown protocol line"),
        (b" MSG a 1 1", "unknown protocol line"),
        (b"\x0bMSG a 1 1", "unknown protocol line"),
        (b"MSG\x0ba 1 1", "unknown protocol line"),
        (b"MS", "unknown protocol line b'MS'"),
        (b"HMS a 1 1 1", "unknown protocol line"),
        (b"INFO", "INFO does not carry JSON: b''"),
        (b"INFO {", "INFO does not carry JSON: b'{'"),
        (b"INFO []", r"INFO carries a JSON object, not b'\[\]'"),
        (b'INFO "text"', "INFO carries a JSON object"),
        (b'INFO {"a":"\xff"}', "INFO does not carry JSON"),
        (b"INFO " + b"[" * 100_000, "INFO does not carry JSON"),
        (b'INFO {"a":' + b"9" * 5000 + b"}", "INFO does not carry JSON"),
        (b"MSG", "wrong number of arguments: b'MSG'"),
        (b"MSG a 1", "wrong number of arguments"),
        (b"MSG a 1 r 0 0", "wrong number of arguments"),
        (b"MSG a 1 r 0 0 0 0 0 0", "wrong number of arguments"),
        (b"HMSG a 1 0", "wrong number of arguments"),
        (b"HMSG a 1 r 0 0 0", "wrong number of arguments"),
        (b"MSG a x 1", "not a number in b'MSG a x 1'"),
        (b"MSG a 1 x", "not a number"),
        (b"MSG a -1 1", "not a number"),
        (b"MSG a 1 -1", "not a number"),
        (b"MSG a 1 +1", "not a number"),
        (b"MSG a 1 1_0", "not a number"),
        (b"MSG a 1 \xd9\xa1", "not a number"),
        (b"MSG a 1 1234567890", "not a number"),
        (b"MSG a 1234567890 1", "not a number"),
        (b"MSG a 1 " + b"9" * 400, "not a number"),
        (b"HMSG a 1 x 12", "not a number"),
        (b"HMSG a 1 12 x", "not a number"),
        (b"HMSG a 1 -1 12", "not a number"),
        (b"HMSG a 1 13 12", "a header block of 13 bytes"),
    ],
)
def test_a_line_that_is_not_the_protocol_is_refused(twin, line, reason):
    with pytest.raises(ProtocolError, match=reason):
        twin.reader(1).feed(line + b"\r\n")


@pytest.mark.parametrize("line", [b"\n", b"PING\n", b"MSG a 1 1\n", b"PING\rPONG\n"])
def test_a_line_ends_with_both_bytes(twin, line):
    with pytest.raises(ProtocolError, match="a protocol line ends with CRLF, this one with LF alone"):
        twin.reader(1).feed(line)


@pytest.mark.parametrize(
    ("data", "subject", "reply", "payload"),
    [
        (b"MSG a 1 2\r\nhi\r\n", "a", "", b"hi"),
        (b"msg a 1 2\r\nhi\r\n", "a", "", b"hi"),
        (b"MSG a 1 r.x 2\r\nhi\r\n", "a", "r.x", b"hi"),
        (b"MSG  \t a\t1   r\t 2 \t\r\nhi\r\n", "a", "r", b"hi"),
        (b"MSG a 000000001 000000002\r\nhi\r\n", "a", "", b"hi"),
        (b"MSG a 1 0\r\n\r\n", "a", "", b""),
        (b"MSG a 1 2\r\n\r\n\r\n", "a", "", b"\r\n"),
        (b"MSG a 1 6\r\nPING\r\n\r\n", "a", "", b"PING\r\n"),
        (b"MSG \xc3\xa9.\xff 1 \xfe 1\r\n\x00\r\n", "é.\udcff", "\udcfe", b"\x00"),
        # What the server lets a publisher put into a subject, though we refuse to send it.
        (b"MSG a\x0bb\x0c 1 \x0br 2\r\nhi\r\n", "a\x0bb\x0c", "\x0br", b"hi"),
        (b"MSG a\x00\x01\x7f 1 2\r\nhi\r\n", "a\x00\x01\x7f", "", b"hi"),
    ],
)
def test_msg(twin, taken, data, subject, reply, payload):
    parser = twin.reader(1)
    assert parser.feed(data) == []
    assert taken(parser) == [(1, "owner 1", subject, reply, payload, (0, "", [], False))]


@pytest.mark.parametrize(
    ("data", "reply", "payload"),
    [
        (b"HMSG a 1 18 20\r\n" + HEADERS + b"hi\r\n", "", b"hi"),
        (b"hmsg a 1 r 18 20\r\n" + HEADERS + b"hi\r\n", "r", b"hi"),
        (b"HMSG a 1 18 18\r\n" + HEADERS + b"\r\n", "", b""),
        (b"HMSG\ta  1 r\x0b\x0c 18\t18 \r\n" + HEADERS + b"\r\n", "r\x0b\x0c", b""),
    ],
)
def test_hmsg(twin, taken, data, reply, payload):
    parser = twin.reader(1)
    assert parser.feed(data) == []
    assert taken(parser) == [(1, "owner 1", "a", reply, payload, (0, "", [("A", "1")], True))]


@pytest.mark.parametrize("block", [b"", b"abcd", b"NATS/1.0\r\n", b"NATS/2.0\r\n\r\n"])
def test_a_bad_header_block_is_an_error_of_its_message_alone(twin, block):
    """The server passes on what a publisher says is a header block, and counts only its bytes."""
    parser = twin.reader(1)
    size = len(block)
    data = b"HMSG a 1 %d %d\r\n%bhi\r\nPING\r\n" % (size, size + 2, block)
    assert parser.feed(data) == [Ping()]
    message = parser.routes[1].pop()
    assert message.has_headers
    assert message.data == b"hi"
    with pytest.raises(ProtocolError):
        _ = message.headers
    with pytest.raises(ProtocolError):
        _ = message.status


@pytest.mark.parametrize("tail", [b"\n\r", b"xx", b"\rx", b"\r\r", b"x\n"])
@pytest.mark.parametrize("sid", [1, 2])
def test_a_payload_is_followed_by_a_line_end(twin, sid, tail):
    with pytest.raises(ProtocolError, match="the payload of 2 bytes is not followed by CRLF"):
        twin.reader(1).feed(b"MSG a %d 2\r\nhi%b" % (sid, tail))


def test_a_message_without_a_route_is_skipped_and_counted(twin, taken):
    parser = twin.reader(2)
    data = b"MSG a 1 2\r\nhi\r\nMSG a 2 2\r\nho\r\nHMSG a 3 18 18\r\n" + HEADERS + b"\r\nPING\r\n"
    assert parser.feed(data) == [Ping()]
    assert [message[4] for message in taken(parser)] == [b"ho"]
    assert parser.unrouted == 2


def test_routes_are_touched_once_a_batch_in_the_order_of_their_first_message(twin):
    parser = twin.reader(1, 2, 3)
    parser.feed(b"MSG a 2 0\r\n\r\nMSG a 1 0\r\n\r\nMSG a 2 0\r\n\r\n")
    assert [(route.sid, route.pending_msgs) for route in parser.take_touched()] == [(2, 2), (1, 1)]
    assert parser.take_touched() == []
    parser.feed(b"MSG a 2 0\r\n\r\n")
    assert [route.sid for route in parser.take_touched()] == [2]


def test_a_route_that_dropped_is_touched_too(twin):
    parser = twin.reader(1)
    parser.routes[1].max_pending_msgs = 1
    parser.feed(b"MSG a 1 0\r\n\r\n")
    parser.take_touched()
    parser.feed(b"MSG a 1 0\r\n\r\n")
    assert [(route.pending_msgs, route.dropped) for route in parser.take_touched()] == [(1, 1)]


def test_a_line_up_to_the_limit(twin):
    """Which counts the CR, not the LF."""
    parser = twin.reader(max_control_line=20)
    assert parser.feed(b"-ERR '0123456789ab'\r\n") == [Err("0123456789ab")]


@pytest.mark.parametrize("line", [b"-ERR '0123456789abc'\r\n", b"MSG a 1 " + b" " * 20 + b"1\r\n"])
def test_a_line_over_the_limit(twin, line):
    with pytest.raises(ProtocolError, match="a protocol line exceeds 20 bytes"):
        twin.reader(1, max_control_line=20).feed(line)


def test_a_line_without_end_stops_at_the_limit(twin):
    parser = twin.reader(max_control_line=1000)
    parser.feed(b"x" * 1000)
    with pytest.raises(ProtocolError, match="a protocol line exceeds 1000 bytes"):
        parser.feed(b"x" * 2)


def test_the_payload_limit_counts_headers(twin):
    parser = twin.reader(1, max_payload=20)
    parser.feed(b"MSG a 1 20\r\n" + b"x" * 20 + b"\r\n")
    parser.feed(b"HMSG a 1 19 20\r\n" + b"x" * 20 + b"\r\n")
    assert parser.routes[1].pending_msgs == 2
    with pytest.raises(ProtocolError, match="a message of 21 bytes exceeds the limit of 20"):
        parser.feed(b"HMSG a 1 18 21\r\n")
    with pytest.raises(ProtocolError, match="a message of 999999999 bytes exceeds the limit of"):
        twin.reader(1).feed(b"MSG a 1 999999999\r\n")


def test_the_header_limit(twin):
    parser = twin.reader(1, max_headers=18)
    parser.feed(b"HMSG a 1 18 20\r\n" + b"x" * 20 + b"\r\n")
    with pytest.raises(ProtocolError, match="a header block of 19 bytes"):
        parser.feed(b"HMSG a 1 19 20\r\n")


@pytest.mark.parametrize("kib", [40, 500])
def test_a_long_info(twin, pump, kib):
    urls = [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}:4222" for i in range(kib * 1024 // 16)]
    line = b"INFO " + json.dumps({"connect_urls": urls}).encode() + b"\r\n"
    assert len(line) > kib * 1024
    assert twin.reader().feed(line + b"PING\r\n") == [Info({"connect_urls": urls}), Ping()]
    pieces = [line[i : i + 16000] for i in range(0, len(line), 16000)]
    assert pump(twin.reader(), pieces) == [Info({"connect_urls": urls})]


def test_what_came_before_an_error_stays_delivered_and_the_error_sticks(twin, taken):
    parser = twin.reader(1)
    with pytest.raises(ProtocolError, match="unknown protocol line b'HTTP"):
        parser.feed(b"MSG a 1 2\r\nhi\r\nHTTP/1.1 400 Bad Request\r\nMSG a 1 2\r\nho\r\n")
    assert [message[4] for message in taken(parser)] == [b"hi"]
    for data in (b"PING\r\n", b"MSG a 1 2\r\nho\r\n", b"x" * 1_000_000):
        with pytest.raises(ProtocolError, match="unknown protocol line b'HTTP"):
            parser.feed(data)
    assert parser.routes[1].pending_msgs == 0
    assert parser.take_touched() == []


def test_the_events_before_an_error_come_with_it(twin):
    parser = twin.reader()
    with pytest.raises(ProtocolError) as caught:
        parser.feed(b"PING\r\n-ERR 'Stale Connection'\r\nHTTP/1.1 400\r\nPONG\r\n")
    assert caught.value.events == [Ping(), Err("Stale Connection")]
    with pytest.raises(ProtocolError) as caught:
        parser.feed(b"PING\r\n")
    assert caught.value.events == ()


def test_an_error_quotes_the_beginning_of_a_line_alone(twin):
    with pytest.raises(ProtocolError) as raised:
        twin.reader().feed(b"x" * 100_000 + b"\r\n")
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("data", [b"", bytearray(b"PING\r\n"), memoryview(b"xPING\r\n")[1:]])
def test_feed_takes_anything_that_holds_bytes(twin, data):
    assert twin.reader().feed(data) == [Ping()] * (len(data) > 0)


@pytest.mark.parametrize("size", [-1, 1 << 20])
def test_more_bytes_than_the_buffer_holds_are_refused(twin, size):
    parser = twin.reader()
    parser.get_buffer()
    with pytest.raises(ValueError, match="more bytes than the buffer holds"):
        parser.buffer_updated(size)
    assert parser.feed(b"PING\r\n") == [Ping()]


def test_messages_and_their_bytes_are_counted(twin):
    parser = twin.reader()
    parser.routes[1] = twin.Route(1)
    stream = b"MSG a 1 3\r\nabc\r\nHMSG a 9 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\n"
    parser.feed(stream + b"MSG a 1 1000000\r\n" + bytes(999_999))
    assert (parser.messages, parser.message_bytes) == (2, 16)
    parser.feed(b"\0\r\n")
    assert (parser.messages, parser.message_bytes) == (3, 1_000_016)


@pytest.mark.parametrize("size", [1, 200_000], ids=["short", "long"])
def test_a_route_says_what_its_messages_are(twin, size):
    class Stored(twin.Msg):
        __slots__ = ()

    parser = twin.reader(1, 2)
    parser.routes[1].message_type = Stored
    for sid in (1, 2):
        parser.feed(b"HMSG a %d r 12 %d\r\nNATS/1.0\r\n\r\n%b\r\n" % (sid, 12 + size, b"x" * size))
    stored, plain = (parser.routes[sid].pop() for sid in (1, 2))
    assert (type(stored), type(plain)) == (Stored, twin.Msg)
    for message in (stored, plain):
        assert (message.subject, message.reply, message.data) == ("a", "r", b"x" * size)
        assert message.header_block == b"NATS/1.0\r\n\r\n"
    assert (stored.sid, stored.owner) == (1, "owner 1")
    assert plain.headers == stored.headers
