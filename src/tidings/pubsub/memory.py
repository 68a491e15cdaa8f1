"""`MemoryPubSub`: within the process, for tests and for programs that need no server yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_pattern, check_subject, subject_matches
from tidings.pubsub import lifetime
from tidings.pubsub.base import PubSubBackend, as_bytes, check_limit
from tidings.pubsub.config import MEMORY_KEYS
from tidings.pubsub.errors import BackpressureError, TopicError
from tidings.pubsub.settings import check_config
from tidings.pubsub.topic import AnyTopic, name_of

__all__ = ["MemoryPubSub"]


class MemoryPubSub(PubSubBackend):
    """Brings messages from thread to thread, with the topics, groups and wildcards of core NATS.

    All instances of one ``name`` share it. With the policy ``block`` whoever publishes waits for a reader
    that is full.

    Args:
        config: None, or keys as docs/pubsub has them.

    Raises:
        ConfigError: a key that there is not, or whose value cannot work.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        settings = check_config("MemoryPubSub", MEMORY_KEYS, {} if config is None else config)
        super().__init__(settings, [f"memory://{settings['name']}"])
        self._publish_timeout: float = settings["publish_timeout"]
        self._published = 0
        self._hub = _hub(settings["name"])
        self._is_made()

    def publish(self, topic: AnyTopic, serialized_data: bytes) -> None:
        """Publish a message; see `PubSubBackend.publish`."""
        self._check_open()
        data = serialized_data if type(serialized_data) is bytes else as_bytes(serialized_data)
        name = name_of(topic)
        try:
            check_subject(name)
        except BadSubjectError as error:
            raise TopicError(str(error)) from error
        readers = self._hub.readers(name)
        for reader in readers:
            if not reader.queue.wait_for_room(self._publish_timeout, lambda: self._ended is not None):
                raise BackpressureError(
                    f"for {self._publish_timeout:g} s {reader!r} had no room for one more message"
                )
            self._check_open()
        for reader in readers:  # now that all have room: none gets what is to be published again
            reader.queue.put((data,))
        with self._lock:
            self._published += 1

    def flush(self, timeout: float = 10.0) -> None:
        """Everything has arrived when `publish` returns."""
        self._check_open()
        check_limit(timeout)

    def _subscribe(self, name: str) -> None:
        try:
            check_pattern(name)
        except BadSubjectError as error:
            raise TopicError(str(error)) from error
        self._hub.add(name, self)

    def _on_end(self, error: Callable[[], Exception]) -> None:
        self._hub.nudge()

    def _finish(self, timeout: float) -> None:
        self._hub.remove(self)

    def _abandon(self, error: Callable[[], Exception]) -> None:
        """The child has a hub of its own."""

    def _count_published(self) -> int:
        return self._published


class _Hub:
    """Who listens to what. Each step is one that neither a thread nor a signal handler divides: no lock."""

    def __init__(self) -> None:
        self._subscriptions: list[tuple[str, str, MemoryPubSub]] = []  # pattern, group, reader
        self._turn = count()

    def add(self, pattern: str, reader: MemoryPubSub) -> None:
        """`reader` listens to `pattern`."""
        self._subscriptions.append((pattern, reader.group_id or "", reader))

    def remove(self, reader: MemoryPubSub) -> None:
        """`reader` listens to nothing any more."""
        for each in tuple(self._subscriptions):
            if each[2] is reader:
                with suppress(ValueError):
                    self._subscriptions.remove(each)

    def nudge(self) -> None:
        """Let those who wait for a reader look again."""
        for _, _, reader in tuple(self._subscriptions):
            reader.queue.nudge()

    def readers(self, name: str) -> list[MemoryPubSub]:
        """Who gets a message on `name`: every reader without a group, and of each group one in turn."""
        found: list[MemoryPubSub] = []
        groups: dict[tuple[str, str], list[MemoryPubSub]] = {}
        for pattern, group, reader in tuple(self._subscriptions):
            if pattern == name or subject_matches(pattern, name):
                (groups.setdefault((pattern, group), []) if group else found).append(reader)
        return found + [members[next(self._turn) % len(members)] for members in groups.values()]


_hubs: dict[str, _Hub] = {}


def _hub(name: str) -> _Hub:
    return _hubs.setdefault(name, _Hub())


lifetime.after_all(at_exit=lambda: None, in_child=_hubs.clear)
