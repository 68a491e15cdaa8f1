"""The interpreter ends, whatever state its backends are in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import tidings.pubsub
from tidings.nats.server import NatsServer
from tidings.pubsub import PubSubBackend

from .servers import KafkaServer, RedisServer

LIMIT = 60.0  # seconds; each has three for its backends

PRELUDE = """
import json, sys, threading
from tidings.pubsub import PubSubError
import tidings.pubsub
pubsub = getattr(tidings.pubsub, sys.argv[1])(json.loads(sys.argv[2]))
pubsub.subscribe("a")
if sys.argv[3:]:
    threading.Thread(target=lambda: list(pubsub.listen()), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""
PUBLISH = """
pubsub.publish("a", b"nobody gets this")
print("done")
"""
# The buffer of a backend is full, and its thread waits for room.
STUCK = """
try:
    for number in range(1000):
        if number == 5:
            # It tells while the main thread waits, or is about to: either is to be interrupted.
            print("full", flush=True)
        pubsub.publish("a", bytes(500_000))
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def server(backend: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A server, and the config for it."""
    if backend == "NATSPubSub":
        with NatsServer(jetstream=False) as nats:
            yield nats, {"servers": nats.url}
    elif backend == "RedisPubSub":
        with RedisServer() as redis:
            yield redis, {"url": redis.url}
    else:
        with KafkaServer() as kafka:
            yield kafka, {"servers": kafka.address, "connect_timeout": 20.0}


def run(script: str, backend: str, config: dict[str, Any], *options: str) -> subprocess.Popen[str]:
    """The option "listening" has a daemon thread listen."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + script, backend, json.dumps(config), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("backend", ["NATSPubSub", "RedisPubSub", "KafkaPubSub"])
def test_with_a_server_that_is_gone(backend: str) -> None:
    with server(backend) as (gone, config), run(PUBLISH, backend, config, "listening") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        gone.kill()
        out, err = process.communicate("\n", timeout=LIMIT)
        assert (process.returncode, out) == (0, "done\n"), err
        assert "at exit" in err  # what was published and not brought out is told
        assert "Traceback" not in err


@pytest.mark.parametrize("backend", ["NATSPubSub", "RedisPubSub"])
def test_with_a_publisher_that_waits_and_is_interrupted(backend: str) -> None:
    with server(backend) as (gone, config), run(STUCK, backend, config, "listening") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        gone.kill()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "full\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
        assert out == "interrupted\n", err


BACKENDS = ["NATSPubSub", "RedisPubSub", "KafkaPubSub", "MemoryPubSub"]

# How a program may end, and what its exit code is. In each a thread that is no daemon uses the backend.
ENDS = {
    "the main thread ends before one that publishes": (
        """
def publish():
    threading.main_thread().join()
    for number in range(100):
        pubsub.publish("a", b"x")
    pubsub.flush()
    print("done")
threading.Thread(target=publish).start()
""",
        0,
    ),
    "the main thread ends before one that listens": (
        """
def listen():
    threading.main_thread().join()
    for message in pubsub.listen(timeout=0.1):
        pass
    print("done")
threading.Thread(target=listen).start()
""",
        0,
    ),
    "an exception leaves the with block while one listens": (
        """
with pubsub:
    threading.Thread(target=lambda: (list(pubsub.listen()), print("done"))).start()
    raise SystemExit(3)
""",
        3,
    ),
    "an exception nobody catches": (
        """
threading.Thread(target=lambda: (pubsub.publish("a", b"x"), print("done"))).start()
sys.excepthook = lambda *_: None
raise ArithmeticError
""",
        1,
    ),
    "sys.exit in threads": (
        """
def leave():
    for message in pubsub.listen():
        sys.exit("in a thread")
threads = [threading.Thread(target=leave) for _ in range(3)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    pubsub.publish("a", b"x")
print("done")
""",
        0,
    ),
    "daemons publish and listen meanwhile": (
        """
def publish():
    while True:
        pubsub.publish("a", bytes(1000))
threading.excepthook = lambda _: None  # they are told that it is closed
for work in [publish, publish, lambda: list(pubsub.listen())]:
    threading.Thread(target=work, daemon=True).start()
threading.Event().wait(0.1)
print("done")
""",
        0,
    ),
    "a finalizer publishes and closes": (
        """
class Driver:
    def __del__(self):
        try:
            pubsub.publish("a", b"the last")
        except PubSubError:
            pass
        pubsub.close()
driver = Driver()
driver.itself = driver  # found by the collector, if ever
sys.driver = driver
print("done")
""",
        0,
    ),
    "a signal closes while messages are awaited": (
        """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: pubsub.close())
def terminate():
    pubsub.publish("a", b"x")
    os.kill(os.getpid(), signal.SIGTERM)
messages = pubsub.listen()
threading.Thread(target=terminate).start()
for message in messages:
    pass
print("done")
""",
        0,
    ),
}


@pytest.mark.parametrize("end", ENDS, ids=range(len(ENDS)))
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_ends(backend: str, end: str, servers: dict[str, dict[str, Any]]) -> None:
    script, code = ENDS[end]
    config = servers[backend]
    with run(script, backend, config) as process:
        out, err = process.communicate("\n", timeout=LIMIT)
    assert (process.returncode, out) == (code, "ready\ndone\n"), err
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, dict[str, Any]]]:
    """The config for each backend."""
    with server("NATSPubSub") as nats, server("RedisPubSub") as redis, server("KafkaPubSub") as kafka:
        yield {
            "NATSPubSub": nats[1],
            "RedisPubSub": redis[1],
            "KafkaPubSub": kafka[1],
            "MemoryPubSub": {},
        }


COME_BACK = """
def listen():
    threading.main_thread().join()
    print("alone", flush=True)
    for message in pubsub.listen():
        if message == b"after":
            break
    print("done", flush=True)
threading.Thread(target=listen).start()
"""


@pytest.mark.parametrize("backend", ["NATSPubSub", "RedisPubSub", "KafkaPubSub"])
def test_a_thread_that_outlives_the_main_one_sees_its_server_return(backend: str) -> None:
    with server(backend) as (gone, config), run(COME_BACK, backend, config) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "alone\n"]
        gone.kill()
        gone.restart() if backend == "NATSPubSub" else gone.start()
        with made(backend, config) as writer:
            ended = threading.Event()

            def publish() -> None:
                while not ended.wait(0.1):
                    writer.publish("a", b"after")

            publishing = threading.Thread(target=publish)
            publishing.start()
            try:
                out, err = process.communicate(timeout=LIMIT)
            finally:
                ended.set()
                publishing.join()
    assert (process.returncode, out) == (0, "done\n"), err


def made(backend: str, config: dict[str, Any]) -> PubSubBackend:
    made: PubSubBackend = getattr(tidings.pubsub, backend)(config)
    return made


LOOP_ENDS = """
from tidings.pubsub import LostConnectionError
from tidings.pubsub.background import background
ended = threading.Event()
def listen():
    try:
        list(pubsub.listen())
    except LostConnectionError:
        ended.set()
threading.Thread(target=listen).start()
pubsub.loop.call_soon_threadsafe(pubsub.loop._selector.close)
assert ended.wait(20)
for call in pubsub.listen, pubsub.flush, lambda: pubsub.publish("a", b"x"):
    try:
        call()
    except LostConnectionError as error:
        assert "event loop has ended" in str(error), error
    else:
        raise SystemExit("no error")
pubsub.close()
with tidings.pubsub.NATSPubSub(json.loads(sys.argv[2])) as other:
    assert other.loop is not pubsub.loop
    other.subscribe("b")
    other.publish("b", b"x")
    assert next(other.listen(timeout=20)) == b"x"
print("done")
"""


def test_an_event_loop_that_ends_is_told_and_another_one_begins(servers: dict[str, dict[str, Any]]) -> None:
    process = run(LOOP_ENDS, "NATSPubSub", servers["NATSPubSub"])
    with process:
        out, err = process.communicate("\n", timeout=LIMIT)
    assert (process.returncode, out) == (0, "ready\ndone\n"), err


FORK_MEANWHILE = """
import os, socket, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork where there are threads
silent = socket.create_server(("127.0.0.1", 0))
port = silent.getsockname()[1]
is_redis = sys.argv[1] == "RedisPubSub"
place = {"url": f"redis://127.0.0.1:{port}"} if is_redis else {"servers": f"127.0.0.1:{port}"}
def construct():
    try:
        getattr(tidings.pubsub, sys.argv[1])({**place, "connect_timeout": 2.0})
    except PubSubError:
        pass
thread = threading.Thread(target=construct)
thread.start()
link, _ = silent.accept()
child = os.fork()
if not child:
    tidings.pubsub.MemoryPubSub().close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
link.close()
silent.close()
print("done")
"""


@pytest.mark.parametrize("backend", ["NATSPubSub", "RedisPubSub", "KafkaPubSub"])
def test_a_fork_while_another_thread_connects(backend: str, servers: dict[str, dict[str, Any]]) -> None:
    with run(FORK_MEANWHILE, backend, servers[backend]) as process:
        out, err = process.communicate("\n", timeout=LIMIT)
    assert (process.returncode, out) == (0, "ready\ndone\n"), err
    assert "ignored" not in err
