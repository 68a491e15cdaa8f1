"""What the framework writes to a log, and what it adds to every line of a handler."""

import logging

from .handling import current_message

__all__ = ["DEFAULT", "HandlingFilter", "logger_for"]

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
