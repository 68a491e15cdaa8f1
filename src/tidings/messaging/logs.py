"""What the framework writes to a log, and what it adds to every line of a handler."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from .plans.handling import current_message

__all__ = ["DEFAULT", "HandlingFilter", "JsonFormatter", "logger_for", "text_of", "without_secrets"]

DEFAULT = logging.getLogger("tidings")

_silent = logging.Logger("tidings.silent")  # known to no manager, so that nobody turns it on
_silent.disabled = True


class HandlingFilter(logging.Filter):
    """Adds `channel` and `correlation_id` of the message being handled to each record.

    Both are empty outside of a handler; what a line's own `extra` says of them stays. The broker's
    logger has this filter; add it to a `logging.Handler` to have both on the lines of other loggers.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds, and lets everything pass."""
        message = current_message()
        vars(record).setdefault("channel", message.channel if message else "")
        vars(record).setdefault("correlation_id", message.correlation_id if message else "")
        return True


_handling_filter = HandlingFilter()


def logger_for(logger: logging.Logger | None) -> logging.Logger:
    """The logger with the filter; for None one that writes nothing."""
    if logger is None:
        return _silent
    logger.addFilter(_handling_filter)  # adding it twice changes nothing
    return logger


def text_of(record: logging.LogRecord) -> str:
    """The message of a record, without what its `channel` and `correlation_id` say already.

    The framework's own lines begin with both, for formatters that know nothing of them.
    """
    fields = vars(record)
    where = f"{fields.get('channel', '')} | {fields.get('correlation_id', '')} | "
    return record.getMessage().removeprefix(where)


_CREDENTIALS = re.compile(r"://[^@/\s\"'<>]*@")


def without_secrets(text: str) -> str:
    """`text` without what stands before the @ of each URL in it."""
    return _CREDENTIALS.sub("://", text) if "://" in text else text


# What every record has; whatever else is in one came by `extra`.
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "channel", "correlation_id"}


class JsonFormatter(logging.Formatter):
    """A line of JSON for each record, for programs that read logs::

        {"time": "2026-01-31T12:00:21.143Z", "level": "INFO", "logger": "tidings", "message": "Hello",
         "channel": "greetings", "correlation_id": "5f1c09d5b1e2a37c-1f"}

    `channel` and `correlation_id` are there while a message is handled, `exception` where there is one,
    and then each name of the line's `extra`: the framework has `duration_ms`, `attempt`, `delay` and
    `payload_head`. A value without a JSON form is written as text. URLs are written without credentials.

    Args:
        unused: the formats that `logging.config` has for every formatter.
        fields: constants for every line, such as the name of the service.
    """

    def __init__(self, *unused: Any, **fields: Any) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        _handling_filter.filter(record)  # whoever configures a handler may have left it out
        fields = vars(record)
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": text_of(record),
            **self._fields,
        }
        for name in ("channel", "correlation_id"):
            if fields[name]:
                line[name] = fields[name]
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        for name in fields.keys() - _OF_EVERY_RECORD:
            line.setdefault(name, fields[name])
        readable = {
            name: without_secrets(value) if isinstance(value, str) else value for name, value in line.items()
        }
        return json.dumps(readable, ensure_ascii=False, default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode(errors="backslashreplace")
    return without_secrets(str(value))
