"""What every backend does alike. A backend's test class is a subclass that says how one is made."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

import pytest

from tidings.pubsub import (
    BufferFullError,
    ClosedError,
    ConfigError,
    Counters,
    NotSubscribedError,
    PubSubBackend,
    Topic,
    TopicError,
)

from .servers import eventually

__all__ = ["Conformance"]

PATIENCE = 20.0  # seconds, for what is to come
GROWTH = 500_000  # bytes; a reader that is a batch behind holds 250,000, 5,000 messages would have 2,500,000
Make = Callable[..., PubSubBackend]


class Conformance:
    """Subclasses give `config`, a fixture."""

    backend: ClassVar[str]  # the name of the class in `tidings.pubsub`
    has_groups: ClassVar[bool] = True
    can_drop: ClassVar[bool] = True
    crosses_processes: ClassVar[bool] = True
    settles: ClassVar[bool] = False  # in a group: a message is acknowledged after the loop body

    @pytest.fixture
    def config(self) -> dict[str, Any]:
        raise NotImplementedError

    @pytest.fixture
    def make(self, config: dict[str, Any]) -> Iterator[Make]:
        import tidings.pubsub

        made: list[PubSubBackend] = []

        def make(**more: Any) -> PubSubBackend:
            backend: PubSubBackend = getattr(tidings.pubsub, self.backend)({**config, **more})
            made.append(backend)
            return backend

        yield make
        for backend in made:
            backend.close()

    # Messages

    def test_what_is_published_comes_in_order(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(Topic(topic))
        sent = [b"%d" % number for number in range(1000)]
        for message in sent:
            pubsub.publish(Topic(topic), message)
        assert list(islice(pubsub.listen(timeout=PATIENCE), 1000)) == sent
        assert pubsub.counters == Counters(1000, 0, 1000, 0, 0, 0, pubsub.counters.highest_pending)
        assert pubsub.counters.delivered == 1000

    def test_a_listen_takes_every_topic(self, make: Make, topic: str) -> None:
        pubsub = make()
        for name in ("one", "two"):
            pubsub.subscribe(f"{topic}.{name}")
        assert pubsub.topic == Topic(f"{topic}.two")
        pubsub.publish(f"{topic}.one", b"1")
        pubsub.publish(f"{topic}.two", b"2")
        assert sorted(islice(pubsub.listen(timeout=PATIENCE), 2)) == [b"1", b"2"]

    def test_subscribing_twice_is_subscribing_once(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        pubsub.subscribe(Topic(topic))
        pubsub.publish(topic, b"x")
        pubsub.publish(topic, b"y")
        assert list(islice(pubsub.listen(timeout=PATIENCE), 2)) == [b"x", b"y"]

    def test_a_topic_class_of_ones_own(self, make: Make, topic: str) -> None:
        class Mine:
            name = topic

        pubsub = make()
        pubsub.subscribe(Mine())
        pubsub.publish(Mine(), b"x")
        assert next(iter(pubsub.listen(timeout=PATIENCE))) == b"x"

    def test_every_subscriber_gets_each_message(self, make: Make, topic: str) -> None:
        readers = [make(), make()]
        for reader in readers:
            reader.subscribe(topic)
        writer = make()
        for number in range(100):
            writer.publish(topic, b"%d" % number)
        for reader in readers:
            assert len(list(islice(reader.listen(timeout=PATIENCE), 100))) == 100

    def test_one_member_of_a_group_gets_each_message(self, make: Make, topic: str) -> None:
        if not self.has_groups:
            with pytest.raises(ConfigError, match="group_id"):
                make(group_id="workers")
            return
        members = [make(group_id=f"{topic}-workers") for _ in range(2)]
        for member in members:
            member.subscribe(topic)
        taken: list[bytes] = []
        lock = threading.Lock()

        def work(member: PubSubBackend) -> None:
            for message in member.listen():
                with lock:
                    taken.append(message)

        threads = [threading.Thread(target=work, args=(member,)) for member in members]
        for thread in threads:
            thread.start()
        writer = make()
        sent = [b"%d" % number for number in range(200)]
        for message in sent:
            writer.publish(topic, message)
        eventually(lambda: len(taken) >= 200, "all messages of the group")
        for member in members:
            member.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(taken) == sorted(sent)

    @pytest.mark.parametrize("size", [0, 1, 65_536, 600_000])
    def test_any_size(self, make: Make, topic: str, size: int) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        data = os.urandom(size)
        pubsub.publish(topic, data)
        pubsub.publish(topic, b"behind it")
        assert list(islice(pubsub.listen(timeout=PATIENCE), 2)) == [data, b"behind it"]

    def test_32_threads_lose_nothing_and_keep_their_order(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)

        def publish(name: int) -> None:
            for number in range(100):
                pubsub.publish(topic, b"%d %d" % (name, number))

        threads = [threading.Thread(target=publish, args=(name,)) for name in range(32)]
        for thread in threads:
            thread.start()
        came: dict[int, list[int]] = {}
        for message in islice(pubsub.listen(timeout=PATIENCE), 3200):
            name, number = map(int, message.split())
            came.setdefault(name, []).append(number)
        for thread in threads:
            thread.join(PATIENCE)
        assert came == {name: list(range(100)) for name in range(32)}

    def test_32_threads_listen_to_one_backend(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        taken: list[bytes] = []
        threads = [threading.Thread(target=lambda: taken.extend(pubsub.listen())) for _ in range(32)]
        for thread in threads:
            thread.start()
        for number in range(500):
            pubsub.publish(topic, b"%d" % number)
        eventually(lambda: pubsub.counters.delivered == 500, "every message")
        pubsub.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(map(int, taken)) == list(range(500))

    def test_buffers_are_published_too(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        pubsub.publish(topic, bytearray(b"a"))  # type: ignore[arg-type]
        pubsub.publish(topic, memoryview(b"b"))  # type: ignore[arg-type]
        assert list(islice(pubsub.listen(timeout=PATIENCE), 2)) == [b"a", b"b"]

    def test_flush(self, make: Make, topic: str) -> None:
        pubsub = make()
        for _ in range(100):
            pubsub.publish(topic, b"x")
        pubsub.flush(timeout=PATIENCE)
        assert pubsub.counters.published == 100
        assert pubsub.counters.failed == 0

    def test_ten_times_the_messages_take_no_more_memory(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        messages = pubsub.listen(timeout=PATIENCE)

        def pass_through(count: int) -> int:
            for _ in range(0, count, 500):
                for _ in range(500):
                    pubsub.publish(topic, bytes(200))
                for _ in islice(messages, 500):
                    pass
            pubsub.flush(PATIENCE)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        pass_through(500)  # what is made once is made now
        tracemalloc.start()
        try:
            before = pass_through(500)
            grown = pass_through(5000) - before
        finally:
            tracemalloc.stop()
        assert grown < GROWTH, f"{grown} bytes more after ten times the messages"

    # What is refused

    def test_listen_before_subscribe(self, make: Make) -> None:
        with pytest.raises(NotSubscribedError, match=r"call subscribe\(topic\)") as caught:
            make().listen()
        assert isinstance(caught.value, RuntimeError)

    @pytest.mark.parametrize("data", ["text", 7, None])
    def test_what_is_no_bytes(self, make: Make, topic: str, data: Any) -> None:
        with pytest.raises(TypeError, match="is bytes"):
            make().publish(topic, data)

    @pytest.mark.parametrize("bad", ["", None, 7])
    def test_what_is_no_topic(self, make: Make, bad: Any) -> None:
        pubsub = make()
        with pytest.raises(TopicError, match="a topic is"):
            pubsub.publish(bad, b"x")
        with pytest.raises(TopicError, match="a topic is"):
            pubsub.subscribe(bad)

    def test_an_unknown_key_is_named(self, make: Make) -> None:
        with pytest.raises(ConfigError, match="'sevrers'"):
            make(sevrers="x")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("group_id", ""),
            ("group_id", 7),
            ("buffer_messages", 0),
            ("buffer_messages", True),
            ("buffer_bytes", "many"),
            ("buffer_policy", "drop"),
            ("connect_timeout", 0),
            ("reconnect_timeout", float("nan")),
            ("publish_timeout", "1"),
        ],
    )
    def test_a_malformed_key_is_named(self, make: Make, key: str, value: Any) -> None:
        with pytest.raises(ConfigError, match=f"'{key}'"):
            make(**{key: value})

    @pytest.mark.parametrize("timeout", [-1, "1", float("nan"), True])
    def test_a_malformed_timeout(self, make: Make, topic: str, timeout: Any) -> None:
        pubsub = make()
        for call in (pubsub.listen, pubsub.flush, pubsub.close):
            with pytest.raises(ConfigError, match="timeout"):
                call(timeout)

    # Ends

    def test_listen_ends_after_its_timeout(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        pubsub.publish(topic, b"x")
        messages = pubsub.listen(timeout=PATIENCE)
        assert next(messages) == b"x"
        assert list(pubsub.listen(timeout=0.01)) == []

    def test_close_from_another_thread_ends_listen(self, make: Make, topic: str) -> None:
        pubsub = make()
        pubsub.subscribe(topic)
        pubsub.publish(topic, b"x")
        messages = pubsub.listen()
        assert next(messages) == b"x"
        closing = threading.Thread(target=pubsub.close)
        closing.start()
        assert list(messages) == []
        closing.join(PATIENCE)
        assert pubsub.is_closed

    def test_closed_is_closed(self, make: Make, topic: str) -> None:
        with make() as pubsub:
            pubsub.subscribe(topic)
        pubsub.close()
        for call in (
            pubsub.listen,
            pubsub.flush,
            lambda: pubsub.subscribe(topic),
            lambda: pubsub.publish(topic, b"x"),
        ):
            with pytest.raises(ClosedError, match="closed"):
                call()

    def test_close_brings_out_what_was_published(self, make: Make, topic: str) -> None:
        reader, writer = make(), make()
        reader.subscribe(topic)
        for number in range(500):
            writer.publish(topic, b"%d" % number)
        writer.close()
        assert len(list(islice(reader.listen(timeout=PATIENCE), 500))) == 500

    # A slow reader

    def test_drop_oldest(self, make: Make, topic: str) -> None:
        if not self.can_drop:
            with pytest.raises(ConfigError, match="'buffer_policy'"):
                make(buffer_policy="drop_oldest")
            return
        pubsub = make(buffer_messages=10, buffer_policy="drop_oldest")
        pubsub.subscribe(topic)
        for number in range(100):
            pubsub.publish(topic, b"%d" % number)
        eventually(lambda: pubsub.counters.received == 100, "every message")
        assert list(map(int, islice(pubsub.listen(timeout=PATIENCE), 10))) == list(range(90, 100))
        counters = pubsub.counters
        assert (counters.dropped, counters.pending, counters.delivered) == (90, 0, 10)
        assert counters.highest_pending == 10

    def test_error(self, make: Make, topic: str) -> None:
        if not self.can_drop:
            return
        pubsub = make(buffer_messages=10, buffer_policy="error")
        pubsub.subscribe(topic)
        for number in range(100):
            pubsub.publish(topic, b"%d" % number)
        eventually(lambda: pubsub.counters.received == 100, "every message")
        messages = pubsub.listen(timeout=PATIENCE)
        assert list(map(int, islice(messages, 10))) == list(range(10))
        with pytest.raises(BufferFullError, match="too slow"):
            next(messages)
        assert pubsub.counters.dropped == 90

    def test_block(self, make: Make, topic: str) -> None:
        pubsub, writer = make(buffer_messages=10), make()
        pubsub.subscribe(topic)
        publishing = threading.Thread(
            target=lambda: [writer.publish(topic, b"%d" % number) for number in range(1000)]
        )
        publishing.start()
        assert list(map(int, islice(pubsub.listen(timeout=PATIENCE), 1000))) == list(range(1000))
        publishing.join(PATIENCE)
        assert pubsub.counters.dropped == 0

    def test_a_message_larger_than_the_buffer_comes_all_the_same(self, make: Make, topic: str) -> None:
        pubsub, writer = make(buffer_bytes=10), make()
        pubsub.subscribe(topic)
        publishing = threading.Thread(target=lambda: [writer.publish(topic, bytes(1000)) for _ in range(3)])
        publishing.start()
        assert [len(message) for message in islice(pubsub.listen(timeout=PATIENCE), 3)] == [1000] * 3
        publishing.join(PATIENCE)

    # The loop body

    def test_what_a_loop_body_did_not_finish_is_delivered_again(self, make: Make, topic: str) -> None:
        if not self.settles:
            return
        group = {"group_id": f"{topic}-workers"}
        first = make(**group)
        first.subscribe(topic)
        for number in range(3):
            first.publish(topic, b"%d" % number)
        messages = first.listen(timeout=PATIENCE)
        assert [next(messages), next(messages)] == [b"0", b"1"]  # with 0 it is done
        first.close()
        second = make(**group)
        second.subscribe(topic)
        assert sorted(islice(second.listen(timeout=PATIENCE), 2)) == [b"1", b"2"]

    # The process

    @contextmanager
    def run(self, script: str, config: dict[str, Any], topic: str) -> Iterator[subprocess.Popen[str]]:
        code = f"from tidings.pubsub import {self.backend} as Backend\n{PRELUDE}{script}"
        with subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(config), topic],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def test_a_fork_needs_a_backend_of_its_own(self, config: dict[str, Any], topic: str) -> None:
        with self.run(FORK, config, topic) as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out.split()) == (0, ["child", "parent"]), err

    def test_ctrl_c_ends_listen_at_once(self, config: dict[str, Any], topic: str) -> None:
        with self.run(LISTEN, config, topic) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "interrupted\n"), err

    def test_exit_does_not_hang_and_loses_nothing(
        self, config: dict[str, Any], make: Make, topic: str
    ) -> None:
        reader = make()
        reader.subscribe(topic)
        with self.run(EXIT, config, topic) as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "done\n", "")
        if self.crosses_processes:
            assert len(list(islice(reader.listen(timeout=PATIENCE), 100))) == 100


PRELUDE = """
import json, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork where there are threads
from tidings.pubsub import ForkedError
config, topic = json.loads(sys.argv[1]), sys.argv[2]
"""
FORK = """
pubsub = Backend(config)
pubsub.subscribe(topic)
sys.stdout.flush()
child = os.fork()
if not child:
    publish = lambda: pubsub.publish(topic, b"x")
    for call in (pubsub.listen, pubsub.flush, lambda: pubsub.subscribe(topic), publish):
        try:
            call()
        except ForkedError as error:
            assert str(os.getpid()) in str(error)
        else:
            raise SystemExit("no error")
    pubsub.close()
    own = Backend(config)
    own.subscribe(topic + ".own")
    own.publish(topic + ".own", b"own")
    assert next(own.listen(timeout=20)) == b"own"
    own.close()
    print("child", flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
pubsub.publish(topic, b"x")
assert next(pubsub.listen(timeout=20)) == b"x"
pubsub.close()
print("parent")
"""
LISTEN = """
pubsub = Backend(config)
pubsub.subscribe(topic)
messages = pubsub.listen()
try:
    print("listening", flush=True)
    for message in messages:
        pass
except KeyboardInterrupt:
    print("interrupted")
"""
EXIT = """
pubsub = Backend(config)
pubsub.subscribe(topic + ".other")
threading.Thread(target=lambda: list(pubsub.listen()), daemon=True).start()
for number in range(100):
    pubsub.publish(topic, b"%d" % number)
print("done")
"""
