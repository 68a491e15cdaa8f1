"""What is published to and subscribed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tidings.pubsub.errors import TopicError

__all__ = ["AnyTopic", "Named", "Topic", "name_of"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic by its name: a subject of NATS, a channel or stream of Redis, a topic of Kafka.

    A name of letters, digits, ``.``, ``-`` and ``_`` works with every backend.

    Raises:
        TopicError: no name.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TopicError(f"the name of a topic is a text, not {self.name!r}")

    def __str__(self) -> str:
        return self.name


class Named(Protocol):
    """A topic class of one's own: it has a name."""

    @property
    def name(self) -> str:
        """Of the topic."""
        ...


AnyTopic: TypeAlias = Topic | Named | str


def name_of(topic: AnyTopic) -> str:
    """The name of `topic`. Raises TopicError when it has none."""
    name = topic if isinstance(topic, str) else getattr(topic, "name", None)
    if not isinstance(name, str) or not name:
        raise TopicError(f"a topic is a Topic, or its name, not {topic!r}")
    return name
