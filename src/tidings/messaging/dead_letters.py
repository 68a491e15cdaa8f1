"""What a dead letter says of itself: headers beside those that the message came with."""

from datetime import UTC, datetime
from typing import Any

from .message import Message

__all__ = ["ATTEMPTS", "ERROR", "PREFIX", "REPLAYS", "SOURCE", "TIME", "letter_headers", "one_line"]

PREFIX = "dead-letter-"
"""How the names of these headers begin."""
SOURCE = PREFIX + "source"
"""The address that the message came by."""
ERROR = PREFIX + "error"
"""What failed: the type of the error and its text."""
ATTEMPTS = PREFIX + "attempts"
"""How often it was tried."""
TIME = PREFIX + "time"
"""When it was given up, RFC 3339."""
REPLAYS = PREFIX + "replays"
"""How often it was sent back to where it came from; a message that has this header is such a one."""

_TEXT = 500  # characters of an error that a header shows


def letter_headers(message: Message[Any], error: BaseException, attempt: int) -> dict[str, str]:
    """The headers of a message that is given up after so many tries, the last of which raised `error`."""
    return {
        SOURCE: message.channel,
        ERROR: one_line(f"{type(error).__name__}: {error}"),
        ATTEMPTS: str(attempt),
        TIME: datetime.now(UTC).isoformat(timespec="milliseconds"),
        "correlation_id": message.correlation_id,
    }


def one_line(text: str) -> str:
    """As much of a text as a header shows, which holds no line breaks."""
    return " ".join(text.split())[:_TEXT]
