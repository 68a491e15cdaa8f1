"""`MemoryPubSub`: within the process, for tests and for programs that need no server yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from tidings.nats.errors import BadSubjectError
from tidings.nats.wire import check_pattern, check_subject, subject_matches
from tidings.pubsub import lifetime
from tidings.pubsub.base import PubSubBackend, as_bytes, check_timeout
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

    def publish(self, topic: AnyTopic, serialized_data: bytes) -> None:
        """Publish a message; see `PubSubBackend.publish`."""
        self._check_open()
        data = serialized_data if type(serialized_data) is bytes else as_bytes(serialized_data)
        name = name_of(topic)
        try:
            check_subject(name)
        except BadSubjectError as error:
            raise TopicError(str(error)) from error
        for reader in self._hub.readers(name):
            if not reader.queue.wait_for_room(self._publish_timeout, lambda: self._ended is not None):
                raise BackpressureError(
                    f"for {self._publish_timeout:g} s {reader!r} had no room for one more message"
                )
            self._check_open()
            reader.queue.put((data,))
        with self._lock:
            self._published += 1

    def flush(self, timeout: float = 10.0) -> None:
        """Everything has arrived when `publish` returns."""
        self._check_open()
        check_timeout(timeout)

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
    """Who listens to what."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Pattern → group, of which "" has all readers as members that each get everything → readers.
        self._readers: dict[str, dict[str, list[MemoryPubSub]]] = {}
        self._turn = count()

    def add(self, pattern: str, reader: MemoryPubSub) -> None:
        """`reader` listens to `pattern`."""
        with self._lock:
            members = self._readers.setdefault(pattern, {}).setdefault(reader.group_id or "", [])
            members.append(reader)

    def remove(self, reader: MemoryPubSub) -> None:
        """`reader` listens to nothing any more."""
        with self._lock:
            for pattern, groups in list(self._readers.items()):
                for group, members in list(groups.items()):
                    groups[group] = [each for each in members if each is not reader]
                    if not groups[group]:
                        del groups[group]
                if not groups:
                    del self._readers[pattern]

    def nudge(self) -> None:
        """Let those who wait for a reader look again."""
        with self._lock:
            readers = [
                each for groups in self._readers.values() for members in groups.values() for each in members
            ]
        for reader in readers:
            reader.queue.nudge()

    def readers(self, name: str) -> list[MemoryPubSub]:
        """Who gets a message on `name`: every reader without a group, and of each group one in turn."""
        found: list[MemoryPubSub] = []
        with self._lock:
            for pattern, groups in self._readers.items():
                if pattern != name and not subject_matches(pattern, name):
                    continue
                for group, members in groups.items():
                    found += [members[next(self._turn) % len(members)]] if group else members
        return found


_hubs: dict[str, _Hub] = {}
_hubs_lock = threading.Lock()


def _hub(name: str) -> _Hub:
    with _hubs_lock:
        return _hubs.setdefault(name, _Hub())


def _forget() -> None:
    """In the child of a fork."""
    global _hubs_lock
    _hubs_lock = threading.Lock()
    _hubs.clear()


lifetime.after_all(at_exit=lambda: None, in_child=_forget)
