from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tidings.nats import Headers
from tidings.nats.jetstream import PublishOptions, Schedule
from tidings.nats.jetstream.errors import ConfigError
from tidings.nats.jetstream.headers import publish_headers

SCHEDULE = Schedule.every(60, target="a.b")


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"msg_id": "7"}, {"Nats-Msg-Id": "7"}),
        ({"expected_stream": "S"}, {"Nats-Expected-Stream": "S"}),
        ({"expected_last_seq": 0}, {"Nats-Expected-Last-Sequence": "0"}),
        ({"expected_last_subject_seq": 5}, {"Nats-Expected-Last-Subject-Sequence": "5"}),
        (
            {"expected_last_subject_seq": 0, "expected_last_subject_seq_subject": "a.*"},
            {
                "Nats-Expected-Last-Subject-Sequence": "0",
                "Nats-Expected-Last-Subject-Sequence-Subject": "a.*",
            },
        ),
        ({"expected_last_msg_id": "6"}, {"Nats-Expected-Last-Msg-Id": "6"}),
        ({"ttl": 5}, {"Nats-TTL": "5"}),
        ({"ttl": 5.0}, {"Nats-TTL": "5"}),
        ({"ttl": 1.5}, {"Nats-TTL": "1500ms"}),
        ({"ttl": timedelta(minutes=1)}, {"Nats-TTL": "60"}),
        ({"ttl": "never"}, {"Nats-TTL": "never"}),
        ({"rollup": "sub"}, {"Nats-Rollup": "sub"}),
        ({"trace_dest": "trace"}, {"Nats-Trace-Dest": "trace"}),
        ({"schedule": SCHEDULE}, SCHEDULE.headers()),
        ({"msg_id": None, "ttl": None, "schedule": None}, None),
    ],
)
def test_each_option_is_a_header(options: Any, headers: Any) -> None:
    assert publish_headers(None, options) == headers


def test_every_option_there_is_is_known() -> None:
    nothing: Any = dict.fromkeys(PublishOptions.__annotations__)
    assert publish_headers(None, nothing) is None


@pytest.mark.parametrize(
    "options",
    [
        {"msg_id": ""},
        {"msg_id": 7},
        {"expected_last_seq": -1},
        {"expected_last_seq": True},
        {"expected_last_subject_seq_subject": "a.b"},
        {"ttl": 0},
        {"ttl": 0.9},
        {"ttl": True},
        {"ttl": "soon"},
        {"ttl": float("nan")},
        {"ttl": timedelta(milliseconds=10)},
        {"rollup": "some"},
        {"trace_dest": "a.*"},
        {"schedule": "@hourly"},
    ],
)
def test_what_makes_no_sense_is_refused(options: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        publish_headers(None, options)


def test_an_option_that_there_is_not_is_named_with_those_there_are() -> None:
    for options in ({"msgid": "7"}, {"msgid": None}):
        with pytest.raises(TypeError, match=r"'msgid'.*msg_id"):
            publish_headers(None, options)


def test_options_come_on_top_of_the_callers_headers_which_stay_as_they_are() -> None:
    mine = {"A": "1", "Nats-Msg-Id": "x"}
    assert publish_headers(mine, {"msg_id": "7"}) == {"A": "1", "Nats-Msg-Id": "7"}
    assert mine == {"A": "1", "Nats-Msg-Id": "x"}


def test_a_header_with_several_values_keeps_them() -> None:
    mine = Headers([("A", "1"), ("A", "2")])
    merged = publish_headers(mine, {"msg_id": "7"})
    assert isinstance(merged, Headers)
    assert merged.pairs() == [("A", "1"), ("A", "2"), ("Nats-Msg-Id", "7")]
    assert publish_headers({"A": ["1", "2"]}, {"msg_id": "7"}) == {"A": ["1", "2"], "Nats-Msg-Id": "7"}
