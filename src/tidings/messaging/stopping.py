"""In which order subscribers stop: who publishes to another of them stops before it.

A chain in one service ends without loss only if each handler still listens when the one above it
publishes its last result.
"""

from collections.abc import Iterable
from typing import Protocol, Self, TypeVar

__all__ = ["Feeds", "upstream_first"]


class Feeds(Protocol):
    """What the order depends on."""

    def feeds(self, other: Self, /) -> bool:
        """Whether what this one publishes comes to `other`."""
        ...


T = TypeVar("T", bound=Feeds)


def upstream_first(subscribers: Iterable[T]) -> list[T]:
    """The subscribers, each after those that feed it; in a circle, in the order given."""
    subscribers = list(subscribers)
    above = {
        id(each): {id(other) for other in subscribers if other is not each and other.feeds(each)}
        for each in subscribers
    }
    ordered: list[T] = []
    while subscribers:
        first = next((each for each in subscribers if not above[id(each)]), subscribers[0])
        subscribers.remove(first)
        ordered.append(first)
        for each in subscribers:
            above[id(each)].discard(id(first))
    return ordered
