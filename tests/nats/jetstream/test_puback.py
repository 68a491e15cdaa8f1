from __future__ import annotations

import pytest

from tidings.nats import ProtocolError
from tidings.nats.jetstream import PubAck
from tidings.nats.jetstream.errors import WrongLastSequenceError
from tidings.nats.jetstream.puback import AckParser

REFUSAL = (
    b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"},"stream":"S","seq":0}'
)


@pytest.mark.parametrize(
    ("data", "ack"),
    [
        (b'{"stream":"S","seq":1}', PubAck("S", 1)),
        (b'{"stream":"S", "domain":"hub", "seq":12}', PubAck("S", 12, domain="hub")),
        (b'{"stream":"S","seq":3,"domain":"hub"}', PubAck("S", 3, domain="hub")),
        (b'{"stream":"S","seq":2,"duplicate": true}', PubAck("S", 2, duplicate=True)),
        (b'{"stream":"S","seq":2,"val":"-99999999999999999999"}', PubAck("S", 2, val=-99999999999999999999)),
        (b'{"stream":"S","seq":9,"batch":"b","count":3}', PubAck("S", 9, batch_id="b", batch_size=3)),
        (b'{"stream":"a:b","seq":18446744073709551615}', PubAck("a:b", 2**64 - 1)),
        (b'{"type":"new","stream":"S","seq":1}', PubAck("S", 1)),
    ],
)
def test_every_field_is_read_the_first_time_and_when_it_is_known(data: bytes, ack: PubAck) -> None:
    parser = AckParser()
    assert parser.parse(data) == ack
    assert parser.parse(data) == ack


def test_a_known_stream_is_read_by_heart() -> None:
    parser = AckParser()
    parser.parse(b'{"stream":"S","seq":1}')
    assert parser.known == {b'{"stream":"S","seq":': ("S", None)}
    assert parser.parse(b'{"stream":"S","seq":77}') == PubAck("S", 77)
    assert parser.parse(b'{"stream":"S","seq":77,"duplicate": true}').duplicate
    assert parser.parse(b'{"stream":"T","seq":78}') == PubAck("T", 78)


def test_what_is_not_plain_is_not_learned() -> None:
    parser = AckParser()
    for data in (
        b'{"stream":"S","seq":2,"duplicate": true}',
        b'{"stream":"S","val":"5","seq":2}',
        b'{"seq":2,"stream":"S"}',
        b'{"stream":"S","seq":2 }',
    ):
        parser.parse(data)
    assert not parser.known


def test_the_streams_that_are_known_do_not_grow_without_end() -> None:
    parser = AckParser()
    for number in range(1000):
        parser.parse(b'{"stream":"S%d","seq":1}' % number)
    assert len(parser.known) <= 256


def test_a_refusal_is_raised_as_its_type() -> None:
    parser = AckParser()
    parser.parse(b'{"stream":"S","seq":1}')
    with pytest.raises(WrongLastSequenceError, match="wrong last sequence: 2"):
        parser.parse(REFUSAL)


@pytest.mark.parametrize(
    "data",
    [
        b"no json",
        b"[1]",
        b"7",
        b"{}",
        b'{"stream":"S"}',
        b'{"stream":7,"seq":1}',
        b'{"stream":"S","seq":"1"}',
        b'{"stream":"S","seq":1,"val":"x"}',
        b'{"stream":"S","seq":1,"val":Infinity}',
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b'{"stream":' * 100_000, id="nested objects"),
        b'{"stream":"S","seq":}',
        b'{"error":"no object","stream":"S","seq":1}',
        b'{"stream":"S","seq":1',
    ],
)
def test_what_is_no_acknowledgement_is_a_protocol_error(data: bytes) -> None:
    parser = AckParser()
    parser.parse(b'{"stream":"S","seq":1}')
    with pytest.raises(ProtocolError, match=r"acknowledged with|counter's value"):
        parser.parse(data)
