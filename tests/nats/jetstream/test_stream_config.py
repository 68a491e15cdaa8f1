from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.nats import connect
from tidings.nats.jetstream import (
    ConsumerLimits,
    External,
    Placement,
    Republish,
    SourceConsumer,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)
from tidings.nats.jetstream.errors import ApiLevelError, BadNameError, ConfigError, InvalidConfigError

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

# Every field with a value that the server takes and keeps, in configs that can be.
CONFIGS: dict[str, dict[str, Any]] = {
    "limits": {
        "description": "all of them",
        "max_consumers": 3,
        "max_msgs": 1000,
        "max_bytes": 1 << 20,
        "max_age": 3600.5,
        "max_msgs_per_subject": 5,
        "max_msg_size": 1024,
        "discard": "new",
        "discard_new_per_subject": True,
        "duplicate_window": 60.0,
        "compression": "s2",
        "first_seq": 7,
        "metadata": {"team": "a"},
        "consumer_limits": ConsumerLimits(inactive_threshold=10.0, max_ack_pending=20),
    },
    "flags": {
        "storage": "memory",
        "no_ack": True,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "allow_msg_ttl": True,
    },
    "rollup": {"allow_rollup_hdrs": True},
    "retention": {"retention": "workqueue", "num_replicas": 1},
    "atomic": {"allow_atomic": True, "retention": "interest"},
    "async": {"persist_mode": "async"},
    "batched": {"allow_batched": True},
    "counter": {"allow_msg_counter": True},
    "schedules": {"allow_msg_schedules": True},
    "markers": {"subject_delete_marker_ttl": 5.0, "max_age": 60.0},
    "transform": {
        "subject_transform": SubjectTransform(src="a.*", dest="b.{{wildcard(1)}}"),
        "republish": Republish(src="b.>", dest="again.>", headers_only=True),
    },
    "sources": {
        "sources": [
            StreamSource(name="ONE", opt_start_seq=5, filter_subject="one.*"),
            StreamSource(
                name="TWO",
                opt_start_time=START,
                subject_transforms=[SubjectTransform(src="two.*", dest="2.{{wildcard(1)}}")],
            ),
            StreamSource(name="THREE", external=External(api="$JS.other.API", deliver="deliver.other")),
            StreamSource(name="FOUR", consumer=SourceConsumer(name="c", deliver_subject="to.four")),
        ]
    },
    "mirror": {"mirror": StreamSource(name="ORIGIN"), "mirror_direct": True},
}
# What a lone server refuses or makes up itself, so that tests of their own show it.
ELSEWHERE = {"placement", "sealed", "template_owner", "name", "subjects", "extra", "server_metadata"}


def test_every_field_is_among_the_configs_tried() -> None:
    tried = {name for config in CONFIGS.values() for name in config}
    assert {item.name for item in fields(StreamConfig)} - ELSEWHERE == tried


@pytest.mark.parametrize("kind", CONFIGS)
async def test_the_server_takes_every_field_and_gives_it_back(nats_url: str, name: str, kind: str) -> None:
    subjects = [] if kind == "mirror" else [f"{name}.>"]
    config = StreamConfig(name=name, subjects=subjects, **CONFIGS[kind])
    async with await connect(nats_url) as client:
        js = client.jetstream()
        stream = await js.create_stream(config)
        there = stream.cached_info.config
        assert config.differences(there) == {}
        assert there == (await stream.info()).config
        assert not there.extra
        assert there.server_metadata["_nats.req.level"].isdecimal()
        assert not any(key.startswith("_nats") for key in there.metadata)
        # What it gives back can be sent as it is.
        if kind != "flags":
            assert (await js.update_stream(there)).cached_info.config == there
        await js.delete_stream(name)


@pytest.mark.parametrize("kind", CONFIGS)
async def test_the_level_of_a_config_is_what_the_server_says_at_least(
    nats_url: str, name: str, kind: str
) -> None:
    subjects = [] if kind == "mirror" else [f"{name}.>"]
    config = StreamConfig(name=name, subjects=subjects, **CONFIGS[kind])
    async with await connect(nats_url) as client:
        js = client.jetstream()
        there = (await js.create_stream(config)).cached_info.config
        assert config.needed_level >= int(there.server_metadata["_nats.req.level"])
        await js.delete_stream(name)


async def test_what_a_newer_server_would_have_sent_is_sent_back_on_update(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        config = (await js.create_stream(name=name, subjects=[name])).cached_info.config
        newer = replace(config, extra={"allow_telepathy": True})
        assert newer.to_wire()["allow_telepathy"] is True
        with pytest.raises(Exception, match="allow_telepathy"):  # so it was sent
            await js.update_stream(newer)
        await js.delete_stream(name)


async def test_a_field_of_a_newer_server_is_refused_before_it_is_sent(
    nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await connect(nats_url) as client:
        monkeypatch.setattr(type(client), "server_info", {"api_lvl": 1})
        before = client.stats.out_msgs
        with pytest.raises(ApiLevelError, match=r"allow_atomic needs JetStream API level 2.*offers 1"):
            await client.jetstream().create_stream(name=name, subjects=[name], allow_atomic=True)
        assert client.stats.out_msgs == before


BAD_CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name of a stream"),
    ({"name": None}, "name"),
    ({"name": "a.b"}, r"cannot have '\.'.*use - or _"),
    ({"name": "a b"}, "cannot have ' '"),
    ({"name": "a*"}, r"cannot have '\*'"),
    ({"name": "a>"}, "cannot have '>'"),
    ({"name": "a/b"}, "cannot have '/'"),
    ({"name": "a\\b"}, "cannot have"),
    ({"name": "a\nb"}, "cannot have"),
    ({"name": "x" * 256}, "longer than 255 bytes"),
    ({"subjects": ["a..b"]}, "empty token"),
    ({"subjects": ["a b"]}, "white space"),
    ({"subjects": ["a.>.b"]}, "last token"),
    ({"subjects": [""]}, "empty"),
    ({"subjects": "orders.*"}, "subjects is a list"),
    ({"retention": "forever"}, "retention is one of limits, interest, workqueue"),
    ({"storage": "disk"}, "storage is one of"),
    ({"discard": "oldest"}, "discard is one of"),
    ({"compression": "zip"}, "compression is one of"),
    ({"persist_mode": "sync"}, "persist_mode is one of"),
    ({"max_msgs": -2}, "max_msgs cannot be -2; -1 is no limit"),
    ({"max_bytes": -5}, "max_bytes"),
    ({"max_consumers": -3}, "max_consumers"),
    ({"max_msg_size": -3}, "max_msg_size"),
    ({"max_msgs_per_subject": -3}, "max_msgs_per_subject"),
    ({"max_msgs": "5"}, "max_msgs is int"),
    ({"first_seq": -1}, "first_seq"),
    ({"num_replicas": 0}, "num_replicas"),
    ({"num_replicas": 6}, "num_replicas is 1 to 5"),
    ({"max_age": -1}, "max_age"),
    ({"max_age": timedelta(seconds=-1)}, "max_age"),
    ({"max_age": "1h"}, "max_age is seconds or a timedelta"),
    ({"max_age": 10, "duplicate_window": 20}, "duplicate_window .* cannot exceed max_age"),
    ({"discard_new_per_subject": True}, "needs discard='new' and max_msgs_per_subject"),
    ({"discard_new_per_subject": True, "discard": "new"}, "max_msgs_per_subject"),
    ({"deny_purge": True, "allow_rollup_hdrs": True}, "allow_rollup_hdrs purges"),
    ({"metadata": {"_nats.ver": "1"}}, "are the server's"),
    ({"metadata": {"a": 1}}, "text by text"),
    ({"mirror": StreamSource(name="A"), "subjects": ["a"]}, "a mirror cannot have subjects"),
    ({"mirror": StreamSource(name="A"), "sources": [StreamSource(name="B")]}, "cannot have sources"),
    ({"mirror": StreamSource(name="A"), "first_seq": 5}, "cannot have first_seq"),
    ({"mirror": StreamSource(name="A"), "allow_atomic": True}, "cannot have allow_atomic"),
    ({"mirror": StreamSource(name="a.b")}, "cannot have"),
    ({"mirror": "A"}, "mirror is StreamSource"),
    ({"sources": ["A"]}, "each of sources is StreamSource"),
    ({"sources": [StreamSource(name="")]}, "name of a stream"),
    ({"sources": [StreamSource(name="A", opt_start_seq=-1)]}, "opt_start_seq"),
    (
        {"sources": [StreamSource(name="A", opt_start_seq=1, opt_start_time=START)]},
        "opt_start_seq and opt_start_time both say",
    ),
    ({"sources": [StreamSource(name="A", filter_subject="a b")]}, "filter_subject"),
    (
        {
            "sources": [
                StreamSource(name="A", filter_subject="a", subject_transforms=[SubjectTransform(src="a")])
            ]
        },
        "put filter_subject into",
    ),
    ({"sources": [StreamSource(name="A", subject_transforms=[SubjectTransform(src="..")])]}, "src"),
    ({"sources": [StreamSource(name="A", external=External())]}, "external.api is empty"),
    ({"sources": [StreamSource(name="A", external=External(api="a", deliver="b c"))]}, "external.deliver"),
    ({"sources": [StreamSource(name="A", consumer=SourceConsumer(name="c"))]}, "deliver_subject is empty"),
    ({"subject_transform": SubjectTransform(src="a b", dest="c")}, "subject_transform.src"),
    ({"republish": Republish(src="a")}, "republish.dest"),
    ({"republish": Republish(src="a..", dest="b")}, "republish.src"),
    ({"sealed": True}, "Stream.seal"),
]


@pytest.mark.parametrize(("given", "text"), BAD_CONFIGS, ids=[str(given) for given, _ in BAD_CONFIGS])
async def test_what_cannot_work_is_refused_before_a_byte_is_sent(
    nats_url: str, given: dict[str, Any], text: str
) -> None:
    async with await connect(nats_url) as client:
        before = client.stats.out_msgs
        with pytest.raises(ConfigError, match=text):
            await client.jetstream().create_stream(**{"name": "S"} | given)
        assert client.stats.out_msgs == before


async def test_what_only_the_server_can_tell_is_its_error(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        with pytest.raises(InvalidConfigError, match="replicas"):
            await js.create_stream(name=name, subjects=[name], num_replicas=3)
        with pytest.raises(InvalidConfigError, match="preferred"):
            await js.create_stream(name=name, subjects=[name], placement=Placement(preferred="n1"))


words = st.text("abcxyz019", min_size=1, max_size=8)
durations = st.none() | st.integers(1, 10**6) | st.floats(0.001, 10**6).map(lambda value: round(value, 6))
transforms = st.builds(SubjectTransform, src=words, dest=words)
sources = st.builds(
    StreamSource,
    name=words,
    opt_start_seq=st.integers(0, 2**63),
    opt_start_time=st.none() | st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),
    filter_subject=st.just("") | words,
    subject_transforms=st.lists(transforms, max_size=2),
    external=st.none() | st.builds(External, api=words, deliver=words),
    consumer=st.none() | st.builds(SourceConsumer, name=words, deliver_subject=words),
)


@given(
    st.builds(
        StreamConfig,
        name=words,
        subjects=st.lists(words, max_size=3),
        retention=st.sampled_from(["limits", "interest", "workqueue", "of a newer server"]),
        max_msgs=st.just(-1) | st.integers(1, 2**63 - 1),
        max_age=durations,
        duplicate_window=durations,
        num_replicas=st.integers(1, 5),
        placement=st.none() | st.builds(Placement, cluster=words, tags=st.lists(words, max_size=2)),
        mirror=st.none() | sources,
        sources=st.lists(sources, max_size=2),
        sealed=st.booleans(),
        persist_mode=st.sampled_from(["default", "async"]),
        republish=st.none() | st.builds(Republish, src=words, dest=words, headers_only=st.booleans()),
        consumer_limits=st.none() | st.builds(ConsumerLimits, max_ack_pending=st.integers(1, 99)),
        metadata=st.dictionaries(words, words, max_size=2),
        extra=st.dictionaries(words.map("x_{}".format), st.integers() | words, max_size=2),
    )
)
def test_what_is_sent_is_what_is_read(config: StreamConfig) -> None:
    wire = json.loads(json.dumps(config.to_wire()))
    assert StreamConfig.from_wire(wire) == config


def test_a_domain_is_an_external_api() -> None:
    assert External.in_domain("hub") == External(api="$JS.hub.API")
    with pytest.raises(BadNameError):
        External.in_domain("a.b")


def test_durations_are_given_as_they_come() -> None:
    config = StreamConfig(name="S", max_age=timedelta(days=1), duplicate_window=30)
    assert (config.max_age, config.duplicate_window) == (86400.0, 30.0)
    assert config.to_wire()["max_age"] == 86_400_000_000_000
