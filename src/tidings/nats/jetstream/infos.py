"""What the server tells about streams, consumers and accounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ConsumerInfo"]


@dataclass(frozen=True, kw_only=True)
class ConsumerInfo:
    """A consumer and how far it is."""

    stream_name: str = ""
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
