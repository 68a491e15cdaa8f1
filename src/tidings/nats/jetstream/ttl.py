"""How long a message is kept, told by the message itself (ADR-43)."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

from tidings.nats.jetstream.errors import ConfigError

__all__ = ["Ttl", "ttl_text"]

Ttl: TypeAlias = float | timedelta | Literal["never"]
"""How long a message is kept: seconds or a timedelta, one second at least, or ``"never"`` to end."""

_LONGEST = 9e9  # seconds; the server counts nanoseconds in 63 bits


def ttl_text(ttl: Ttl, name: str = "ttl") -> str:
    """A TTL as the server reads it.

    Raises:
        ConfigError: it is none, or below a second.
    """
    if ttl == "never":
        return "never"
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds < _LONGEST:
        raise ConfigError(f'{name} is seconds or a timedelta, at least one second, or "never", not {ttl!r}')
    return str(int(seconds)) if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
