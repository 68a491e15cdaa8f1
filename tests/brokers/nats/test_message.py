"""A NATS message as a handler sees it."""

import pytest

from tidings.brokers.nats import NatsMessage
from tidings.brokers.nats.subjects import SubjectPattern
from tidings.nats import Msg


def message(block: bytes | None = None, pattern: SubjectPattern | None = None) -> NatsMessage:
    return NatsMessage(Msg("logs.info", "back", b"body", header_block=block), pattern)


def test_it_shows_what_the_native_one_has() -> None:
    shown = message(b"NATS/1.0\r\ncorrelation_id: c-1\r\ncontent-type: text/plain\r\nX: 1\r\nX: 2\r\n\r\n")
    assert (shown.subject, shown.channel, shown.reply_to, shown.body) == (
        "logs.info",
        "logs.info",
        "back",
        b"body",
    )
    assert (shown.correlation_id, shown.content_type) == ("c-1", "text/plain")
    assert shown.headers["X"] == "1"
    assert shown.raw.headers.get_all("X") == ["1", "2"]


def test_without_headers_they_are_empty() -> None:
    assert dict(message().headers) == {}
    assert message().content_type == ""


@pytest.mark.parametrize("block", [b"garbage", b"NATS/1.0\r\nno colon\r\n\r\n", b""])
def test_a_malformed_header_block_is_no_headers(block: bytes) -> None:
    assert dict(message(block).headers) == {}
    assert message(block).correlation_id


def test_the_path_is_that_of_the_source() -> None:
    assert message(pattern=SubjectPattern.parse("logs.{level}")).path == {"level": "info"}
    assert message().path == {}
