"""The interpreter ends, whatever state its backends are in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tidings.nats.server import NatsServer

from .servers import KafkaServer, RedisServer

LIMIT = 60.0  # seconds; each has three for its backends

PRELUDE = """
import json, sys, threading
from tidings.pubsub import PubSubError
import tidings.pubsub
pubsub = getattr(tidings.pubsub, sys.argv[1])(json.loads(sys.argv[2]))
pubsub.subscribe("a")
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


def run(script: str, backend: str, config: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + script, backend, json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("backend", ["NATSPubSub", "RedisPubSub", "KafkaPubSub"])
def test_with_a_server_that_is_gone(backend: str) -> None:
    with server(backend) as (gone, config), run(PUBLISH, backend, config) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        gone.kill()
        out, err = process.communicate("\n", timeout=LIMIT)
        assert (process.returncode, out) == (0, "done\n"), err
        assert "at exit" in err  # what was published and not brought out is told
        assert "Traceback" not in err


@pytest.mark.parametrize("backend", ["NATSPubSub", "RedisPubSub"])
def test_with_a_publisher_that_waits_and_is_interrupted(backend: str) -> None:
    with server(backend) as (gone, config), run(STUCK, backend, config) as process:
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
