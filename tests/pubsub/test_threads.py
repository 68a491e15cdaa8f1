"""Threads that get in each other's way: who waits is woken, and what ends is told."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tidings.nats.server import NatsServer
from tidings.pubsub import (
    BackpressureError,
    ClosedError,
    KafkaPubSub,
    MemoryPubSub,
    NATSPubSub,
    PubSubBackend,
    PubSubError,
    RedisPubSub,
)

from .servers import KafkaServer, RedisServer, eventually

PATIENCE = 20.0
FOREVER = 1000.0  # longer than any test


@contextmanager
def stuck(kind: str) -> Iterator[PubSubBackend]:
    """A backend whose server is gone, and whose `publish` waits for ever when its buffers are full."""
    more: dict[str, Any] = {"publish_timeout": FOREVER, "reconnect_timeout": FOREVER}
    backend: PubSubBackend
    if kind == "memory":
        reader = MemoryPubSub({"name": "stuck", "buffer_messages": 1})
        reader.subscribe("a")
        yield MemoryPubSub({"name": "stuck", **more})
        reader.close()
    elif kind == "nats":
        with NatsServer(jetstream=False) as nats:
            backend = NATSPubSub({"servers": nats.url, **more})
            nats.kill()
            yield backend
    elif kind == "stream":
        with NatsServer() as nats:
            with NATSPubSub({"servers": nats.url}) as setting_up:
                make = setting_up.nc.jetstream().create_stream(name="STUCK", subjects=["a"])
                asyncio.run_coroutine_threadsafe(make, setting_up.loop).result(PATIENCE)
            backend = NATSPubSub({"servers": nats.url, "stream": "STUCK", **more})
            nats.kill()
            yield backend
    elif kind == "redis":
        with RedisServer() as redis:
            backend = RedisPubSub({"url": redis.url, **more})
            redis.kill()
            yield backend
    else:
        with KafkaServer() as kafka:
            options = {"queue.buffering.max.kbytes": 1024}
            backend = KafkaPubSub(
                {"servers": kafka.address, "connect_timeout": 20.0, "options": options, **more}
            )
            backend.publish("a", b"so that its partitions are known")
            backend.flush(PATIENCE)
            kafka.kill()
            yield backend


def failing(work: Callable[[], Any]) -> tuple[threading.Thread, list[BaseException]]:
    """A thread that does `work`, and what it raises."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


def waits(kind: str, backend: Any) -> bool:
    """Whether a `publish` of `backend` waits for room."""
    if kind == "kafka":
        return backend.counters.published >= 20  # there is room for so many
    if kind == "memory":
        return any(each.queue._fillers._waiting for each in backend._hub.readers("a"))
    outbox = backend._outbox if kind == "redis" else backend._way.outbox
    return bool(outbox._room._waiting)


@pytest.mark.parametrize("kind", ["memory", "nats", "stream", "redis", "kafka"])
def test_close_ends_a_publish_that_waits(kind: str) -> None:
    def publish() -> None:
        while True:
            backend.publish("a", bytes(50_000))

    with stuck(kind) as backend:
        thread, errors = failing(publish)
        eventually(lambda: waits(kind, backend), "a publisher that waits")
        closing, _ = failing(lambda: backend.close(timeout=0.1))
        for each in (thread, closing):
            each.join(PATIENCE)
            assert not each.is_alive()
        assert [type(error) for error in errors] == [ClosedError]


def test_the_loop_does_not_wait_for_itself() -> None:
    """A handler of the log that publishes is called in the loop, too."""
    with stuck("nats") as backend:

        async def publish() -> None:
            for _ in range(100):
                backend.publish("a", bytes(50_000))

        assert isinstance(backend, NATSPubSub)
        published = asyncio.run_coroutine_threadsafe(publish(), backend.loop)
        with pytest.raises(BackpressureError, match="cannot wait"):
            published.result(PATIENCE)
        with pytest.raises(PubSubError):
            backend.close(timeout=0.1)


def test_a_log_handler_may_publish(caplog: pytest.LogCaptureFixture) -> None:
    with MemoryPubSub({"name": "log", "buffer_messages": 2, "buffer_policy": "drop_oldest"}) as backend:

        class Publishing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                backend.publish("log", record.getMessage().encode())

        handler = Publishing()
        logging.getLogger("tidings.pubsub").addHandler(handler)
        try:
            backend.subscribe("log")
            thread, errors = failing(lambda: [backend.publish("log", b"%d" % n) for n in range(10)])
            thread.join(PATIENCE)
            assert not thread.is_alive()
            assert not errors
        finally:
            logging.getLogger("tidings.pubsub").removeHandler(handler)
        assert backend.counters.dropped == 9  # of ten, and what was logged, two are held


def exit_the_program() -> None:
    raise SystemExit("in a callback")


def test_an_exit_in_a_callback_does_not_end_the_loop(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with NATSPubSub({"servers": nats_url}) as backend:
        backend.subscribe("loop.exit")
        backend.loop.call_soon_threadsafe(exit_the_program)
        backend.loop.call_soon_threadsafe(backend.loop.stop)
        backend.publish("loop.exit", b"x")
        assert next(backend.listen(timeout=PATIENCE)) == b"x"
        assert "in a callback" in caplog.text


def test_closing_in_the_loop_body_ends_it(nats_url: str) -> None:
    with NATSPubSub({"servers": nats_url}) as backend:
        backend.subscribe("body.close")
        for _ in range(3):
            backend.publish("body.close", b"x")
        for message in backend.listen(timeout=PATIENCE):
            assert message == b"x"
            backend.close()


def test_publishing_in_the_loop_body(nats_url: str) -> None:
    """Each message is published again by who takes it, with a buffer of one."""
    with NATSPubSub({"servers": nats_url, "buffer_messages": 1}) as backend:
        backend.subscribe("body.publish")
        backend.publish("body.publish", b"0")
        for message in backend.listen(timeout=PATIENCE):
            if message == b"500":
                break
            for _ in range(2 if message == b"0" else 1):
                backend.publish("body.publish", b"%d" % (int(message) + 1))


def test_many_open_and_close_at_once(nats_url: str) -> None:
    def work() -> None:
        for number in range(5):
            with NATSPubSub({"servers": nats_url, "connect_timeout": PATIENCE}) as backend:
                topic = f"many.{threading.get_ident()}.{number}"
                backend.subscribe(topic)
                backend.publish(topic, b"x")
                assert next(backend.listen(timeout=PATIENCE)) == b"x"

    workers = [failing(work) for _ in range(8)]
    for thread, _ in workers:
        thread.join(60)
        assert not thread.is_alive()
    assert [errors for _, errors in workers] == [[]] * 8
