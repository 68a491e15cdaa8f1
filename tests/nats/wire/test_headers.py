"""Headers: the multi-dict, the block on the wire, its status line, and what is refused (ADR-4)."""

from __future__ import annotations

import copy
import pickle
from collections import UserDict
from collections.abc import Mapping, MutableMapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.nats.errors import BadHeaderError, ProtocolError
from tidings.nats.wire import Headers

deterministic = settings(derandomize=True, deadline=None, max_examples=100)

PRINTABLE = [chr(code) for code in range(33, 127) if chr(code) != ":"]
names = st.text(st.sampled_from(PRINTABLE), min_size=1, max_size=6)
values = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
    | st.sampled_from([" ", "\t", ":", "\x00", "\x85", "\u2028", "\udcff", "\udcc3", "\udca9"]),
    max_size=8,
)
pair_lists = st.lists(st.tuples(names, values), max_size=6)


def on_the_wire(text: str) -> str:
    """What is left of a value that went over the wire."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape").strip(" \t")


def test_headers_read_as_a_dict_of_first_values():
    headers = Headers([("A", "1"), ("B", "2"), ("A", "3")])
    assert isinstance(headers, MutableMapping)
    assert headers["A"] == "1"
    assert headers.get("B") == "2"
    assert headers.get("b") is None
    assert "A" in headers
    assert "a" not in headers
    assert list(headers) == ["A", "B"]
    assert list(headers.items()) == [("A", "1"), ("B", "2")]
    assert len(headers) == 2
    assert dict(headers) == {"A": "1", "B": "2"}
    with pytest.raises(KeyError, match="a"):
        headers["a"]


def test_every_value_of_a_name():
    headers = Headers([("A", "1"), ("a", "x"), ("A", "3")])
    assert headers.get_all("A") == ["1", "3"]
    assert headers.get_all("a") == ["x"]
    assert headers.get_all("B") == []
    assert headers.pairs() == [("A", "1"), ("a", "x"), ("A", "3")]
    headers.pairs().clear()
    assert len(headers) == 2


def test_add_appends_and_assignment_replaces():
    headers = Headers()
    assert not headers
    headers.add("A", "1")
    headers.add("B", "2")
    headers.add("A", "3")
    assert headers
    headers["A"] = "4"
    assert headers.pairs() == [("A", "4"), ("B", "2")]
    headers["C"] = "5"
    assert headers.pairs() == [("A", "4"), ("B", "2"), ("C", "5")]


def test_deleting_takes_every_value():
    headers = Headers([("A", "1"), ("B", "2"), ("A", "3")])
    del headers["A"]
    assert headers.pairs() == [("B", "2")]
    with pytest.raises(KeyError):
        del headers["A"]
    assert headers.pop("B") == "2"
    assert headers.setdefault("C", "1") == "1"
    headers.update({"C": "2", "D": "3"})
    assert headers.pairs() == [("C", "2"), ("D", "3")]


def test_headers_take_a_mapping_of_one_value_or_several():
    headers = Headers({"A": "1", "B": ["2", "3"], "C": ("4",), "D": []})
    assert headers.pairs() == [("A", "1"), ("B", "2"), ("B", "3"), ("C", "4")]
    assert Headers(headers) == headers
    copy = Headers(headers)
    copy.add("E", "5")
    assert "E" not in headers


@pytest.mark.parametrize(
    "copied", [Headers.copy, copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_a_copy_is_a_copy(copied):
    headers = Headers({"A": ["1", "2"]})
    other = copied(headers)
    assert type(other) is Headers
    assert other == headers
    other.add("B", "3")
    headers["A"] = "4"
    assert headers.pairs() == [("A", "4")]
    assert other.pairs() == [("A", "1"), ("A", "2"), ("B", "3")]


def test_equality_counts_order_and_repeats_between_headers_alone():
    headers = Headers([("A", "1"), ("A", "2")])
    assert headers == Headers({"A": ["1", "2"]})
    assert headers != Headers({"A": ["2", "1"]})
    assert headers != Headers({"a": ["1", "2"]})
    assert headers == {"A": "1"}
    assert headers != {"A": "2"}
    assert headers != 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(headers)
    assert repr(headers) == "Headers([('A', '1'), ('A', '2')])"


@given(pairs=pair_lists, name=names, value=values)
@deterministic
def test_headers_agree_with_a_list_of_pairs(pairs, name, value):
    headers = Headers(pairs)
    assert headers.pairs() == pairs
    assert len(headers) == len(dict(pairs)) == len(list(headers))
    for each in headers:
        assert headers.get_all(each) == [v for n, v in pairs if n == each]
        assert headers[each] == headers.get_all(each)[0]
    headers[name] = value
    assert headers.get_all(name) == [value]
    assert [p for p in headers.pairs() if p[0] != name] == [p for p in pairs if p[0] != name]


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ({}, b""),
        ({"A": "1"}, b"A: 1\r\n"),
        ({"A": ""}, b"A: \r\n"),
        ({"b": "1", "B": ["2", "3"], "C": ()}, b"b: 1\r\nB: 2\r\nB: 3\r\n"),
        ({"!~": ": é \x00\t"}, b"!~: : \xc3\xa9 \x00\t\r\n"),
        ({"A": "\udcff"}, b"A: \xff\r\n"),
        (Headers([("A", "1"), ("B", "2"), ("A", "3")]), b"A: 1\r\nB: 2\r\nA: 3\r\n"),
        (UserDict({"A": "1"}), b"A: 1\r\n"),
    ],
)
def test_encode(twin, headers, lines):
    assert twin.encode_headers(headers) == b"NATS/1.0\r\n" + lines + b"\r\n"


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", ":", "a\r", "a\n", "é", "\x7f", "\x00", 1, None])
def test_a_bad_name_is_refused(twin, name):
    with pytest.raises(BadHeaderError, match="must be printable ASCII without space or colon"):
        twin.encode_headers({"Good": "1", name: "1"})


@pytest.mark.parametrize("value", ["\r", "a\nb", "\r\n", "a\r\nB: c", "\ud800", ["ok", "\n"], [1], [b"a"]])
def test_a_bad_value_is_refused(twin, value):
    with pytest.raises(BadHeaderError, match="header 'A': a value is a str without CR, LF or lone"):
        twin.encode_headers({"Good": "1", "A": value})


@pytest.mark.parametrize("value", [None, 1, b"bytes", bytearray(b"x"), {"a": "b"}, {"a"}])
def test_a_value_of_another_type_is_refused(twin, value):
    with pytest.raises(BadHeaderError, match="header 'A': a value is a str or a sequence of str"):
        twin.encode_headers({"A": value})


def test_pairs_that_can_be_read_once_are_checked_too(twin):
    assert twin.encode_headers(iter([("A", "1")])) == b"NATS/1.0\r\nA: 1\r\n\r\n"
    with pytest.raises(BadHeaderError):
        twin.encode_headers(iter([("A", "1"), ("b c", "2")]))


@given(pairs=pair_lists)
@deterministic
def test_what_is_encoded_parses_back(twin, pairs):
    block = twin.encode_headers(Headers(pairs))
    assert twin.parse_headers(block) == (0, "", [(n, on_the_wire(v)) for n, v in pairs])


@given(headers=st.dictionaries(names, values | st.lists(values, max_size=3), max_size=4))
@deterministic
def test_a_mapping_and_its_headers_encode_alike(twin, headers):
    assert isinstance(headers, Mapping)
    assert twin.encode_headers(headers) == twin.encode_headers(Headers(headers))


@pytest.mark.parametrize(
    ("lines", "pairs"),
    [
        (b"", []),
        (b"A: 1\r\n", [("A", "1")]),
        (b"A:1\r\nA:  2 \t\r\na:\t3\r\n", [("A", "1"), ("A", "2"), ("a", "3")]),
        (b"A:\r\nB: \r\n", [("A", ""), ("B", "")]),
        (b"A: b:c: d\r\n", [("A", "b:c: d")]),
        (b"A: x\ry\nz\r\n", [("A", "x\ry\nz")]),
        (b"A: x\r\r\n", [("A", "x\r")]),
        (b"\xff: \xc3\xa9\xe2\x82\r\n", [("\udcff", "é\udce2\udc82")]),
        (b"a b: c\r\n", [("a b", "c")]),
    ],
)
def test_parse(twin, lines, pairs):
    assert twin.parse_headers(b"NATS/1.0\r\n" + lines + b"\r\n") == (0, "", pairs)


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        (b"NATS/1.0 ", 0, ""),
        (b"NATS/1.0 503", 503, ""),
        (b"NATS/1.0 503 ", 503, ""),
        (b"NATS/1.0 503 No Responders", 503, "No Responders"),
        (b"NATS/1.0   404   No Messages  ", 404, "No Messages"),
        (b"NATS/1.0 100 Idle Heartbeat", 100, "Idle Heartbeat"),
        (b"NATS/1.0 409 \xc3\xa9\xff", 409, "é\udcff"),
        (b"NATS/1.0 000 zero", 0, "zero"),
    ],
)
def test_status_lines(twin, line, status, text):
    assert twin.parse_headers(line + b"\r\n\r\n") == (status, text, [])
    assert twin.parse_headers(line + b"\r\nA: 1\r\n\r\n") == (status, text, [("A", "1")])


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\r\n\r\n",
        b"NATS/1.0",
        b"NATS/1.0\r\n",
        b"NATS/1.0\r\n\r",
        b"NATS/1.0\r\n\r\nx",
        b"NATS/1.0\n\n",
        b"nats/1.0\r\n\r\n",
        b"NATS/2.0\r\n\r\n",
        b"NATS/1.01\r\n\r\n",
        b"NATS/1.0\t503\r\n\r\n",
        b"NATS/1.0503\r\n\r\n",
        b"NATS/1.0 5\r\n\r\n",
        b"NATS/1.0 5031\r\n\r\n",
        b"NATS/1.0 No Responders\r\n\r\n",
        b"NATS/1.0 -12\r\n\r\n",
        b"NATS/1.0 \xb2\xb2\xb2\r\n\r\n",
        b"NATS/1.0\r\nA: 1\r\n",
        b"NATS/1.0\r\nA\r\n\r\n",
        b"NATS/1.0\r\n: 1\r\n\r\n",
        b"NATS/1.0\r\nA : 1\r\n\r\n",
        b"NATS/1.0\r\nA\t: 1\r\n\r\n",
        b"NATS/1.0\r\nA: 1\r\n folded\r\n\r\n",
        b"NATS/1.0\r\n\r\n\r\n",
        b"NATS/1.0\r\nA: 1\r\n\r\nB: 2\r\n\r\n",
    ],
)
def test_a_bad_block_is_a_protocol_error(twin, block):
    with pytest.raises(ProtocolError):
        twin.parse_headers(block)


parts = st.sampled_from(
    [b"NATS/1.0", b"\r\n", b"\r", b"\n", b"A", b":", b" ", b"\t", b"503", b"\xff", b"\xc3\xa9", b"\x00"]
)


@given(block=st.lists(parts, max_size=12).map(b"".join))
@deterministic
def test_any_block_is_parsed_or_refused(twin, block):
    block = b"NATS/1.0\r\n" + block + b"\r\n\r\n"
    try:
        status, text, pairs = twin.parse_headers(block)
    except ProtocolError:
        return
    assert (status, text) == (0, "")
    for name, value in pairs:
        assert name
        assert name == name.rstrip(" \t")
        assert value == value.strip(" \t")
