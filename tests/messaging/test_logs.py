"""What is added to the lines of a handler."""

import json
import logging
import sys
from datetime import UTC, datetime

import pytest

from tests.messaging.fakes import FakeBroker, Native
from tidings.messaging.logs import HandlingFilter, JsonFormatter, logger_for, text_of, without_secrets
from tidings.messaging.params import Logger


def record() -> logging.LogRecord:
    found = logging.LogRecord("x", logging.INFO, __file__, 1, "text", (), None)
    assert HandlingFilter().filter(found)
    return found


async def test_a_line_of_a_handler_says_which_message_it_is_about() -> None:
    lines: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record)

    logger = logging.Logger("test")
    logger.addHandler(Keep())
    broker = FakeBroker(logger=logger, log_level=logging.NOTSET)

    @broker.subscriber("in")
    async def handler(body: bytes, logger: Logger) -> None:
        logger.info("hello")

    await broker.start()
    await broker.deliver(Native(headers={"correlation_id": "c-1"}))
    (line,) = [line for line in lines if line.getMessage() == "hello"]
    assert vars(line)["channel"] == "in"
    assert vars(line)["correlation_id"] == "c-1"


def test_outside_of_a_handler_both_are_empty() -> None:
    assert vars(record())["channel"] == vars(record())["correlation_id"] == ""


def test_the_filter_is_added_once() -> None:
    logger = logging.Logger("test")
    logger_for(logger)
    logger_for(logger)
    assert len(logger.filters) == 1


def test_no_logger_writes_nothing() -> None:
    silent = logger_for(None)
    assert not silent.isEnabledFor(logging.CRITICAL)
    logging.getLogger().manager.disable = 0
    assert silent.name not in logging.Logger.manager.loggerDict


class Keep(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize(
    ("level", "logger_level", "lines"),
    [
        (logging.INFO, logging.INFO, 1),
        (logging.DEBUG, logging.INFO, 0),
        (logging.DEBUG, logging.DEBUG, 1),
        (logging.WARNING, logging.WARNING, 1),
        (None, logging.DEBUG, 0),
    ],
)
async def test_the_line_of_a_message_is_written_at_the_brokers_level_or_not_at_all(
    level: int | None, logger_level: int, lines: int
) -> None:
    logger, kept = logging.Logger("test", logger_level), Keep()
    logger.addHandler(kept)
    broker = FakeBroker(logger=logger, log_level=level)

    @broker.subscriber("in")
    async def handler(body: bytes) -> None: ...

    await broker.start()
    kept.records.clear()
    await broker.deliver(Native(headers={"correlation_id": "c-1"}))
    assert [record.levelno for record in kept.records] == [level] * lines
    assert all("c-1" in record.getMessage() for record in kept.records)


def line_of(formatter: JsonFormatter | None = None, **fields: object) -> dict[str, object]:
    made = logging.makeLogRecord(
        {"name": "shop", "levelname": "INFO", "msg": "text", "created": 0.25, **fields}
    )
    text = (formatter or JsonFormatter()).format(made)
    assert "\n" not in text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def test_a_line_of_json() -> None:
    assert line_of() == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "shop",
        "message": "text",
    }
    assert datetime.fromisoformat(str(line_of()["time"])).tzinfo is UTC


def test_the_fields_of_a_handlers_line_and_its_extras() -> None:
    line = line_of(
        msg="%s | %s | done",
        args=("in", "c-1"),
        channel="in",
        correlation_id="c-1",
        duration_ms=1.5,
        payload_head=b"\xffhead",
        unknown=object,
    )
    assert line["message"] == "done"
    assert line["channel"] == "in"
    assert line["correlation_id"] == "c-1"
    assert line["duration_ms"] == 1.5
    assert line["payload_head"] == "\\xffhead"
    assert line["unknown"] == "<class 'object'>"


def test_constants_are_on_every_line_and_an_extra_does_not_replace_what_is_ours() -> None:
    line = line_of(JsonFormatter(service="shop"), level="mine", service="other")
    assert (line["service"], line["level"]) == ("shop", "INFO")


def test_an_exception_is_one_field() -> None:
    try:
        raise ValueError("at nats://me:secret@host")
    except ValueError:
        line = line_of(exc_info=sys.exc_info(), stack_info="here")
    assert str(line["exception"]).endswith("ValueError: at nats://host")
    assert line["stack"] == "here"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://me:pw@host:1", "nats://host:1"),
        ("nats://token@a, tls://u:p@b", "nats://a, tls://b"),
        ("nats://host, me@home", "nats://host, me@home"),
        ("mail me@home", "mail me@home"),
        ('"nats://host","me@home"', '"nats://host","me@home"'),
    ],
)
def test_urls_are_shown_without_credentials(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert line_of(msg=text)["message"] == shown
    assert line_of(url=text)["url"] == shown


def test_a_text_of_other_loggers_stays_as_it_is() -> None:
    assert text_of(logging.makeLogRecord({"msg": "a | b | %s", "args": ("c",)})) == "a | b | c"
