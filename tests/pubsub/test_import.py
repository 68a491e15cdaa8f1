"""What is loaded, and what is said when an extra is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_client_is_loaded_before_it_is_used() -> None:
    out = run("import sys, tidings.pubsub; print(*sys.modules)")
    loaded = {name.partition(".")[0] for name in out.split()}
    assert not loaded & {"redis", "confluent_kafka", "numpy", "pydantic", "asyncio"}
    assert not any(name.startswith(("tidings.nats", "tidings.messaging")) for name in out.split())


def test_core_nats_loads_no_jetstream() -> None:
    assert "tidings.nats.jetstream" not in run("import sys, tidings.pubsub.nats; print(*sys.modules)").split()


def test_every_public_name_is_there() -> None:
    import tidings.pubsub

    for name in tidings.pubsub.__all__:
        assert getattr(tidings.pubsub, name).__name__ == name
    assert set(tidings.pubsub.__all__) <= set(dir(tidings.pubsub))
    with pytest.raises(AttributeError, match="no attribute 'RabbitPubSub'"):
        _ = tidings.pubsub.RabbitPubSub


@pytest.mark.parametrize(
    ("package", "backend", "extra"),
    [("redis", "RedisPubSub", "redis"), ("confluent_kafka", "KafkaPubSub", "kafka")],
)
def test_a_missing_extra_is_named(package: str, backend: str, extra: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
from tidings.pubsub import MissingExtraError
try:
    from tidings.pubsub import {backend}
except MissingExtraError as error:
    print(error)
"""
    assert f"'tidings[{extra}]'" in run(code)
