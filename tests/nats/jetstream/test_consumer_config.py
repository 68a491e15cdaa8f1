from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidings.nats import connect
from tidings.nats.jetstream import ConsumerConfig
from tidings.nats.jetstream.errors import ApiLevelError, ConfigError, InvalidConfigError

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2200, 1, 1, tzinfo=UTC)

# Every field with a value that the server takes and keeps, in configs that can be.
CONFIGS: dict[str, dict[str, Any]] = {
    "pull": {
        "durable_name": "w",
        "description": "reads",
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": 5,
        "ack_policy": "all",
        "ack_wait": 12.5,
        "max_deliver": 7,
        "sample_freq": "50%",
        "max_waiting": 9,
        "max_ack_pending": 11,
        "max_batch": 13,
        "max_expires": 15.0,
        "max_bytes": 1 << 16,
        "inactive_threshold": 60.0,
        "num_replicas": 1,
        "mem_storage": True,
        "metadata": {"team": "a"},
    },
    "time": {"name": "t", "deliver_policy": "by_start_time", "opt_start_time": START, "headers_only": True},
    "backoff": {"durable_name": "b", "backoff": [1.0, 2.5, 60.0], "max_deliver": 3},
    "filter": {"durable_name": "f", "filter_subject": "{name}.a.*", "replay_policy": "original"},
    "filters": {"durable_name": "fs", "filter_subjects": ["{name}.a", "{name}.b.>"]},
    "last": {"durable_name": "l", "deliver_policy": "last_per_subject", "filter_subject": "{name}.>"},
    "push": {
        "durable_name": "p",
        "deliver_subject": "to.{name}",
        "deliver_group": "q",
        "flow_control": True,
        "idle_heartbeat": 5.0,
        "rate_limit_bps": 100_000,
    },
    "flow_control": {
        "durable_name": "fc",
        "ack_policy": "flow_control",
        "deliver_subject": "to.{name}",
        "flow_control": True,
        "idle_heartbeat": 1.0,  # the server takes no other with it
        "max_ack_pending": 100,
    },
    "paused": {"durable_name": "pa", "pause_until": LATER},
    "pinned": {
        "durable_name": "pi",
        "priority_groups": ["A"],
        "priority_policy": "pinned_client",
        "priority_timeout": 30.0,
    },
    "overflow": {"durable_name": "o", "priority_groups": ["A", "B"], "priority_policy": "overflow"},
    "prioritized": {"durable_name": "pr", "priority_groups": ["A"], "priority_policy": "prioritized"},
    "none": {"durable_name": "n", "ack_policy": "none", "deliver_policy": "new"},
}


def config_of(kind: str, name: str) -> ConsumerConfig:
    """A config of the table, for a stream of that name."""
    values = CONFIGS[kind]
    filled = {
        key: value.format(name=name)
        if isinstance(value, str)
        else [item.format(name=name) if isinstance(item, str) else item for item in value]
        if isinstance(value, list)
        else value
        for key, value in values.items()
    }
    return ConsumerConfig(**filled)


def test_every_field_is_among_the_configs_tried() -> None:
    tried = {name for config in CONFIGS.values() for name in config}
    assert {item.name for item in fields(ConsumerConfig)} - {"extra", "server_metadata"} == tried


@pytest.mark.parametrize("kind", CONFIGS)
async def test_the_server_takes_every_field_and_gives_it_back(nats_url: str, name: str, kind: str) -> None:
    config = config_of(kind, name)
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[f"{name}.>"])
        consumer = await js.create_consumer(name, config)
        there = consumer.cached_info.config
        assert config.differences(there) == {}
        assert not there.extra
        assert there == (await js.consumer_info(name, consumer.name)).config
        # The server says less of prioritized than its own release notes: older ones refuse the word.
        assert config.needed_level >= int(there.server_metadata["_nats.req.level"])
        again = await js.update_consumer(name, there)
        assert again.cached_info.config == there
        await js.delete_stream(name)


async def test_a_field_of_a_newer_server_is_refused_before_it_is_sent(
    nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        monkeypatch.setattr(type(client), "server_info", {"api_lvl": 1})
        before = client.stats.out_msgs
        with pytest.raises(ApiLevelError, match="priority_policy needs JetStream API level 2"):
            await js.create_consumer(name, config_of("prioritized", name))
        monkeypatch.setattr(type(client), "server_info", {"version": "2.10.0"})
        with pytest.raises(ApiLevelError, match="pause_until needs JetStream API level 1"):
            await js.create_consumer(name, config_of("paused", name))
        with pytest.raises(ApiLevelError, match="resetting"):
            await js.reset_consumer(name, "w")
        with pytest.raises(ApiLevelError, match="pausing"):
            await js.pause_consumer(name, "w", 5)
        with pytest.raises(ApiLevelError, match="unpinning"):
            await js.unpin_consumer(name, "w", "g")
        assert client.stats.out_msgs == before


async def test_what_a_newer_server_would_have_sent_is_sent_back_on_update(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[name])
        config = (await js.create_consumer(name, durable_name="w")).cached_info.config
        with pytest.raises(Exception, match="telepathy"):
            await js.update_consumer(name, replace(config, extra={"telepathy": True}))
        await js.delete_stream(name)


PUSH = {"deliver_subject": "to.me"}
BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a.b"}, r"cannot have '\.'"),
    ({"durable_name": "a b"}, "cannot have ' '"),
    ({"durable_name": "a>"}, "cannot have"),
    ({"durable_name": "x" * 300}, "longer than"),
    ({"name": "a", "durable_name": "b"}, "differ; give one"),
    ({"deliver_policy": "first"}, "deliver_policy is one of all, last"),
    ({"ack_policy": "auto"}, "ack_policy is one of"),
    ({"replay_policy": "slow"}, "replay_policy is one of"),
    ({"priority_policy": "vip"}, "priority_policy is one of"),
    ({"max_deliver": -2}, "max_deliver cannot be -2; -1 is no limit"),
    ({"max_ack_pending": -2}, "max_ack_pending"),
    ({"max_waiting": -1}, "max_waiting cannot be -1"),
    ({"max_batch": -1}, "max_batch"),
    ({"max_bytes": -1}, "max_bytes"),
    ({"num_replicas": -1}, "num_replicas"),
    ({"ack_wait": -1}, "ack_wait"),
    ({"ack_wait": timedelta(seconds=-1)}, "ack_wait"),
    ({"backoff": [1, -1]}, "backoff"),
    ({"max_deliver": "5"}, "max_deliver is int"),
    ({"filter_subject": "a", "filter_subjects": ["b"]}, "put all into filter_subjects"),
    ({"filter_subject": "a b"}, "filter_subject.*white space"),
    ({"filter_subjects": "a"}, "filter_subjects is a list"),
    ({"filter_subjects": ["a", ""]}, "filter_subject is empty"),
    ({"opt_start_seq": 5}, "by_start_sequence' and opt_start_seq go together"),
    ({"deliver_policy": "by_start_sequence"}, "go together"),
    ({"deliver_policy": "by_start_time"}, "go together"),
    ({"opt_start_time": START}, "go together"),
    ({"opt_start_time": datetime(2026, 1, 1)}, "has no time zone"),
    ({"opt_start_time": "2026-01-01"}, "opt_start_time is a datetime"),
    ({"pause_until": datetime(2026, 1, 1)}, "pause_until has no time zone"),
    ({"deliver_policy": "last_per_subject"}, "needs a filter_subject; '>' is all"),
    ({"flow_control": True}, "flow_control is for push"),
    ({"idle_heartbeat": 5}, "idle_heartbeat is for push"),
    ({"deliver_group": "q"}, "deliver_group is for push"),
    ({"rate_limit_bps": 5}, "rate_limit_bps is for push"),
    (PUSH | {"deliver_subject": "to.*"}, "deliver_subject 'to.*' has a wildcard"),
    (PUSH | {"max_waiting": 5}, "max_waiting is for pull"),
    (PUSH | {"max_batch": 5}, "max_batch is for pull"),
    (PUSH | {"max_expires": 5}, "max_expires is for pull"),
    (PUSH | {"max_bytes": 5}, "max_bytes is for pull"),
    (PUSH | {"priority_groups": ["a"], "priority_policy": "overflow"}, "priority_groups is for pull"),
    (PUSH | {"flow_control": True}, "needs idle_heartbeat"),
    (PUSH | {"idle_heartbeat": 0.05}, r"at least 0\.1 s"),
    ({"priority_policy": "overflow"}, "go together"),
    ({"priority_groups": ["a"]}, "go together"),
    ({"priority_groups": ["a b"], "priority_policy": "overflow"}, "a priority group is 1 to 16"),
    ({"priority_groups": ["x" * 17], "priority_policy": "overflow"}, "a priority group is 1 to 16"),
    (
        {"priority_groups": ["a"], "priority_policy": "overflow", "priority_timeout": 5},
        "priority_timeout is for priority_policy='pinned_client'",
    ),
    ({"backoff": [1, 2, 3], "max_deliver": 2}, "less than the 3 of backoff"),
    ({"ack_policy": "flow_control"}, "needs deliver_subject"),
    (
        PUSH
        | {
            "ack_policy": "flow_control",
            "flow_control": True,
            "idle_heartbeat": 5,
            "max_ack_pending": 5,
            "ack_wait": 5,
        },
        "goes without ack_wait",
    ),
    ({"metadata": {"_nats.x": ""}}, "are the server's"),
    ({"wrong_name": 5}, "wrong_name"),
]


@pytest.mark.parametrize(("given", "text"), BAD_CONFIGS, ids=[str(given) for given, _ in BAD_CONFIGS])
async def test_what_cannot_work_is_refused_before_a_byte_is_sent(
    nats_url: str, given: dict[str, Any], text: str
) -> None:
    async with await connect(nats_url) as client:
        before = client.stats.out_msgs
        with pytest.raises(ConfigError, match=text):
            await client.jetstream().create_consumer("S", **given)
        assert client.stats.out_msgs == before


async def test_what_only_the_server_can_tell_is_its_error(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        await js.create_stream(name=name, subjects=[f"{name}.>"])
        with pytest.raises(InvalidConfigError, match="overlap"):
            await js.create_consumer(name, filter_subjects=[f"{name}.>", f"{name}.a"])
        with pytest.raises(InvalidConfigError, match="cycle"):
            await js.create_consumer(name, deliver_subject=f"{name}.a")
        await js.delete_stream(name)
