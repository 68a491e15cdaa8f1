"""What is declared of an address: the options that sources and destinations of all brokers share.

Each broker's adapter has one frozen dataclass derived from each, with its own options; the
decorators, the plan and the document read that one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .codec import Encoded
from .message import Message

__all__ = ["Decode", "Destination", "Encode", "Source"]

Decode: TypeAlias = Callable[[Message[Any]], Any]
"""Reads a message in the place of JSON and text; its result is then validated by the annotation."""
Encode: TypeAlias = Callable[[Any], Encoded]
"""Gives the body of a value and its content type in the place of JSON and text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(ABC):
    """Where a subscriber's messages come from.

    Attributes:
        no_reply: do not answer requesters, neither with results nor with errors.
        validate: whether the annotations are checked; None as the broker is told.
        decoder: reads the messages; None as the broker is told.
    """

    no_reply: bool = False
    validate: bool | None = None
    decoder: Decode | None = None

    @property
    @abstractmethod
    def channel(self) -> str:
        """The address, for logs and errors."""

    @abstractmethod
    def takes(self, destination: "Destination") -> bool:
        """Whether what is published to `destination` comes from here."""

    @property
    @abstractmethod
    def path_names(self) -> Collection[str]:
        """What `Path` may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination(ABC):
    """Where a publisher's messages go.

    Attributes:
        headers: sent with each message.
        reply_to: the address for answers to it.
    """

    headers: Mapping[str, str] | None = None
    reply_to: str = ""

    @property
    @abstractmethod
    def channel(self) -> str:
        """The address, for logs and errors."""
