"""Whether a service can do its work: the connection, and each subscriber, with what is wrong with it."""

from dataclasses import dataclass

__all__ = ["Health", "SubscriberHealth"]


@dataclass(frozen=True, slots=True)
class SubscriberHealth:
    """How a subscriber is.

    Attributes:
        channel: its address.
        trouble: what keeps its messages from being handled; empty where nothing does.
    """

    channel: str
    trouble: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether it gets messages."""
        return not self.trouble


@dataclass(frozen=True, slots=True)
class Health:
    """How a broker is::

        health = await broker.health()
        if not health.is_healthy:
            print(health.reasons)

    Attributes:
        address: of the server, without secrets.
        trouble: what is wrong with the connection; empty where nothing is.
        subscribers: each of them.
    """

    address: str
    trouble: str = ""
    subscribers: tuple[SubscriberHealth, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether the server answers and every subscriber gets messages."""
        return not self.reasons

    @property
    def reasons(self) -> list[str]:
        """All that is wrong."""
        found = [f"{self.address}: {self.trouble}"] if self.trouble else []
        return found + [f"{each.channel!r}: {each.trouble}" for each in self.subscribers if each.trouble]
