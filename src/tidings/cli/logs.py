"""How a service run by `tidings run` logs: one line a record, to stderr.

::

    2026-01-31 12:00:17,142 INFO     - app starting…
    2026-01-31 12:00:17,143 INFO     - orders.new           | 0fd3e176-f - Hello
"""

import logging
from enum import StrEnum

from tidings.messaging.logs import HandlingFilter

__all__ = ["LogLevel", "ServiceFormatter", "configure_logging"]

_CHANNEL_WIDTH = 20
_CORRELATION_WIDTH = 10


class LogLevel(StrEnum):
    """What `--log-level` takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class ServiceFormatter(logging.Formatter):
    """Time, level and message; a handler's records show its channel and correlation id."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s - %(columns)s%(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: D102 the base class's
        channel = getattr(record, "channel", "")
        correlation_id = getattr(record, "correlation_id", "")
        record.columns = ""
        if channel:
            # The framework's own lines begin with both, for formatters without columns.
            record.message = record.message.removeprefix(f"{channel} | {correlation_id} | ")
            # The end of an id, since ids of one process often begin alike.
            short_id = _printable(correlation_id[-_CORRELATION_WIDTH:])
            record.columns = f"{_printable(channel):<{_CHANNEL_WIDTH}} | {short_id:<{_CORRELATION_WIDTH}} - "
        return super().formatMessage(record)


def configure_logging(level: LogLevel) -> None:
    """Send the records of every logger from `level` on to stderr.

    On the root logger, so that the service's own loggers are heard as well; a service that
    configures logging by itself keeps its handlers.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(ServiceFormatter())
    handler.addFilter(HandlingFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _printable(text: str) -> str:
    """Both columns are what a sender wrote: nothing in them may steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
