"""Configs from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tidings.pubsub import (
    ConfigError,
    ConnectError,
    KafkaPubSub,
    MemoryPubSub,
    NATSPubSub,
    RedisPubSub,
    get_kafka_config,
    get_nats_config,
    get_redis_config,
    pubsub,
)
from tidings.pubsub.config import KAFKA_KEYS, MEMORY_KEYS, NATS_KEYS, REDIS_KEYS
from tidings.pubsub.settings import COUNT, FLAG, NUMBER, PATH, SECONDS, SERVERS, TEXT, Key

SECRET = "sesame-4711"


def test_nothing_set() -> None:
    assert get_nats_config(environ={}) == {"servers": ["nats://localhost:4222"]}
    assert get_redis_config("g", environ={}) == {"group_id": "g"}
    assert get_kafka_config(environ={}) == {"servers": ["localhost:9092"]}


@pytest.mark.parametrize(
    "text",
    [
        "['nats://a:1', 'nats://b:2']",
        "('nats://a:1', 'nats://b:2')",
        '["nats://a:1", "nats://b:2"]',
        "nats://a:1,nats://b:2",
        " nats://a:1 , nats://b:2 ",
    ],
)
def test_a_list_of_servers(text: str) -> None:
    found = get_nats_config(environ={"TIDINGS_NATS_SERVERS": text})
    assert found["servers"] == ["nats://a:1", "nats://b:2"]


def test_the_variables_of_existing_deployments() -> None:
    environ = {
        "MSIGHT_NATS_SERVERS": "['nats://server1:4222']",
        "MSIGHT_NATS_USERNAME": "user",
        "MSIGHT_NATS_PASSWORD": "pass",
        "MSIGHT_NATS_TOKEN": "token",
        "MSIGHT_NATS_NKEYS_SEED": "seed",
        "MSIGHT_NATS_USER_JWT": "jwt",
        "MSIGHT_NATS_USER_CREDENTIALS": "creds",
        "MSIGHT_NATS_USE_TLS": "true",
        "MSIGHT_NATS_TLS_CA_CERT_FILE": "ca.pem",
        "MSIGHT_NATS_TLS_CERT_FILE": "cert.pem",
        "MSIGHT_NATS_TLS_KEY_FILE": "key.pem",
        "TIDINGS_NATS_TOKEN": "of another prefix",
    }
    assert get_nats_config(group_id="g", prefix="MSIGHT", environ=environ) == {
        "servers": ["nats://server1:4222"],
        "user": "user",
        "password": "pass",
        "token": "token",
        "nkeys_seed": "seed",
        "user_jwt": "jwt",
        "user_credentials": "creds",
        "tls": True,
        "tls_ca_cert": "ca.pem",
        "tls_cert": "cert.pem",
        "tls_key": "key.pem",
        "group_id": "g",
    }


def test_the_environment_is_read_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDINGS_REDIS_DB", "3")
    assert get_redis_config() == {"db": 3}


@pytest.mark.parametrize("text", ["true", "1", "Yes", "ON"])
def test_what_is_true(text: str) -> None:
    assert get_nats_config(environ={"TIDINGS_NATS_USE_TLS": text})["tls"] is True


@pytest.mark.parametrize("text", ["false", "0", "No", "OFF"])
def test_what_is_false(text: str) -> None:
    assert get_nats_config(environ={"TIDINGS_NATS_USE_TLS": text})["tls"] is False


def test_an_empty_variable_is_unset() -> None:
    assert "password" not in get_nats_config(environ={"TIDINGS_NATS_PASSWORD": " "})


BAD: list[tuple[Any, str, str]] = [
    (get_nats_config, "NATS_SERVERS", "['nats://a'"),
    (get_nats_config, "NATS_SERVERS", "[]"),
    (get_nats_config, "NATS_SERVERS", "[1, 2]"),
    (get_nats_config, "NATS_SERVERS", "nats://a,,nats://b"),
    (get_nats_config, "NATS_SERVERS", f"[{'[' * 10000}"),
    (get_nats_config, "NATS_SERVERS", f"['nats://u:{SECRET}@h', __import__('os')]"),
    (get_nats_config, "NATS_USE_TLS", "maybe"),
    (get_nats_config, "NATS_TLS_VERIFY", "2"),
    (get_nats_config, "NATS_ACK_WAIT", "soon"),
    (get_nats_config, "NATS_BUFFER_MESSAGES", "1.5"),
    (get_nats_config, "NATS_BUFFER_BYTES", "0"),
    (get_nats_config, "NATS_BUFFER_POLICY", "drop"),
    (get_nats_config, "NATS_CONNECT_TIMEOUT", "nan"),
    (get_nats_config, "NATS_RECONNECT_TIMEOUT", "inf"),
    (get_nats_config, "NATS_PUBLISH_TIMEOUT", "-1"),
    (get_redis_config, "REDIS_DB", "first"),
    (get_redis_config, "REDIS_STREAMS", "maybe"),
    (get_redis_config, "REDIS_STREAM_LENGTH", "-3"),
    (get_kafka_config, "KAFKA_SERVERS", "['a'"),
    (get_kafka_config, "KAFKA_SASL_MECHANISM", "KERBEROS"),
    (get_kafka_config, "KAFKA_OPTIONS", "[1]"),
    (get_kafka_config, "KAFKA_OPTIONS", "{"),
]


@pytest.mark.parametrize(("read", "variable", "text"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("prefix", ["TIDINGS", "MSIGHT"])
def test_a_malformed_variable_is_named(read: Any, variable: str, text: str, prefix: str) -> None:
    with pytest.raises(ConfigError, match=f"variable {prefix}_{variable} ") as caught:
        read(prefix=prefix, environ={f"{prefix}_{variable}": text})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


# For each kind of value one that it cannot be, as a value and as the text of a variable.
WRONG: dict[Any, tuple[Any, str | None]] = {
    TEXT: (7, None),
    PATH: (7, None),
    FLAG: ("true", "maybe"),
    SECONDS: (0, "0"),
    COUNT: (0.5, "0.5"),
    NUMBER: (-1, "-1"),
    SERVERS: ([""], "a,,b"),
}
KEYS = {"nats": NATS_KEYS, "redis": REDIS_KEYS, "kafka": KAFKA_KEYS, "memory": MEMORY_KEYS}
EVERY_KEY = [pytest.param(name, key, id=f"{name}-{key.name}") for name in KEYS for key in KEYS[name]]


@pytest.mark.parametrize(("system", "key"), EVERY_KEY)
def test_each_malformed_key_is_named(system: str, key: Key) -> None:
    value, _ = WRONG.get(key.kind, (object(), "nonsense"))
    backends = {"nats": NATSPubSub, "redis": RedisPubSub, "kafka": KafkaPubSub, "memory": MemoryPubSub}
    with pytest.raises(ConfigError, match=f"key '{key.name}' is "):
        backends[system]({key.name: value})


@pytest.mark.parametrize(("system", "key"), [each for each in EVERY_KEY if each.values[0] != "memory"])
def test_each_malformed_variable_is_named(system: str, key: Key) -> None:
    _, text = WRONG.get(key.kind, (object(), "nonsense"))
    variable = f"TIDINGS_{system.upper()}_{key.variable}"
    read = {"nats": get_nats_config, "redis": get_redis_config, "kafka": get_kafka_config}[system]
    if text is None:  # any text will do
        assert read(environ={variable: "any"})[key.name] == "any"
        return
    with pytest.raises(ConfigError, match=f"variable {variable} is "):
        read(environ={variable: text})


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e300])
def test_no_end_is_no_number_of_seconds(timeout: Any) -> None:
    with MemoryPubSub() as made:
        made.subscribe("a")
        for call in (made.flush, made.close):
            with pytest.raises(ConfigError, match="timeout"):
                call(timeout)
        assert not made.is_closed
        if timeout is not None:
            with pytest.raises(ConfigError, match="or None"):
                made.listen(timeout)


@pytest.mark.parametrize("backend", [NATSPubSub, RedisPubSub, KafkaPubSub])
@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"tls_ca_cert": "/not/there"}, "'tls_ca_cert': /not/there cannot be used: No such file"),
        ({"tls_ca_cert": "JUNK"}, "'tls_ca_cert': .*no good PEM"),
        ({"tls_cert": "/not/there"}, "'tls_cert'.*No such file"),
        ({"tls_cert": "JUNK", "tls_key": "JUNK"}, "'tls_cert'.*no good PEM"),
        ({"tls_cert": "CERT", "tls_key": "LOCKED"}, "'tls_cert'.*no good PEM"),
        ({"tls_key": "KEY"}, "'tls_key' goes with 'tls_cert'"),
    ],
    ids=range(6),
)
def test_a_file_of_tls_that_cannot_be_used(
    backend: Any, files: dict[str, str], named: str, tmp_path: Path
) -> None:
    made = Authority(tmp_path).issue("me")
    locked = Authority(tmp_path).issue("locked", password="sesame")  # OpenSSL would ask at the terminal
    (tmp_path / "junk").write_text("no PEM")
    places = {"JUNK": tmp_path / "junk", "CERT": made.cert, "KEY": made.key, "LOCKED": locked.key}
    place = {"url": "redis://h"} if backend is RedisPubSub else {"servers": "h"}
    with pytest.raises(ConfigError, match=named):
        backend({**place, **{key: str(places.get(file, file)) for key, file in files.items()}})


@pytest.mark.parametrize("keys", [NATS_KEYS, REDIS_KEYS, KAFKA_KEYS], ids=["nats", "redis", "kafka"])
def test_every_key_has_a_variable_of_its_own(keys: Any) -> None:
    assert len({key.variable for key in keys}) == len({key.name for key in keys}) == len(keys)
    assert {key.name for key in keys if "password" in key.name or "token" in key.name} <= {
        key.name for key in keys if key.is_secret
    }


class TestUrl:
    def test_nats(self, nats_url: str) -> None:
        with pubsub(f"{nats_url}?group_id=g&buffer_policy=drop_oldest", buffer_messages=5) as made:
            assert isinstance(made, NATSPubSub)
            assert made.group_id == "g"
            assert (made.queue.limits.messages, made.queue.limits.policy) == (5, "drop_oldest")

    def test_several_servers_of_one_scheme(self) -> None:
        with pytest.raises(ConnectError, match=r"tls://127\.0\.0\.1:1, tls://127\.0\.0\.1:2"):
            pubsub("tls://127.0.0.1:1,127.0.0.1:2")

    def test_the_variable(self, nats_url: str) -> None:
        environ = {"TIDINGS_PUBSUB_URL": nats_url, "TIDINGS_NATS_GROUP_ID": "from the environment"}
        with pubsub(environ={**environ, "TIDINGS_NATS_GROUP_ID": "env"}) as made:
            assert made.group_id == "env"

    def test_redis(self, redis_url: str) -> None:
        with pubsub(f"{redis_url}?streams=true&group_id=g") as made:
            assert isinstance(made, RedisPubSub)
            assert made.servers == [redis_url]

    def test_kafka(self, kafka_address: str) -> None:
        with pubsub(f"kafka://{kafka_address}") as made:
            assert made.servers == [kafka_address]

    def test_credentials_of_kafka_are_keys(self, kafka_address: str) -> None:
        with pubsub(f"kafka://ada:{SECRET}%40@{kafka_address}") as made:
            assert made.servers == [kafka_address]
            assert made._settings["password"] == f"{SECRET}@"
            assert SECRET not in f"{made!r} {made._settings!r}"

    def test_memory(self) -> None:
        with pubsub("memory://here") as made, pubsub("memory://") as default:
            assert isinstance(made, MemoryPubSub)
            assert (made.servers, default.servers) == (["memory://here"], ["memory://default"])

    @pytest.mark.parametrize(
        ("url", "named"),
        [
            (None, "TIDINGS_PUBSUB_URL"),
            ("", "no url"),
            (7, "no url"),
            ("localhost:4222", "url begins with one of"),
            ("amqp://h", "url begins with one of"),
            (f"nats://u:{SECRET}@[h", "cannot be read"),
            (f"nats://u:{SECRET}@h?sevrers=x", "'sevrers'"),
            (f"nats://u:{SECRET}@h?buffer_messages=many", "'buffer_messages'"),
            (f"redis://:{SECRET}@h:x", "'url'"),
            (f"nats://u:p#{SECRET}@h", "%23"),
            (f"nats://u:p?{SECRET}@h", "%3F"),
            (f"nats://u:p?x=1&{SECRET}@h", "%3F"),
            (f"nats://u:p/{SECRET}@h", "'servers'"),
            (f"nats://u:{SECRET}/x@h", "'servers'"),
            (f"kafka://u:{SECRET}/x@h", "'servers'"),
            (f"kafka://u@h?servers=u:{SECRET}@h", "'servers'"),
            ("memory://a/b", "nothing behind it"),
        ],
    )
    def test_a_url_that_names_nothing(self, url: Any, named: str) -> None:
        with pytest.raises(ConfigError, match=named) as caught:
            pubsub(url, environ={})
        assert SECRET not in str(caught.value)

    def test_a_variable_that_names_nothing(self) -> None:
        with pytest.raises(ConfigError, match="variable MSIGHT_PUBSUB_URL begins"):
            pubsub(prefix="MSIGHT", environ={"MSIGHT_PUBSUB_URL": "here"})
