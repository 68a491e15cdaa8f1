"""The columns of a service's log lines."""

import logging
import re

import pytest

from tidings.cli.logs import ServiceFormatter


def line(**extra: object) -> str:
    record = logging.makeLogRecord({"msg": "Hello, %s", "args": ("you",), "levelname": "INFO"})
    record.__dict__.update(extra)
    return re.sub(r"^[\d-]+ [\d:]+,\d+ ", "", ServiceFormatter().format(record))


def test_a_line_of_the_app_has_no_columns() -> None:
    assert line() == "INFO     - Hello, you"


@pytest.mark.parametrize(
    ("channel", "correlation_id", "columns"),
    [
        ("in", "0fd3e176-f", "in                   | 0fd3e176-f"),
        ("in", "", "in                   |           "),
        ("in", "7b1c9d00a1b2c3d4-1f", "in                   | 1b2c3d4-1f"),
        ("in\x1b[2J\n", "a\tb", "in?[2J?              | a?b       "),
        ("a.subject.wider.than.it", "1", "a.subject.wider.than.it | 1         "),
    ],
)
def test_a_line_of_a_handler(channel: str, correlation_id: str, columns: str) -> None:
    text = line(channel=channel, correlation_id=correlation_id)
    assert text == f"INFO     - {columns} - Hello, you"


def test_what_the_columns_show_is_not_said_twice() -> None:
    record = {"msg": "%s | %s | handled", "args": ("in", "12345678901")}
    text = line(channel="in", correlation_id="12345678901", **record)
    assert text == "INFO     - in                   | 2345678901 - handled"


def test_a_worker_says_its_number() -> None:
    text = ServiceFormatter(2).format(logging.makeLogRecord({"msg": "Hello", "levelname": "INFO"}))
    assert text.endswith("INFO     [2] - Hello")


def test_a_line_shows_no_credentials() -> None:
    assert line(msg="at %s", args=("nats://me:secret@host",)) == "INFO     - at nats://host"
