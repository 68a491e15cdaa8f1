"""How a service run by `tidings run` logs: one line a record, to stderr.

::

    2026-01-31 12:00:17,142 INFO     - app starting…
    2026-01-31 12:00:17,143 INFO     - orders.new           | 0fd3e176-f - Hello
"""

import logging
from enum import StrEnum

__all__ = ["LogLevel", "ServiceFormatter", "configure_logging"]

_SUBJECT_WIDTH = 20
_CORRELATION_WIDTH = 10


class LogLevel(StrEnum):
    """What `--log-level` takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class ServiceFormatter(logging.Formatter):
    """Time, level and message; the records of a handler get its subject and correlation id too."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s - %(columns)s%(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: D102 the base class's
        subject = getattr(record, "subject", None)
        record.columns = ""
        if subject:
            correlation_id = str(getattr(record, "correlation_id", "") or "")
            record.columns = (
                f"{subject:<{_SUBJECT_WIDTH}} | "
                f"{correlation_id[:_CORRELATION_WIDTH]:<{_CORRELATION_WIDTH}} - "
            )
        return super().formatMessage(record)


def configure_logging(level: LogLevel) -> None:
    """Send the records of every logger from `level` on to stderr.

    On the root logger, so that the service's own loggers are heard as well; a service that
    configures logging by itself keeps its handlers.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(ServiceFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
