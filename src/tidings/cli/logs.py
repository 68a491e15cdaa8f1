"""How a service run by `tidings run` logs: one line a record, to stderr.

::

    2026-01-31 12:00:17,142 INFO     - app starting…
    2026-01-31 12:00:17,143 INFO     - orders.new           | 0fd3e176-f - Hello

With several workers the number of each stands after the level: ``INFO     [2] - Hello``.
"""

import configparser
import json
import logging
import logging.config
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tidings.messaging.logs import HandlingFilter, JsonFormatter, text_of, without_secrets

from .exits import CommandError, Exit

__all__ = ["LogFormat", "LogLevel", "LogSettings", "ServiceFormatter", "configure_logging"]

_CHANNEL_WIDTH = 20
_CORRELATION_WIDTH = 10


class LogLevel(StrEnum):
    """What `--log-level` takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogFormat(StrEnum):
    """What `--log-format` takes."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What the command line says of the log.

    Attributes:
        level: the least that is written.
        format: of the lines.
        config: a file for `logging.config`, in the place of both; empty for none.
    """

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.TEXT
    config: str = ""


class ServiceFormatter(logging.Formatter):
    """Time, level and message; a handler's records show its channel and correlation id.

    Args:
        worker: the number of this process among several; 0 where it is the only one.
    """

    def __init__(self, worker: int = 0) -> None:
        number = f"[{worker}] " if worker else ""
        super().__init__(f"%(asctime)s %(levelname)-8s {number}- %(columns)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:  # noqa: D102 the base class's
        return without_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: D102 the base class's
        channel = getattr(record, "channel", "")
        correlation_id = getattr(record, "correlation_id", "")
        record.columns = ""
        if channel:
            record.message = text_of(record)
            # The end of an id, since ids of one process often begin alike.
            short_id = _printable(correlation_id[-_CORRELATION_WIDTH:])
            record.columns = f"{_printable(channel):<{_CHANNEL_WIDTH}} | {short_id:<{_CORRELATION_WIDTH}} - "
        return super().formatMessage(record)


def configure_logging(settings: LogSettings, worker: int = 0) -> None:
    """Send the records of every logger to stderr, or wherever the config file says.

    On the root logger, so that the service's own loggers are heard as well; a service that
    configures logging by itself keeps its handlers. CommandError for a file that does not do.
    """
    if settings.config:
        _configure_from(Path(settings.config))
        return
    handler = logging.StreamHandler()
    if settings.format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter(**({"worker": worker} if worker else {})))
    else:
        handler.setFormatter(ServiceFormatter(worker))
    handler.addFilter(HandlingFilter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler])


def _configure_from(file: Path) -> None:
    configure = _KINDS.get(file.suffix.lower())
    if configure is None:
        raise _unusable(file, f"it ends in none of {', '.join(_KINDS)}")
    try:
        configure(file)
    except OSError as error:
        raise _unusable(file, error.strerror or str(error)) from error
    except (KeyError, RuntimeError, configparser.Error) as error:  # of the ini form, on several lines
        raise _unusable(file, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, AttributeError, ImportError, NameError, SyntaxError) as error:
        # `logging.config` says which part it is, and as the cause what is wrong with it.
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise _unusable(file, f"{error}{cause}") from error


def _from_mapping(config: Any) -> None:
    if not isinstance(config, dict):
        raise ValueError("it is not a mapping")
    defaults = {"version": 1, "disable_existing_loggers": False}
    logging.config.dictConfig(defaults | config)


def _from_json(file: Path) -> None:
    _from_mapping(json.loads(file.read_text(encoding="utf-8")))


def _from_toml(file: Path) -> None:
    _from_mapping(tomllib.loads(file.read_text(encoding="utf-8")))


def _from_ini(file: Path) -> None:
    file.read_bytes()  # a missing one would be said to be an empty one
    logging.config.fileConfig(file, disable_existing_loggers=False, encoding="utf-8")


_KINDS: dict[str, Callable[[Path], None]] = {
    ".json": _from_json,
    ".toml": _from_toml,
    ".ini": _from_ini,
    ".cfg": _from_ini,
    ".conf": _from_ini,
}


def _unusable(file: Path, reason: str) -> CommandError:
    return CommandError(Exit.USAGE, f"--log-config {file}: {reason}")


def _printable(text: str) -> str:
    """Both columns are what a sender wrote: nothing in them may steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
