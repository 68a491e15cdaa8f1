"""Settling: telling a broker that keeps its messages what became of one.

A message is settled once, after the results of its handler were published::

    acknowledged    it is done
    nacked          it comes again, at once or after a delay
    rejected        it is not done, and does not come again

What an adapter can do for its messages is a `Settler`; when it is asked to is in `settling`.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from enum import Enum
from typing import Any

from .durations import check_seconds

__all__ = [
    "AckMessage",
    "AckPolicy",
    "NackMessage",
    "RejectMessage",
    "Settler",
    "SkipMessage",
    "Verdict",
]


class AckPolicy(Enum):
    """What becomes of a message.

    One whose handler succeeded is acknowledged. One whose handler failed is tried again as `Retry` says;
    when that is over, or the message was not valid, it goes to the dead-letter address, if there is one.
    The policies differ in the rest.
    """

    ACK_FIRST = "ack_first"
    """Acknowledged before the handler is called: at most once. Never tried again."""
    ACK = "ack"
    """Acknowledged even if the handler failed. Tried again only where a `Retry` is given."""
    REJECT_ON_ERROR = "reject_on_error"
    """Rejected when all tries failed, and logged with the head of its payload. The default."""
    NACK_ON_ERROR = "nack_on_error"
    """Tried on and on, with the longest wait of the `Retry` between."""
    MANUAL = "manual"
    """Settled by the handler: `message.ack()`, `nack()`, `reject()`, or an exception from below. Only what
    no handler gets to see, since it is not valid, is rejected."""


class Verdict(Exception):
    """Raised by a handler or a dependency to say what becomes of the message; no failure.

    Where messages are not settled, `NackMessage` is a failure that is tried again as the `Retry` allows, and
    `RejectMessage` one that is not. A requester gets no answer from `AckMessage` and `SkipMessage`, an error
    from the others.
    """


class AckMessage(Verdict):
    """It is done: acknowledged."""


class SkipMessage(Verdict):
    """There is nothing to do: acknowledged."""


class NackMessage(Verdict):
    """It comes again, however often it has come.

    Attributes:
        delay: seconds before that; None takes the wait of the `Retry`, which grows.
    """

    def __init__(self, delay: float | None = None) -> None:
        if delay is not None:
            check_seconds(delay, "delay")
        super().__init__("to be delivered again" if delay is None else f"to be delivered again in {delay} s")
        self.delay = delay


class RejectMessage(Verdict):
    """It never can be handled: to the dead-letter address if there is one, rejected if not.

    Attributes:
        reason: for the log, the dead letter and the broker.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "rejected by the handler")
        self.reason = reason


class Settler(ABC):
    """What an adapter does for the messages of a source that are settled.

    To settle a second time may raise, if `is_settled` is true then.
    """

    max_deliveries: int = 0
    """After so many deliveries the broker itself gives up; 0 is never."""

    @abstractmethod
    def ack(self, native: Any) -> Awaitable[None] | None:
        """It is done. Called for every message, so it raises what the client raises.

        It gives what is to be awaited, or None where that is said already.
        """

    @abstractmethod
    async def nack(self, native: Any, delay: float | None) -> None:
        """It shall come again, after so many seconds; None is at once."""

    @abstractmethod
    async def reject(self, native: Any, reason: str) -> None:
        """It shall not come again."""

    @abstractmethod
    def is_settled(self, native: Any) -> bool:
        """Whether it is settled."""

    @abstractmethod
    def deliveries(self, native: Any) -> int:
        """How often it was delivered, this time included."""

    @abstractmethod
    async def bury(self, native: Any, address: str, headers: Mapping[str, str]) -> None:
        """Publish it to the dead-letter address as it is, with `headers` beside its own.

        It is there for sure when this returns. Raises what the client raises.
        """
