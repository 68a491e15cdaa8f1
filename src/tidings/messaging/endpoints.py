"""What is declared of an address: the options that sources and destinations of all brokers share.

Each broker's adapter has one frozen dataclass derived from each, with its own options; the
decorators, the plan and the document read that one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .acks import AckPolicy
from .batch import Batch
from .codec import Encoded
from .errors import SetupError
from .message import Message
from .retry import Retry

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
        workers: messages handled at once; with more than one their order is lost.

    Of a source whose messages are settled, others refuse these:

    Attributes:
        ack_policy: what becomes of a message; None is `AckPolicy.REJECT_ON_ERROR`.
        retry: how often one whose handler failed is tried, and when; None is `Retry()`.
        dead_letter: the address for those that could not be handled.
        batch: hand the handler a list of messages; None for one by one.
    """

    no_reply: bool = False
    validate: bool | None = None
    decoder: Decode | None = None
    workers: int = 1
    ack_policy: AckPolicy | None = None
    retry: Retry | None = None
    dead_letter: str | None = None
    batch: Batch | None = None

    @property
    def answers(self) -> bool:
        """Whether requesters are answered."""
        return not self.no_reply

    def check(self) -> None:
        """Refuse options that cannot work, before anything is started. SetupError."""
        if self.workers < 1:
            raise SetupError(f"workers of {self.channel!r} is at least 1, not {self.workers!r}")

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
