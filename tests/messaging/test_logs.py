"""What is added to the lines of a handler."""

import logging

from tests.messaging.fakes import FakeBroker, Native
from tidings.messaging.logs import HandlingFilter, logger_for
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
