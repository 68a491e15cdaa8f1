"""`RedisPubSub`: channels of Redis or Valkey, or their streams, from threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tidings.pubsub.base import PubSubBackend, as_bytes, check_limit, closed
from tidings.pubsub.config import REDIS_KEYS
from tidings.pubsub.errors import ConfigError, ConnectError, FlushError, MissingExtraError, PubSubError
from tidings.pubsub.files import tls_files
from tidings.pubsub.outbox import Entry, Outbox
from tidings.pubsub.settings import Settings, check_config
from tidings.pubsub.topic import AnyTopic, name_of

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.connection import parse_url
    from redis.retry import Retry
except ImportError as error:
    raise MissingExtraError(
        "RedisPubSub needs the package redis: install the extra, pip install 'tidings[redis]'"
    ) from error

from tidings.pubsub.redis_reading import ChannelReading, Reading, StreamReading

__all__ = ["RedisPubSub"]

# Messages, and bytes of them, that go out in one round trip.
_BATCH = 1000
_BATCH_BYTES = 1024 * 1024
# Seconds between attempts to come back.
_PAUSE = 0.2
# Seconds that a thread of ours has to end.
_SLACK = 2.0


class RedisPubSub(PubSubBackend):
    """Redis or Valkey from threads: one connection to publish, and one to listen.

    Channels (Pub/Sub), where every subscriber gets each message and who is away misses it. With ``streams``
    streams, which keep the last ``stream_length`` messages: those know groups, in which each message is
    acknowledged when the loop body is done with it. Both sides set it alike.

    Args:
        config: as `get_redis_config` returns it; docs/pubsub has the keys.

    Raises:
        ConfigError: a key that there is not, or whose value cannot work.
        ConnectError: no connection within ``connect_timeout`` seconds; the text says why, and the cause is
            an error of redis.
        MissingExtraError: at import: the package redis is not there.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = check_config("RedisPubSub", REDIS_KEYS, config)
        if settings["group_id"] is not None and not settings["streams"]:
            raise ConfigError(
                "RedisPubSub: key 'group_id': channels know no groups; set 'streams' to true, on every side"
            )
        address = _address(settings["url"])
        self._redis = _client(settings)
        super().__init__(settings, [address])
        self._publish_timeout: float = settings["publish_timeout"]
        self._sender: threading.Thread | None = None
        self._has_news = threading.Event()
        self._is_done = threading.Event()  # the threads shall end
        self._outbox = Outbox(self._has_news.set, lambda: threading.current_thread() is self._sender)
        self._handled = 0  # messages that were sent, or failed
        self._progress = threading.Condition()
        self._reading: Reading | None = None
        self._reader: threading.Thread | None = None
        try:
            self._redis.ping()
        except (redis.RedisError, OSError) as error:
            self._redis.close()
            raise ConnectError(f"cannot connect to {address}: {error}") from error
        except BaseException:
            self._redis.close()
            raise
        self._sender = self._in_thread(self._send_all)
        self._is_made()

    def _subscribe(self, name: str) -> None:
        limit: float = self._settings["connect_timeout"]
        if self._reading is None:
            kind = StreamReading if self._settings["streams"] else ChannelReading
            self._reading = kind(self._redis, self.queue, self._settings)
        try:
            self._reading.subscribe(name)
            if self._reader is None:
                self._reader = self._in_thread(self._read)
            known = self._reading.wait_for(name, limit)
        except (redis.RedisError, OSError) as error:
            self._check_open()
            raise PubSubError(f"{self!r} cannot subscribe to {name!r}: {error}") from error
        if not known:
            self._check_open()
            raise PubSubError(f"{self!r} cannot subscribe to {name!r}: no answer within {limit:g} s")

    def publish(self, topic: AnyTopic, serialized_data: bytes) -> None:
        """Publish a message; see `PubSubBackend.publish`."""
        data = serialized_data if type(serialized_data) is bytes else as_bytes(serialized_data)
        self._outbox.publish(name_of(topic), data, self._publish_timeout)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until the server has answered to all that was published before.

        Raises as `PubSubBackend.flush`.
        """
        self._check_open()
        check_limit(timeout)
        if not self._wait_until_sent(timeout):
            self._check_open()
            raise FlushError(f"{self!r} did not answer within {timeout:g} s to all that was published")
        self._check_open()
        self._raise_failure()

    def _wait_until_sent(self, timeout: float) -> bool:
        wanted = self._outbox.published
        with self._progress:
            return self._progress.wait_for(lambda: self._handled >= wanted or self._is_done.is_set(), timeout)

    # Sending, in a thread

    def _send_all(self) -> None:
        while not self._is_done.is_set():
            self._has_news.wait()
            self._has_news.clear()
            while entries := self._outbox.take():
                count = len(entries)
                self._deliver_all(entries)
                del entries  # the payloads may be large, and nobody else has them any more
                self._note_handled(count)
        if left := len(self._outbox.take()):
            self._note_failed(left, None, "did not arrive")
        if self._ended is not closed:
            self._release()  # nobody else will

    def _deliver_all(self, entries: list[Entry]) -> None:
        for batch in _batches(entries):
            self._deliver(batch)

    def _note_handled(self, count: int) -> None:
        with self._progress:
            self._handled += count
            self._progress.notify_all()

    def _deliver(self, batch: list[Entry]) -> None:
        away_since: float | None = None
        while not self._is_done.is_set():
            try:
                self._redis.ping()  # what is sent to a server that is not there would be in doubt
            except (redis.RedisError, OSError) as error:
                away_since = away_since or time.monotonic()
                self._pause_or_lose(away_since, error)
                continue
            try:
                answers = self._send(batch)
            except (redis.RedisError, OSError) as error:
                if self._settings["streams"]:  # at least once
                    away_since = away_since or time.monotonic()
                    self._pause_or_lose(away_since, error)
                    continue
                self._note_failed(len(batch), error, "may not have arrived, since the connection was lost")
                return
            if refused := [answer for answer in answers if isinstance(answer, Exception)]:
                self._note_failed(len(refused), refused[0], "were refused")
            return
        self._note_failed(len(batch), None, "did not arrive")

    def _send(self, batch: list[Entry]) -> list[Any]:
        length: int = self._settings["stream_length"]
        with self._redis.pipeline(transaction=False) as pipe:
            for topic, data in batch:
                if self._settings["streams"]:
                    pipe.xadd(topic, {"data": data}, maxlen=length, approximate=True)
                else:
                    pipe.publish(topic, data)
            return pipe.execute(raise_on_error=False)

    # Listening, in a thread

    def _read(self) -> None:
        assert self._reading is not None
        away_since: float | None = None
        while not self._is_done.is_set():
            if not self.queue.wait_for_room(_PAUSE):
                continue
            try:
                self._reading.read()
                away_since = None
            except (redis.RedisError, OSError) as error:
                away_since = away_since or time.monotonic()
                self._pause_or_lose(away_since, error)

    def _pause_or_lose(self, away_since: float, error: Exception) -> None:
        limit: float = self._settings["reconnect_timeout"]
        if time.monotonic() - away_since < limit:
            self._is_done.wait(_PAUSE)
            return
        self._lose(f"the connection did not come back within {limit:g} s: {error}", error)

    def _stop(self) -> None:
        """Have the threads end."""
        self._is_done.set()
        self._has_news.set()
        with self._progress:
            self._progress.notify_all()

    # As `PubSubBackend` asks for

    def _listen(self, timeout: float | None) -> Iterator[bytes]:
        return super()._listen(timeout) if self.group_id is None else self._listen_and_settle(timeout)

    def _settle(self, token: Any) -> None:
        if self._reading is not None:
            self._reading.settle(token)

    def _on_end(self, error: Callable[[], Exception]) -> None:
        self._outbox.end(error)
        if error is not closed:  # lost: there is nothing to wait for
            self._stop()

    def _finish(self, timeout: float) -> None:
        is_sent = self._wait_until_sent(timeout)
        self._stop()
        if self._sender is not None:
            self._sender.join(_SLACK)
        self._release()
        if not is_sent:
            raise FlushError(
                f"{self!r} did not answer within {timeout:g} s to all that was published; it is closed"
            )

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.join(_SLACK)
        if self._reading is not None:
            self._reading.close()
        self._redis.close()

    def _abandon(self, error: Callable[[], Exception]) -> None:
        self._outbox.abandon(error)

    def _count_published(self) -> int:
        return self._outbox.published


def _batches(entries: list[Entry]) -> Iterator[list[Entry]]:
    """`entries` in parts, each a round trip."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry[1])
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _address(url: str) -> str:
    """`url` without credentials. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        if parts.scheme not in ("redis", "rediss", "unix") or parts.port == 0:
            raise ValueError
    except ValueError:
        raise ConfigError(
            "RedisPubSub: key 'url' is redis://host:port/db, rediss:// for TLS, or unix:///path of a socket"
        ) from None
    return f"{parts.scheme}://{host}{parts.path}"


def _client(settings: Settings) -> redis.Redis:
    """A client that connects when it is first used. Raises ConfigError."""
    url: str = settings["url"]
    options: dict[str, Any] = {
        "username": settings["user"],
        "password": settings["password"],
        "db": settings["db"],
        "socket_connect_timeout": settings["connect_timeout"],
        "socket_timeout": settings["connect_timeout"],
        "socket_keepalive": True if not url.startswith("unix:") else None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # it is ours to know what is in doubt
    }
    files = tls_files("RedisPubSub", settings)
    if files is not None and url.startswith("redis://"):
        url = "rediss://" + url.removeprefix("redis://")
    if url.startswith("rediss://"):
        files = files or {}
        options["ssl_ca_certs"] = files.get("tls_ca_cert")
        options["ssl_certfile"] = files.get("tls_cert")
        options["ssl_keyfile"] = files.get("tls_key")
        if not settings["tls_verify"]:
            options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        # What is a key comes before what the URL says.
        pool = redis.ConnectionPool(**{**parse_url(url), **given})  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"RedisPubSub: key 'url' cannot be used ({type(error).__name__})") from None
    return redis.Redis.from_pool(pool)
