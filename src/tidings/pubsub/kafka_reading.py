"""How messages come from Kafka: from every partition, or from those that the group gives us."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tidings.pubsub.base import Held
from tidings.pubsub.inbox import Inbox

__all__ = ["Reading", "Token"]

logger = logging.getLogger("tidings.pubsub")

Token: TypeAlias = tuple[str, int, int]
"""Topic, partition and offset."""

# Seconds that one poll takes at the most when nothing comes, and messages that it brings.
_WAIT = 0.1
_COUNT = 500
# Seconds that a group may take to let a member in: brokers wait for others that may come.
_JOIN = 25.0
# Seconds for a question to the group's coordinator, within a callback.
_PATIENCE = 10.0


class _Delivered:
    """A message of a partition, by its offset."""

    __slots__ = ("is_done", "offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.is_done = False


class Reading:
    """A consumer, and the thread that reads from it.

    Args:
        options: of librdkafka, for the connection.
        group: the consumer group; None reads every partition from its end on.
        inbox: where messages go, in a group as `Held`.
        is_done: set when the backend ends.
        in_thread: starts a thread.

    Attributes:
        consumer: that of confluent-kafka.
    """

    def __init__(
        self,
        options: dict[str, Any],
        group: str | None,
        inbox: Inbox[Any],
        is_done: threading.Event,
        in_thread: Callable[[Callable[[], None]], threading.Thread],
    ) -> None:
        self._group = group
        self._inbox = inbox
        self._is_done = is_done
        self._in_thread = in_thread
        self.consumer = Consumer(
            {
                "group.id": group or f"tidings-{os.urandom(9).hex()}",
                "enable.auto.commit": group is not None,
                "auto.commit.interval.ms": 1000,
                "enable.auto.offset.store": False,  # when the loop body is done
                "auto.offset.reset": "latest",
                **options,
            }
        )
        self._topics: list[str] = []
        self._assigned = threading.Event()
        self._is_paused = False
        # Of each partition what was delivered, in order, from the first with which no loop body is done.
        self._open: dict[tuple[str, int], deque[_Delivered]] = {}
        self._done: deque[Token] = deque()
        self._asked: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._thread: threading.Thread | None = None

    def subscribe(self, topic: str, partitions: int, timeout: float) -> bool:
        """Read `topic` too; False when the group did not take us in.

        Raises:
            KafkaException: the brokers refuse, or do not answer.
        """
        if self._group is None:
            self._ask(lambda: self._add(topic, partitions, timeout), timeout)
            return True
        self._assigned.clear()
        self._ask(lambda: self._join(topic), timeout)
        return self._assigned.wait(timeout + _JOIN)

    def settle(self, token: Token) -> None:
        """A loop body is done with a message: the group goes on from the first with which none is."""
        self._done.append(token)

    def close(self, timeout: float) -> None:
        """Tell the brokers how far the group came, and leave it."""
        if self._thread is not None:
            self._thread.join(timeout)
        self._store()
        self.consumer.close()

    # All that follows is done by the thread: a consumer that is read from blocks who uses it beside that.

    def _ask(self, work: Callable[[], None], timeout: float) -> None:
        """Have the thread do `work`, and raise what it raises."""
        done: Future[None] = Future()
        self._asked.append((work, done))
        if self._thread is None:
            self._thread = self._in_thread(self._read)
        done.result(timeout + _PATIENCE)

    def _read(self) -> None:
        while not self._is_done.is_set():
            self._answer()
            self._store()
            self._pause_or_resume()
            messages = self.consumer.consume(_COUNT, _WAIT)
            batch = [taken for message in messages if (taken := self._taken(message)) is not None]
            if batch:
                self._inbox.put(batch)

    def _answer(self) -> None:
        while self._asked:
            work, done = self._asked.popleft()
            try:
                work()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _add(self, topic: str, partitions: int, timeout: float) -> None:
        """Read every partition of `topic` from its end on."""
        if topic in self._topics:
            return
        ends = []
        for number in range(partitions):
            place = TopicPartition(topic, number)
            _, place.offset = self.consumer.get_watermark_offsets(place, timeout=timeout)
            ends.append(place)
        self.consumer.incremental_assign(ends)
        self._topics.append(topic)

    def _join(self, topic: str) -> None:
        """Have the group give us partitions of `topic` too."""
        if topic in self._topics:
            self._assigned.set()
            return
        self._topics.append(topic)
        self.consumer.subscribe(self._topics, on_assign=self._take_over, on_revoke=self._give_up)

    def _store(self) -> None:
        places = {}
        while self._done:
            topic, partition, offset = self._done.popleft()
            entries = self._open.get((topic, partition))
            if entries is None:
                continue  # another member has the partition now
            # It is not among them when the partition was taken from us meanwhile, and given back.
            for entry in entries:
                if entry.offset == offset:
                    entry.is_done = True
                    break
            while entries and entries[0].is_done:
                places[topic, partition] = TopicPartition(topic, partition, entries.popleft().offset + 1)
        if places:
            with suppress(KafkaException):  # as above, and we do not know yet
                self.consumer.store_offsets(offsets=list(places.values()))

    def _pause_or_resume(self) -> None:
        # A consumer that does not poll is put out of its group.
        if self._inbox.is_full:
            self.consumer.pause(self.consumer.assignment())
            self._is_paused = True
        elif self._is_paused:
            self._is_paused = False
            self.consumer.resume(self.consumer.assignment())

    def _taken(self, message: Message) -> Any:
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                logger.warning("reading from Kafka: %s", error.str())
            return None
        data = message.value()
        data = data if isinstance(data, bytes) else b""
        if self._group is None:
            return data
        topic: Any = message.topic()
        partition: Any = message.partition()
        offset: Any = message.offset()
        self._open.setdefault((topic, partition), deque()).append(_Delivered(offset))
        return Held(data, (topic, partition, offset))

    def _take_over(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group gives us these. One that nobody has read yet is read from its end on."""
        try:
            places = consumer.committed(partitions, timeout=_PATIENCE) if partitions else []
            new = [place for place in places if place.offset < 0]
            for place in new:
                _, place.offset = consumer.get_watermark_offsets(place, timeout=_PATIENCE)
            consumer.assign(places)
            if new:  # so that whoever has it next goes on from here
                consumer.commit(offsets=new, asynchronous=False)
        except KafkaException as error:
            logger.warning("taking over partitions of Kafka: %s", error)
            consumer.assign(partitions)
        self._assigned.set()

    def _give_up(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group gives these to others."""
        self._store()
        for place in partitions:
            self._open.pop((place.topic, place.partition), None)
