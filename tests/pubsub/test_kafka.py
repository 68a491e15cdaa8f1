"""Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from tidings.pubsub import ConfigError, KafkaPubSub, MessageTooLargeError, TopicError

from .conformance import Conformance, Make


class TestKafka(Conformance):
    backend = "KafkaPubSub"
    settles = True

    @pytest.fixture
    def config(self, kafka_address: str) -> dict[str, Any]:
        return {"servers": [kafka_address], "connect_timeout": 20.0}

    def test_a_message_that_is_too_large(self, make: Make, topic: str) -> None:
        with pytest.raises(MessageTooLargeError, match="too large"):
            make().publish(topic, bytes(2_000_000))

    @pytest.mark.parametrize("bad", ["a b", "x" * 300, "a/b"])
    def test_a_name_that_kafka_does_not_take(self, make: Make, bad: str) -> None:
        with pytest.raises(TopicError):
            make().publish(bad, b"x")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "'servers' is missing"),
        ({"servers": [7]}, "'servers'"),
        ({"servers": "u:sesame@h"}, "'user' and 'password'"),
        ({"servers": "kafka://h"}, "host:port"),
        ({"servers": "h", "sasl_mechanism": "GSSAPI"}, "'sasl_mechanism'"),
        ({"servers": "h", "options": [1]}, "'options'"),
        ({"servers": "h", "options": {"no.such": 1}}, "no.such"),
        ({"servers": "h", "tls_ca_cert": "/not/there", "user": "u", "password": "sesame"}, "'tls_ca_cert'"),
        ({"servers": "h", "password": "sesame"}, "go with 'user'"),
        ({"servers": "h", "sasl_mechanism": "PLAIN"}, "go with 'user'"),
    ],
)
def test_a_config_that_cannot_work(config: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        KafkaPubSub(config)
    assert "sesame" not in str(caught.value)
