"""`KafkaPubSub`: topics of Kafka from threads, through confluent-kafka."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from tidings.pubsub.base import PubSubBackend, as_bytes, check_limit, closed
from tidings.pubsub.config import KAFKA_KEYS
from tidings.pubsub.errors import (
    BackpressureError,
    ConfigError,
    ConnectError,
    FlushError,
    MessageTooLargeError,
    MissingExtraError,
    PubSubError,
    TopicError,
)
from tidings.pubsub.files import tls_files
from tidings.pubsub.settings import Settings, check_config
from tidings.pubsub.topic import AnyTopic, name_of

try:
    from confluent_kafka import KafkaError, KafkaException, Message, Producer
except ImportError as error:
    raise MissingExtraError(
        "KafkaPubSub needs the package confluent-kafka: install the extra, pip install 'tidings[kafka]'"
    ) from error

from tidings.pubsub.kafka_reading import Reading

__all__ = ["KafkaPubSub"]

logger = logging.getLogger("tidings.pubsub")

# Bytes that the producer holds; more makes `publish` wait.
_HELD_KIB = 64 * 1024
# Seconds between looks of our threads at what happened.
_TURN = 0.1
# Seconds that one of them has to end, beyond what it waits for.
_SLACK = 2.0


class KafkaPubSub(PubSubBackend):
    """Kafka from threads: one producer, and one consumer when something is subscribed to.

    Without a group every subscriber gets each message that is published after it subscribed. In a group one
    member does, and the place of the group moves on when the loop body is done with a message: at least once.
    What one thread publishes to a topic goes to one partition, so that it keeps its order.

    Args:
        config: as `get_kafka_config` returns it; ``servers`` is needed, docs/pubsub has the other keys.

    Raises:
        ConfigError: a key that is missing, that there is not, or whose value cannot work.
        ConnectError: no connection within ``connect_timeout`` seconds; the text says why.
        MissingExtraError: at import: the package confluent-kafka is not there.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = check_config("KafkaPubSub", KAFKA_KEYS, config)
        if settings["servers"] is None:
            raise ConfigError("KafkaPubSub: key 'servers' is missing: servers=['localhost:9092'], say")
        if any("@" in each or "/" in each for each in settings["servers"]):  # it may hold a password
            raise ConfigError(
                "KafkaPubSub: key 'servers' is host:port for each; credentials are 'user' and 'password'"
            )
        super().__init__(settings, settings["servers"])
        self._publish_timeout: float = settings["publish_timeout"]
        self._published = 0
        self._away: tuple[float, KafkaError] | None = None  # since when no broker is there, and why
        self._last_error: KafkaError | None = None
        self._is_done = threading.Event()
        self._thread_numbers = count()
        self._thread = threading.local()
        self._partitions: dict[str, int] = {}
        self._reading: Reading | None = None
        limit: float = settings["connect_timeout"]
        options = self._producer_options()
        try:
            self._producer = Producer(options)
        except (KafkaException, ValueError, TypeError) as error:
            raise ConfigError(f"KafkaPubSub: librdkafka refuses the config: {_text(error)}") from None
        self._reach(limit)
        self._poller = self._in_thread(self._poll)
        self._is_made()

    def _reach(self, limit: float) -> None:
        """Wait until a broker answers. Raises ConnectError."""
        deadline = time.monotonic() + limit
        while True:
            left = deadline - time.monotonic()
            try:
                self._producer.list_topics(timeout=max(min(left, 10 * _TURN), 0.01))
                return
            except KafkaException as error:
                self._producer.poll(0)  # it tells the reason
                last = self._last_error
                # To be refused takes no more time than it needs.
                if left > 10 * _TURN and (last is None or last.code() != KafkaError._AUTHENTICATION):
                    continue
                reason = last.str() if last is not None else _text(error)
                raise ConnectError(f"cannot connect to {', '.join(self.servers)}: {reason}") from error

    def _subscribe(self, name: str) -> None:
        limit: float = self._settings["connect_timeout"]
        try:
            partitions = self._partitions_of(name, limit)
            if self._reading is None:
                self._reading = Reading(
                    self._common_options(), self.group_id, self.queue, self._is_done, self._in_thread
                )
            known = self._reading.subscribe(name, partitions, limit)
        except (KafkaException, TimeoutError) as error:
            self._check_open()
            raise _refusal(f"{self!r} cannot subscribe to {name!r}", error) from error
        if not known:
            self._check_open()
            raise PubSubError(
                f"{self!r} cannot subscribe to {name!r}: the group {self.group_id!r} gave no answer"
            )

    def publish(self, topic: AnyTopic, serialized_data: bytes) -> None:
        """Publish a message; see `PubSubBackend.publish`."""
        self._check_open()
        data = serialized_data if type(serialized_data) is bytes else as_bytes(serialized_data)
        name = name_of(topic)
        deadline: float | None = None
        while True:
            try:
                partitions = self._partitions.get(name) or self._partitions_of(name, self._publish_timeout)
                self._producer.produce(name, data, partition=self._thread_number() % partitions)
            except BufferError:
                deadline = deadline or time.monotonic() + self._publish_timeout
                if time.monotonic() >= deadline:
                    raise BackpressureError(
                        f"for {self._publish_timeout:g} s there was no room for one more message"
                    ) from None
                self._is_done.wait(_TURN)
                self._check_open()
            except KafkaException as error:
                raise _refusal(f"{self!r} cannot publish to {name!r}", error) from error
            else:
                break
        with self._lock:
            self._published += 1

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until the brokers have all that was published before. Raises as `PubSubBackend.flush`."""
        self._check_open()
        check_limit(timeout)
        deadline = time.monotonic() + timeout
        while left := self._producer.flush(max(min(deadline - time.monotonic(), _TURN), 0)):
            self._check_open()
            if time.monotonic() >= deadline:  # librdkafka would notice no KeyboardInterrupt until then
                raise FlushError(f"{self!r} did not confirm {left} messages within {timeout:g} s")
        self._raise_failure()

    # In a thread

    def _poll(self) -> None:
        while not self._is_done.is_set():
            self._producer.poll(_TURN)
            if self._away is not None:
                self._look_for_brokers(*self._away)
        if self._ended is not closed and self._reading is not None:
            self._reading.close(_SLACK)  # nobody else will

    def _look_for_brokers(self, since: float, why: KafkaError) -> None:
        try:
            self._producer.list_topics(timeout=10 * _TURN)
        except KafkaException:
            limit: float = self._settings["reconnect_timeout"]
            if time.monotonic() - since >= limit:
                self._lose(
                    f"the connection did not come back within {limit:g} s: {why.str()}", KafkaException(why)
                )
        else:
            self._away = None

    def _note_error(self, error: KafkaError) -> None:
        """Called by librdkafka, in `poll`."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            if self._away is None:
                logger.warning("%r: %s", self, (self._last_error or error).str())
                self._away = (time.monotonic(), self._last_error or error)
        else:
            self._last_error = error

    def _note_undelivered(self, error: KafkaError | None, message: Message) -> None:
        """Called by librdkafka, in `poll`, for each message that did not arrive."""
        if error is not None:
            self._note_failed(1, KafkaException(error), "did not arrive")

    # Options

    def _common_options(self) -> dict[str, Any]:
        return _connection_options(self._settings) | {"error_cb": self._note_error}

    def _producer_options(self) -> dict[str, Any]:
        return {
            "enable.idempotence": True,  # nothing twice, and in order, when something is sent again
            "delivery.report.only.error": True,
            "on_delivery": self._note_undelivered,
            "message.timeout.ms": int(1000 * self._settings["reconnect_timeout"]),
            "queue.buffering.max.kbytes": _HELD_KIB,
            **self._common_options(),
        }

    def _thread_number(self) -> int:
        number: int | None = getattr(self._thread, "number", None)
        if number is None:
            number = self._thread.number = next(self._thread_numbers)
        return number

    def _partitions_of(self, topic: str, timeout: float) -> int:
        """How many partitions `topic` has; brokers that make topics when they are asked for make it."""
        deadline = time.monotonic() + timeout
        while True:
            self._check_open()
            found = self._producer.list_topics(topic, timeout=max(deadline - time.monotonic(), _TURN))
            about = found.topics[topic]
            if about.error is None and about.partitions:
                self._partitions[topic] = len(about.partitions)
                return len(about.partitions)
            error = about.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
            if error.code() not in _PASSING or time.monotonic() >= deadline:
                raise KafkaException(error)
            self._is_done.wait(_TURN)

    # As `PubSubBackend` asks for

    def _listen(self, timeout: float | None) -> Iterator[bytes]:
        return super()._listen(timeout) if self.group_id is None else self._listen_and_settle(timeout)

    def _settle(self, token: Any) -> None:
        if self._reading is not None:
            self._reading.settle(token)

    def _on_end(self, error: Callable[[], Exception]) -> None:
        if error is not closed:  # lost: there is nothing to wait for
            self._is_done.set()

    def _finish(self, timeout: float) -> None:
        left = self._producer.flush(timeout)
        self._is_done.set()
        self._poller.join(10 * _TURN + _SLACK)
        if self._reading is not None:
            self._reading.close(_SLACK)
        if left:
            self._producer.purge()
            self._producer.flush(0)
            raise FlushError(f"{self!r} did not confirm {left} messages within {timeout:g} s; it is closed")

    def _abandon(self, error: Callable[[], Exception]) -> None:
        # To free a librdkafka whose threads are in the parent would wait for them without end.
        handles = [self._producer, self._reading.consumer if self._reading is not None else None]
        for handle in handles:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))

    def _count_published(self) -> int:
        return self._published


_PASSING = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)


_TLS_OPTIONS = {
    "tls_ca_cert": "ssl.ca.location",
    "tls_cert": "ssl.certificate.location",
    "tls_key": "ssl.key.location",
}


def _connection_options(settings: Settings) -> dict[str, Any]:
    """What librdkafka needs to connect."""
    files = tls_files("KafkaPubSub", settings)
    if settings["user"] is None and (settings["password"] or settings["sasl_mechanism"]):
        raise ConfigError(
            "KafkaPubSub: keys 'password' and 'sasl_mechanism' go with 'user', which is missing"
        )
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings["servers"]),
        "log_level": 0,  # it writes to the terminal, over and over; the errors come as errors too
    }
    if files is not None:
        options |= {_TLS_OPTIONS[name]: file for name, file in files.items()}
        options["enable.ssl.certificate.verification"] = settings["tls_verify"]
    if settings["user"] is not None:
        options |= {
            "sasl.mechanism": settings["sasl_mechanism"] or "PLAIN",
            "sasl.username": settings["user"],
            "sasl.password": settings["password"] or "",
        }
    options["security.protocol"] = ("SASL_" if settings["user"] is not None else "") + (
        "SSL" if files is not None else "PLAINTEXT"
    )
    given: dict[str, Any] = settings["options"]
    return options | given


def _text(error: BaseException) -> str:
    """What a `KafkaException` says, which is in its `KafkaError`."""
    inner = error.args[0] if error.args else None
    return inner.str() if isinstance(inner, KafkaError) else str(error) or type(error).__name__


def _refusal(what: str, error: Exception) -> PubSubError:
    """Our error for one of librdkafka."""
    inner = error.args[0] if error.args else None
    code = inner.code() if isinstance(inner, KafkaError) else None
    text = f"{what}: {_text(error)}"
    if code in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._INVALID_ARG):
        return MessageTooLargeError(text) if code == KafkaError.MSG_SIZE_TOO_LARGE else TopicError(text)
    if code == KafkaError.TOPIC_EXCEPTION:
        return TopicError(text)
    return PubSubError(text)
