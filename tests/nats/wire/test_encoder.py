"""The exact bytes of each command, and refusals that leave nothing behind."""

from __future__ import annotations

import array
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.nats.errors import (
    BadHeaderError,
    BadSubjectError,
    ConnectionClosedError,
    Error,
    MaxPayloadError,
    OutboundBufferLimitError,
)
from tidings.nats.wire import Headers

deterministic = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("a",), b"PUB a 0\r\n\r\n"),
        (("a.b", b"hi"), b"PUB a.b 2\r\nhi\r\n"),
        (("a", b"hi", "r.1"), b"PUB a r.1 2\r\nhi\r\n"),
        (("a", b"hi", None), b"PUB a 2\r\nhi\r\n"),
        (("a", b"\r\nPUB b 0\r\n\r\n"), b"PUB a 13\r\n\r\nPUB b 0\r\n\r\n\r\n"),
        (("é", "é", "\udcff"), b"PUB \xc3\xa9 \xff 2\r\n\xc3\xa9\r\n"),
        (("a", b"x" * 1234567), b"PUB a 1234567\r\n" + b"x" * 1234567 + b"\r\n"),
        (("a", b"hi", "", {}), b"PUB a 2\r\nhi\r\n"),
        (("a", b"hi", "", Headers()), b"PUB a 2\r\nhi\r\n"),
        (("a", b"hi", "", {"A": "1"}), b"HPUB a 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\n"),
        (("a", b"", "r", {"A": ["1", "2"]}), b"HPUB a r 24 24\r\nNATS/1.0\r\nA: 1\r\nA: 2\r\n\r\n\r\n"),
        (("a", b"", "", {"A": []}), b"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
    ],
)
def test_publish(twin, args, line):
    encoder = twin.Encoder(max_payload=2_000_000)
    assert encoder.publish(*args) == len(line)
    assert len(encoder) == len(line)
    assert encoder.take() == line
    assert len(encoder) == 0


class Text(str):
    """A str of the caller's own."""


class Data(bytes):
    """Bytes of the caller's own."""


@pytest.mark.parametrize(
    "payload",
    [
        b"\x01\x02\x03\x04",
        bytearray(b"\x01\x02\x03\x04"),
        memoryview(b"\x01\x02\x03\x04"),
        memoryview(b"\x00\x01\x02\x03\x04\x05")[1:5],
        memoryview(b"\x01\xff\x02\xff\x03\xff\x04\xff")[::2],
        memoryview(b"\x04\x03\x02\x01")[::-1],
        memoryview(b"\x01\x02\x03\x04").cast("B", (2, 2)),
        array.array("B", [1, 2, 3, 4]),
        memoryview(b"\x01\x02\x03\x04").cast("I"),
        "\x01\x02\x03\x04",
        Text("\x01\x02\x03\x04"),
        Data(b"\x01\x02\x03\x04"),
    ],
)
def test_payloads_of_every_kind(twin, payload):
    encoder = twin.Encoder()
    encoder.publish(Text("a"), payload, Text("r"), {Text("A"): Text("1")})
    assert encoder.take() == b"HPUB a r 18 22\r\nNATS/1.0\r\nA: 1\r\n\r\n\x01\x02\x03\x04\r\n"


def test_the_payload_is_copied_at_once(twin):
    encoder = twin.Encoder()
    payload = bytearray(b"before")
    encoder.publish("a", payload)
    payload[:] = b"after!"
    payload += b"and free to grow"
    assert encoder.take() == b"PUB a 6\r\nbefore\r\n"


def test_the_other_commands(twin):
    encoder = twin.Encoder()
    encoder.connect({"verbose": False, "name": "é\r\n", "lang": "python"})
    encoder.ping()
    encoder.pong()
    encoder.subscribe(1, "a.*.>")
    encoder.subscribe(23, "é", "workers.*")
    encoder.unsubscribe(1)
    encoder.unsubscribe(1, 0)
    size = encoder.unsubscribe(23, 5)
    data = encoder.take()
    assert len(data) == size
    connect, rest = data.split(b"\r\n", 1)
    assert connect.startswith(b"CONNECT {")
    assert json.loads(connect[8:]) == {"verbose": False, "name": "é\r\n", "lang": "python"}
    assert rest == (
        b"PING\r\nPONG\r\nSUB a.*.> 1\r\nSUB \xc3\xa9 workers.* 23\r\nUNSUB 1\r\nUNSUB 1\r\nUNSUB 23 5\r\n"
    )


def refusal(twin, **changes):
    encoder = twin.Encoder(max_payload=100, max_control_line=50)
    encoder.publish("kept")
    encoder.ping()
    for name, value in changes.items():
        setattr(encoder, name, value)
    return encoder


@pytest.mark.parametrize("subject", ["a..b", ".a", "a.", "a.*", "a.>.b", "a"])
def test_what_subjects_mean_may_be_left_to_the_server(twin, subject):
    encoder = twin.Encoder(skip_subject_validation=True)
    encoder.publish(subject, b"", subject)
    assert encoder.take() == f"PUB {subject} {subject} 0\r\n\r\n".encode()
    with pytest.raises(BadSubjectError):  # no wildcard that means nothing: subscriptions are checked
        encoder.subscribe(1, "a..b")


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPING\r\n", "a\x7f", "a\ud800"])
def test_the_protocol_is_never_broken(twin, subject):
    encoder = twin.Encoder(skip_subject_validation=True)
    with pytest.raises(BadSubjectError, match=r"subject .* is empty or has white space"):
        encoder.publish(subject)
    if subject:
        with pytest.raises(BadSubjectError, match="reply subject"):
            encoder.publish("a", b"", subject)
    with pytest.raises(TypeError, match="the subject must be a str"):
        encoder.publish(None)
    assert encoder.take() == b""


@pytest.mark.parametrize(
    ("args", "error", "reason"),
    [
        (("",), BadSubjectError, "the subject is empty"),
        (("a b",), BadSubjectError, "has white space"),
        (("a.*",), BadSubjectError, "has a wildcard"),
        (("a\r\nPING\r\n",), BadSubjectError, "has white space"),
        (("a\ud800",), BadSubjectError, "lone surrogate"),
        (("a", b"", "r..r"), BadSubjectError, "reply subject 'r..r' has an empty token"),
        (("a", b"", "r\r\n"), BadSubjectError, "reply subject .* has white space"),
        (("a", b"", "r\ud800"), BadSubjectError, "reply subject .* lone surrogate"),
        ((None,), TypeError, "the subject must be a str, not NoneType"),
        ((b"a",), TypeError, "the subject must be a str, not bytes"),
        (("a", b"", 1), TypeError, "the reply subject must be a str, not int"),
        (("a", 1), TypeError, "a payload is bytes, a buffer or str, not int: encode it first"),
        (("a", None), TypeError, "a payload is bytes, a buffer or str, not NoneType"),
        (("a", {"a": 1}), TypeError, "a payload is bytes, a buffer or str, not dict"),
        (("a", "\ud800"), UnicodeEncodeError, "surrogates not allowed"),
        (("a", b"", "", {"a b": "c"}), BadHeaderError, "header name 'a b'"),
        (("a", b"", "", {"a": "b\r\n"}), BadHeaderError, "header 'a'"),
        (("a", b"", "", {"a": 1}), BadHeaderError, "header 'a'"),
        # The first thing that is wrong is the one that is named, on both twins.
        (("a b", 1, "r r", {"a b": "c"}), BadSubjectError, "^subject"),
        (("a", 1, "r r", {"a b": "c"}), BadSubjectError, "^reply"),
        (("a", 1, "r", {"a b": "c"}), BadHeaderError, "header name"),
        (("a", b"x" * 101), MaxPayloadError, "headers and payload are 101 bytes, .* accepts 100"),
        (("a", b"x" * 83, "", {"A": "1"}), MaxPayloadError, "headers and payload are 101 bytes"),
        (("s" * 45, b""), BadSubjectError, "make a line of 51 bytes, the server accepts 50"),
        (("s" * 20, b"", "r" * 24), BadSubjectError, "make a line of 51 bytes"),
        (("s" * 40, b"", "", {"A": "1"}), BadSubjectError, "make a line of 51 bytes"),
        (("é" * 23, b""), BadSubjectError, "make a line of 52 bytes"),
    ],
)
def test_a_refused_publish_leaves_nothing_behind(twin, args, error, reason):
    encoder = refusal(twin)
    with pytest.raises(error, match=reason):
        encoder.publish(*args)
    assert encoder.take() == b"PUB kept 0\r\n\r\nPING\r\n"


@pytest.mark.parametrize(
    ("args", "error", "reason"),
    [
        ((1, "a b"), BadSubjectError, "has white space"),
        ((1, "a.>.b"), BadSubjectError, "can only be the last token"),
        ((1, "a", "q q"), BadSubjectError, "queue group 'q q'"),
        ((1, 5), TypeError, "the subject must be a str"),
        ((1, "a", 5), TypeError, "the queue group must be a str"),
        ((1, "s" * 30, "q" * 14), BadSubjectError, "make a line of 51 bytes, the server accepts 50"),
    ],
)
def test_a_refused_subscribe_leaves_nothing_behind(twin, args, error, reason):
    encoder = refusal(twin)
    with pytest.raises(error, match=reason):
        encoder.subscribe(*args)
    assert encoder.take() == b"PUB kept 0\r\n\r\nPING\r\n"


def test_what_just_fits_is_taken(twin):
    encoder = twin.Encoder(max_payload=100, max_control_line=50)
    encoder.publish("a", b"x" * 100)
    encoder.publish("a", b"x" * 82, headers={"A": "1"})
    encoder.publish("s" * 44)
    encoder.subscribe(1, "s" * 30, "q" * 13)
    assert max(map(len, encoder.take().split(b"\r\n"))) == 100


def test_max_payload_can_change(twin):
    encoder = refusal(twin, max_payload=2)
    encoder.publish("a", b"hi")
    with pytest.raises(MaxPayloadError):
        encoder.publish("a", b"hi!")
    assert encoder.max_payload == 2


def test_headers_need_a_server_that_takes_them(twin):
    encoder = refusal(twin, headers_supported=False)
    with pytest.raises(Error, match="the server does not take headers"):
        encoder.publish("a", headers={"A": "1"})
    encoder.publish("a", headers={})
    assert encoder.take() == b"PUB kept 0\r\n\r\nPING\r\nPUB a 0\r\n\r\n"


def test_refusal_makes_the_error_of_publish_alone(twin):
    encoder = refusal(twin, refusal=lambda: ConnectionClosedError("closed"))
    for subject in ("a", "a b"):
        with pytest.raises(ConnectionClosedError, match="closed"):
            encoder.publish(subject)
    encoder.unsubscribe(1)
    encoder.refusal = None
    encoder.publish("a")
    assert encoder.take() == b"PUB kept 0\r\n\r\nPING\r\nUNSUB 1\r\nPUB a 0\r\n\r\n"


def test_the_outbound_limit_counts_all_and_stops_publishes_alone(twin):
    encoder = twin.Encoder()
    encoder.max_pending = 24
    encoder.publish("a", b"1")
    with pytest.raises(OutboundBufferLimitError, match="12 bytes wait"):
        encoder.publish("a", b"22")
    assert encoder.publish("a", b"2") == 24
    with pytest.raises(OutboundBufferLimitError, match="24 bytes wait"):
        encoder.publish("a")
    assert encoder.ping() == 30
    assert encoder.take() == b"PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPING\r\n"
    encoder.publish("a")


def test_on_first_is_called_once_a_batch(twin):
    calls = []
    encoder = twin.Encoder(lambda: calls.append(len(encoder)))
    encoder.publish("a")
    encoder.publish("a")
    encoder.ping()
    assert calls == [11]
    encoder.take()
    encoder.ping()
    encoder.publish("a")
    assert calls == [11, 6]
    encoder.clear()
    encoder.publish("a")
    assert calls == [11, 6, 11]
    with pytest.raises(BadSubjectError):
        encoder.publish("")
    encoder.drop_control()
    encoder.publish("b")
    assert len(calls) == 3
    encoder.take()
    encoder.pong()
    encoder.drop_control()
    encoder.pong()
    assert len(calls) == 5


def test_on_first_may_take_at_once(twin):
    taken = []
    encoder = twin.Encoder(lambda: taken.append(encoder.take()))
    assert encoder.publish("a") == 0
    assert encoder.ping() == 0
    assert taken == [b"PUB a 0\r\n\r\n", b"PING\r\n"]


def test_an_error_of_on_first_comes_through(twin):
    def fail() -> None:
        raise ZeroDivisionError

    encoder = twin.Encoder(fail)
    with pytest.raises(ZeroDivisionError):
        encoder.publish("a")
    assert encoder.take() == b"PUB a 0\r\n\r\n"


def test_drop_control_keeps_the_publishes_in_order(twin):
    encoder = twin.Encoder()
    encoder.connect({})
    encoder.ping()
    encoder.publish("a", b"1")
    encoder.subscribe(1, "a")
    encoder.publish("b", b"2", headers={"A": "1"})
    encoder.publish("c", b"3")
    encoder.pong()
    encoder.unsubscribe(1)
    encoder.drop_control()
    kept = b"PUB a 1\r\n1\r\nHPUB b 18 19\r\nNATS/1.0\r\nA: 1\r\n\r\n2\r\nPUB c 1\r\n3\r\n"
    assert len(encoder) == len(kept)
    encoder.drop_control()
    encoder.ping()
    encoder.publish("d")
    encoder.drop_control()
    assert encoder.take() == kept + b"PUB d 0\r\n\r\n"


def test_drop_control_of_many(twin):
    encoder = twin.Encoder()
    kept = []
    for i in range(5000):
        if i % 7 == 0:
            kept.append(b"PUB a %d\r\n%b\r\n" % (i % 50, bytes(i % 50)))
            encoder.publish("a", bytes(i % 50))
        else:
            encoder.subscribe(i, "a")
    encoder.drop_control()
    assert len(encoder) == sum(map(len, kept))
    assert encoder.take() == b"".join(kept)


def test_clear_and_take_of_nothing(twin):
    encoder = twin.Encoder()
    assert encoder.take() == b""
    encoder.drop_control()
    encoder.publish("a", bytes(1000))
    encoder.ping()
    encoder.clear()
    assert (len(encoder), encoder.take()) == (0, b"")
    encoder.drop_control()
    encoder.publish("a", bytes(1_000_000))
    encoder.publish("a", bytes(1_000_000))
    assert len(encoder.take()) == 2_000_000 + 2 * len(b"PUB a 1000000\r\n\r\n")
    encoder.ping()
    assert encoder.take() == b"PING\r\n"


def test_more_subjects_than_are_remembered(twin):
    encoder = twin.Encoder()
    for i in range(3000):
        encoder.publish(f"s.{i}")
    assert encoder.take() == b"".join(b"PUB s.%d 0\r\n\r\n" % i for i in range(3000))


def deliver(data: bytes) -> bytes:
    """What a server with a subscription to everything, sid 1, makes of `data`."""
    out = []
    while data:
        line, data = data.split(b"\r\n", 1)
        verb, subject, *rest = line.split(b" ")
        sizes = {b"PUB": 1, b"HPUB": 2}[verb]
        assert sizes <= len(rest) <= sizes + 1, line
        end = int(rest[-1])
        assert data[end : end + 2] == b"\r\n"
        out.append(b" ".join([verb.replace(b"PUB", b"MSG"), subject, b"1", *rest]) + b"\r\n")
        out.append(data[: end + 2])
        data = data[end + 2 :]
    return b"".join(out)


words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=" .*>\x7f"), max_size=5)
subjects = st.lists(words.filter(bool), min_size=1, max_size=3).map(".".join)
names = st.text(st.sampled_from("!aZ-~"), min_size=1, max_size=4)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=6)
publishes = st.tuples(
    subjects,
    st.binary(max_size=40),
    st.just("") | subjects,
    st.none() | st.dictionaries(names, values | st.lists(values, min_size=1, max_size=3), max_size=3),
)


@given(calls=st.lists(publishes, min_size=1, max_size=6))
@deterministic
def test_what_is_published_is_delivered(twin, calls):
    encoder = twin.Encoder()
    for call in calls:
        encoder.publish(*call)
    parser = twin.reader(1)
    assert parser.feed(deliver(encoder.take())) == []
    for subject, payload, reply, headers in calls:
        message = parser.routes[1].pop()
        assert (message.subject, message.data, message.reply) == (subject, payload, reply)
        assert message.has_headers == bool(headers)
        expected = [(name, value.strip(" \t")) for name, value in Headers(headers or {}).pairs()]
        assert message.headers.pairs() == expected
    assert parser.routes[1].pop() is None


def test_publishes_and_their_bytes_are_counted(twin):
    encoder = twin.Encoder(max_payload=100)
    encoder.publish("a", b"abc", "r")
    encoder.publish("a", "é", headers={"A": "1"})
    encoder.subscribe(1, "a")
    encoder.ping()
    for subject, size in (("a b", 1), ("a", 101)):
        with pytest.raises((BadSubjectError, MaxPayloadError)):
            encoder.publish(subject, bytes(size))
    encoder.take()
    assert (encoder.messages, encoder.message_bytes) == (2, 3 + 18 + 2)
