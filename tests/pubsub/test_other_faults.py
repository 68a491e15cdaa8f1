"""What goes wrong with Redis and Kafka: refused, unreachable, killed, and back or not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.certificates import Authority
from tidings.pubsub import (
    ConnectError,
    KafkaPubSub,
    LostConnectionError,
    PublishError,
    PubSubBackend,
    PubSubError,
    RedisPubSub,
)
from tidings.pubsub.inbox import Inbox, Limits
from tidings.pubsub.redis_reading import StreamReading

from .servers import KafkaServer, RedisServer, Server, eventually

SECRET = "sesame-4711"
BACKENDS = ["channels", "streams", "kafka"]


@contextmanager
def running(kind: str) -> Iterator[Server]:
    with KafkaServer() if kind == "kafka" else RedisServer() as server:
        yield server


def made(kind: str, server: Server, **more: Any) -> PubSubBackend:
    if isinstance(server, KafkaServer):
        return KafkaPubSub({"servers": server.address, "connect_timeout": 20.0, **more})
    assert isinstance(server, RedisServer)
    return RedisPubSub({"url": server.url, "streams": kind == "streams", **more})


def listen(pubsub: PubSubBackend) -> tuple[threading.Thread, list[bytes | Exception]]:
    """A thread that listens, and what it got."""
    came: list[bytes | Exception] = []

    def take() -> None:
        try:
            for message in pubsub.listen():
                came.append(message)
        except PubSubError as error:
            came.append(error)

    thread = threading.Thread(target=take)
    thread.start()
    return thread, came


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_server_that_returns(kind: str) -> None:
    with running(kind) as server, made(kind, server) as pubsub:
        pubsub.subscribe("a")
        thread, came = listen(pubsub)
        pubsub.publish("a", b"before")
        eventually(lambda: came == [b"before"], "the message before")
        server.stop()
        server.start()
        # A channel misses what comes before the reader is back.
        number = 0

        def is_back() -> bool:
            nonlocal number
            number += 1
            with suppress(PublishError):
                pubsub.publish("a", b"%d" % number)
                pubsub.flush()
            return len(came) > 1

        eventually(is_back, "a message after", timeout=40)
        assert not any(isinstance(each, Exception) for each in came)
        pubsub.close()
        thread.join(20)


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_server_that_does_not(kind: str) -> None:
    with running(kind) as server:
        pubsub = made(kind, server, reconnect_timeout=0.5)
        pubsub.subscribe("a")
        thread, came = listen(pubsub)
        server.kill()
        thread.join(30)
        (error,) = came
        assert isinstance(error, LostConnectionError)
        assert "did not come back within 0.5 s" in str(error)
        for call in (pubsub.listen, pubsub.flush, lambda: pubsub.publish("a", b"x")):
            with pytest.raises(LostConnectionError):
                call()
        pubsub.close()


@pytest.mark.parametrize("kind", BACKENDS)
def test_nobody_is_there(kind: str) -> None:
    server = KafkaServer() if kind == "kafka" else RedisServer()  # not started
    with pytest.raises(ConnectError, match="refused") as caught:
        made(kind, server, connect_timeout=1.0)
    assert str(server.port) in str(caught.value)


@pytest.mark.parametrize("kind", BACKENDS)
def test_somebody_is_there_and_says_nothing(kind: str) -> None:
    server = KafkaServer() if kind == "kafka" else RedisServer()  # not started
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(ConnectError):
        made(kind, server, connect_timeout=0.3)


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    with RedisServer(password=SECRET) as server:
        yield server


class TestPassword:
    @pytest.mark.parametrize("config", [{}, {"password": f"{SECRET}-wrong"}])
    def test_a_wrong_one(
        self, guarded: RedisServer, config: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ConnectError) as caught:
            RedisPubSub({"url": guarded.url, **config})
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"

    def test_the_right_one_is_not_shown(self, guarded: RedisServer) -> None:
        with_it = guarded.url.replace("://", f"://:{SECRET}@")
        for config in ({"url": guarded.url, "password": SECRET}, {"url": with_it}):
            with RedisPubSub(config) as pubsub:
                pubsub.subscribe("a")
                pubsub.publish("a", b"x")
                assert next(pubsub.listen(timeout=20)) == b"x"
                assert SECRET not in f"{pubsub!r} {pubsub.servers}"


@pytest.mark.parametrize("kind", ["channels", "kafka"])
def test_a_certificate_that_is_not_trusted(kind: str, tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("127.0.0.1")
    other = Authority(tmp_path, "another authority")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.cert, files.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def greet() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link, suppress(OSError), context.wrap_socket(link, server_side=True):
                    pass

        greeting = threading.Thread(target=greet, daemon=True)
        greeting.start()
        config = {"tls_ca_cert": str(other.ca), "connect_timeout": 2.0}
        place = {"servers": f"127.0.0.1:{port}"} if kind == "kafka" else {"url": f"redis://127.0.0.1:{port}"}
        backend = KafkaPubSub if kind == "kafka" else RedisPubSub
        with pytest.raises(ConnectError, match="certificate verify failed"):
            backend({**place, **config})
        listener.shutdown(socket.SHUT_RDWR)
    greeting.join(20)


@pytest.mark.parametrize("kind", ["channels", "kafka"])
def test_an_error_that_nobody_expected_ends_the_backend(kind: str) -> None:
    with running(kind) as server:
        pubsub = made(kind, server)
        pubsub.subscribe("a")

        def broken(_: object) -> bool:
            raise ArithmeticError("of a client")

        pubsub.queue.put = broken  # type: ignore[method-assign, assignment]
        pubsub.publish("a", b"x")
        with pytest.raises(LostConnectionError, match="ArithmeticError: of a client"):
            next(pubsub.listen(timeout=20))
        pubsub.close()


def test_what_redis_refuses_is_told() -> None:
    with RedisServer() as server, RedisPubSub({"url": server.url, "streams": True}) as pubsub:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", "no stream")
        pubsub.publish("a", b"x")
        with pytest.raises(PublishError, match="1 published messages were refused"):
            pubsub.flush()


def test_a_partition_that_is_taken_away_and_given_back_in_a_loop_body() -> None:
    with KafkaServer() as server, made("kafka", server, group_id="g") as first:
        first.subscribe("a")
        for number in range(3):
            first.publish("a", b"%d" % number)
        messages = first.listen(timeout=40)
        assert next(messages) == b"0"
        with made("kafka", server, group_id="g") as second:
            second.subscribe("a")
        came: list[bytes] = []
        for message in messages:  # some come twice
            came.append(message)
            if message == b"2" and not came.count(b"last"):
                first.publish("a", b"last")
            if message == b"last":
                break
        assert set(came) >= {b"1", b"2", b"last"}
        assert not first.is_closed


def test_a_subscription_between_two_steps_of_a_read_repeats_no_entry() -> None:
    """The reading thread has an answer, and notes how far it came after another thread has subscribed."""
    with RedisServer() as server, redis.Redis.from_url(server.url) as client:
        settings = {"group_id": None, "ack_wait": 30.0, "connect_timeout": 5.0}
        box: Inbox[bytes] = Inbox(Limits(10, 1000, "block"), "test")
        reading = StreamReading(client, box, settings)
        reading.subscribe("a")
        client.xadd("a", {"data": b"1"})
        take = reading._take

        def subscribe_meanwhile(name: str, entries: Any) -> None:
            take(name, entries)
            if name == "a":
                copies = threading.Thread(target=reading.subscribe, args=("b",))
                copies.start()
                copies.join(20)

        reading._take = subscribe_meanwhile  # type: ignore[method-assign]
        for _ in range(2):
            reading.read()
        assert (box.take(0), box.take(0)) == (b"1", None)


def test_a_group_that_redis_lost_is_made_again() -> None:
    with RedisServer() as server, made("streams", server, group_id="g") as pubsub:
        pubsub.subscribe("a")
        pubsub.publish("a", b"before")
        messages = pubsub.listen(timeout=20)
        assert next(messages) == b"before"
        with redis.Redis.from_url(server.url) as client:
            client.flushall()
        pubsub.publish("a", b"after")
        assert next(messages) == b"after"


def test_a_group_of_kafka_goes_on_where_it_was() -> None:
    with KafkaServer() as server:
        first = made("kafka", server, group_id="g")
        first.subscribe("a")
        for number in range(10):
            first.publish("a", b"%d" % number)
        messages = first.listen(timeout=20)
        for _ in range(4):
            next(messages)
        first.close()
        with made("kafka", server, group_id="g") as second:
            second.subscribe("a")
            assert [next(second.listen(timeout=20)) for _ in range(7)] == [b"%d" % n for n in range(3, 10)]
