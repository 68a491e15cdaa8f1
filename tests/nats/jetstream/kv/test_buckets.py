"""Buckets made, changed, opened, listed, deleted; mirrors, sources, domains; who may do little."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.proxy import Proxy

from tidings.nats import Client, connect
from tidings.nats.errors import PermissionsError
from tidings.nats.jetstream import (
    External,
    KeyValueConfig,
    Placement,
    Republish,
    StreamSource,
    SubjectTransform,
)
from tidings.nats.jetstream.errors import ApiLevelError, ConfigError, JetStreamUnavailableError
from tidings.nats.jetstream.kv import KeyValue
from tidings.nats.jetstream.kv.errors import (
    BucketExistsError,
    BucketNotFoundError,
    InvalidBucketNameError,
    KeyNotFoundError,
)
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port

BAD_BUCKETS: list[Any] = ["", "a.b", "a b", "a*", ">", "ä", "a\n", "$x", "a/b", "x" * 253, None, b"b", 1]


@pytest.mark.parametrize("bucket", BAD_BUCKETS, ids=lambda value: repr(value)[:12])
async def test_names_that_cannot_be_are_refused_before_they_are_sent(nats_url: str, bucket: Any) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        sent = client.stats.out_msgs
        for attempt in (
            js.create_key_value(bucket=bucket),
            js.update_key_value(bucket=bucket),
            js.create_or_update_key_value(bucket=bucket),
            js.key_value(bucket),
            js.delete_key_value(bucket),
        ):
            with pytest.raises(InvalidBucketNameError):
                await attempt
        with pytest.raises(InvalidBucketNameError):
            await js.create_key_value(bucket="b", mirror="a.b")
        assert client.stats.out_msgs == sent


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"history": 0}, "1 to 64"),
        ({"history": 65}, "1 to 64"),
        ({"history": "5"}, "1 to 64"),
        ({"max_value_size": 0}, "max_value_size"),
        ({"max_bytes": -2}, "max_bytes"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": "1h"}, "ttl"),
        ({"limit_marker_ttl": 0.5}, "limit_marker_ttl"),
        ({"replicas": 9}, "num_replicas"),
        ({"storage": "disk"}, "storage"),
        ({"mirror": "a", "sources": ["b"]}, "mirror"),
        ({"mirror": 5}, "mirror"),
        ({"sources": "a"}, "sources"),
        ({"sources": [5]}, "source"),
        ({"metadata": {"_nats.x": "1"}}, "_nats"),
        ({"histroy": 5}, "histroy"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_configs_that_cannot_work(nats_url: str, fields: dict[str, Any], text: str) -> None:
    async with await connect(nats_url) as client:
        sent = client.stats.out_msgs
        with pytest.raises(ConfigError, match=text):
            await client.jetstream().create_key_value(bucket="b", **fields)
        assert client.stats.out_msgs == sent


async def test_what_is_no_config(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        with pytest.raises(ConfigError, match="beside it"):
            await js.create_key_value(KeyValueConfig(bucket="b"), history=5)
        with pytest.raises(ConfigError, match="KeyValueConfig"):
            await js.create_key_value("b")  # type: ignore[arg-type]


async def test_the_stream_behind_it(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(
            bucket=name,
            description="d",
            max_value_size=100,
            history=5,
            ttl=60,
            max_bytes=10_000,
            storage="file",
            republish=Republish(src=">", dest=f"{name}.>"),
            compression=True,
            metadata={"a": "b"},
            limit_marker_ttl=30,
        )
        config = (await kv.status()).stream_info.config
        assert (config.name, config.subjects) == (f"KV_{name}", [f"$KV.{name}.>"])
        assert (config.max_msgs_per_subject, config.discard, config.max_msg_size) == (5, "new", 100)
        assert (config.max_age, config.duplicate_window, config.max_bytes) == (60.0, 60.0, 10_000)
        assert config.allow_rollup_hdrs
        assert config.deny_delete
        assert config.allow_direct
        assert not config.deny_purge
        assert (config.allow_msg_ttl, config.subject_delete_marker_ttl) == (True, 30.0)
        assert (config.compression, config.metadata, config.description) == ("s2", {"a": "b"}, "d")
        assert config.republish == Republish(src=">", dest=f"{name}.>")


async def test_a_bucket_without_wishes(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(bucket=name)
        config = (await kv.status()).stream_info.config
        assert (config.max_msgs_per_subject, config.duplicate_window) == (1, 120.0)
        assert not config.allow_msg_ttl
        assert (await kv.status()).config == KeyValueConfig(bucket=name)
        assert repr(kv) == f"<KeyValue {name!r}>"


async def test_create_update_and_both(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        config = KeyValueConfig(bucket=name, storage="memory")
        with pytest.raises(BucketNotFoundError, match=name):
            await js.update_key_value(config)
        kv = await js.create_or_update_key_value(config)
        await kv.put("a", b"1")
        await js.create_key_value(config)  # as good as there
        with pytest.raises(BucketExistsError, match=name):
            await js.create_key_value(replace(config, history=5))
        assert (await kv.status()).history == 1
        kv = await js.update_key_value(replace(config, history=5))
        assert (await kv.status()).history == 5
        kv = await js.create_or_update_key_value(replace(config, history=6, limit_marker_ttl=10))
        assert ((await kv.status()).history, (await kv.status()).limit_marker_ttl) == (6, 10.0)
        assert (await kv.get("a")).value == b"1"


async def test_an_update_leaves_what_is_no_matter_of_buckets(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await js.create_key_value(bucket=name, storage="memory")
        there = (await kv.status()).stream_info.config
        await js.update_stream(replace(there, max_consumers=there.max_consumers, max_msgs=77))
        kv = await js.update_key_value(bucket=name, storage="memory", history=3)
        config = (await kv.status()).stream_info.config
        assert (config.max_msgs, config.max_msgs_per_subject) == (77, 3)


async def test_open_and_delete(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        for attempt in (js.key_value(name), js.delete_key_value(name)):
            with pytest.raises(BucketNotFoundError, match=name):
                await attempt
        await js.create_key_value(bucket=name, storage="memory")
        await (await js.key_value(name)).put("a", b"1")
        assert (await (await js.key_value(name)).get("a")).revision == 1
        await js.delete_key_value(name)
        with pytest.raises(BucketNotFoundError):
            await js.key_value(name)
        await js.create_stream(name=f"KV_{name}", subjects=[name], storage="memory")
        with pytest.raises(BucketNotFoundError, match="takes nothing"):
            await js.key_value(name)


async def test_all_of_them() -> None:
    with NatsServer(durability="fast") as server:
        async with await connect(server.url) as client:
            js = client.jetstream()
            assert [name async for name in js.key_value_names()] == []
            await js.create_stream(name="OTHER", subjects=["x"])
            await js.create_stream(name="NOT_A_BUCKET", subjects=["$KV.x.y.z"])
            wanted = sorted(f"B{number}" for number in range(300))  # more than a page of infos
            for name in wanted:
                await js.create_key_value(bucket=name, storage="memory")
            assert sorted([name async for name in js.key_value_names()]) == wanted
            assert sorted([status.bucket async for status in js.key_value_stores()]) == wanted


# Copies


async def until_there(kv: KeyValue, key: str) -> bytes:
    while True:
        try:
            return (await kv.get(key)).value
        except KeyNotFoundError:
            await kv.js.api.connection.flush()  # its round trip is the pause


async def test_a_mirror(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        origin = await js.create_key_value(bucket=name, storage="memory", history=3)
        await origin.put("a.b", b"1")
        mirror = await js.create_key_value(bucket=f"{name}-copy", storage="memory", history=3, mirror=name)
        assert (await mirror.status()).config.mirror == StreamSource(name=f"KV_{name}")
        assert await until_there(mirror, "a.b") == b"1"
        async with await mirror.watch() as watcher:
            assert [entry.key for entry in await watcher.initial()] == ["a.b"]
            revision = await mirror.put("c", b"2")  # goes to the origin, and comes back
            entry = await watcher.updates()
            assert entry is not None
            assert (entry.key, entry.value, entry.revision) == ("c", b"2", revision)
        assert (await origin.get("c")).revision == revision
        assert await mirror.keys() == ["a.b", "c"]
        assert (await (await js.key_value(f"{name}-copy")).history("c"))[0].key == "c"


async def test_sources(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        first = await js.create_key_value(bucket=f"{name}1", storage="memory")
        second = await js.create_key_value(bucket=f"{name}2", storage="memory")
        await first.put("one", b"1")
        await second.put("two.x", b"2")
        await second.put("three", b"3")
        moved = SubjectTransform(src=f"$KV.{name}2.two.>", dest=f"$KV.{name}.2.>")
        source = StreamSource(name=f"{name}2", subject_transforms=[moved])
        kv = await js.create_key_value(bucket=name, storage="memory", sources=[f"{name}1", source])
        assert await until_there(kv, "one") == b"1"
        assert await until_there(kv, "2.x") == b"2"
        await kv.put("own", b"4")
        assert sorted(await kv.keys()) == ["2.x", "one", "own"]


# Domains


@asynccontextmanager
async def leaf_and_hub(folder: Path) -> AsyncIterator[tuple[Client, Client]]:
    """Clients of a server of the domain leaf, and of the hub that it is connected to."""
    port = free_port()
    hub_config = (
        f"jetstream: {{ domain: hub, store_dir: '{folder / 'hub'}' }}\n"
        f"leafnodes: {{ listen: '127.0.0.1:{port}', authorization: {{ user: l, password: p }} }}\n"
    )
    leaf_config = (
        f"jetstream: {{ domain: leaf, store_dir: '{folder / 'leaf'}' }}\n"
        f"leafnodes: {{ remotes: [{{ url: 'nats://l:p@127.0.0.1:{port}' }}] }}\n"
    )
    with (
        NatsServer(durability="fast", config=hub_config) as hub,
        NatsServer(durability="fast", config=leaf_config) as leaf,
    ):
        async with await connect(leaf.url) as here, await connect(hub.url) as there:
            while True:
                try:
                    await here.jetstream(domain="hub").account_info()
                    break
                except JetStreamUnavailableError:
                    await here.flush()
            yield here, there


async def test_a_bucket_of_another_domain(tmp_path: Path) -> None:
    async with leaf_and_hub(tmp_path) as (here, there):
        at_hub = await there.jetstream().create_key_value(bucket="B", history=5)
        # Of the same name here, so that what goes astray is seen.
        local = await here.jetstream().create_key_value(bucket="B")
        kv = await here.jetstream(domain="hub").key_value("B")
        await kv.put("a", b"1")
        assert await kv.create("b", b"2") == 2
        await kv.update("a", b"3", 1)
        async with await kv.watch() as watcher:
            assert [entry.value for entry in await watcher.initial()] == [b"2", b"3"]
            await kv.delete("b")
            entry = await watcher.updates()
            assert entry is not None
            assert entry.operation == "DEL"
        assert (await at_hub.get("a")).value == b"3"
        assert await kv.keys() == ["a"]
        assert await local.keys() == []


async def test_a_mirror_of_another_domain(tmp_path: Path) -> None:
    async with leaf_and_hub(tmp_path) as (here, there):
        at_hub = await there.jetstream().create_key_value(bucket="B")
        await at_hub.put("a", b"1")
        source = StreamSource(name="B", external=External.in_domain("hub"))
        mirror = await here.jetstream().create_key_value(bucket="COPY", mirror=source)
        assert await until_there(mirror, "a") == b"1"
        await mirror.put("b", b"2")
        assert (await at_hub.get("b")).value == b"2"
        assert await until_there(mirror, "b") == b"2"
        sourced = await here.jetstream().create_key_value(bucket="B", sources=[source])
        assert await until_there(sourced, "a") == b"1"


# Who may do little


async def test_a_user_who_may_use_one_bucket_only() -> None:
    api = "$JS.API"
    allowed = [
        "$KV.B.>",
        f"{api}.STREAM.INFO.KV_B",
        f"{api}.STREAM.MSG.GET.KV_B",
        f"{api}.STREAM.PURGE.KV_B",
        f"{api}.DIRECT.GET.KV_B",
        f"{api}.DIRECT.GET.KV_B.>",
        f"{api}.CONSUMER.CREATE.KV_B.>",
        f"{api}.CONSUMER.MSG.NEXT.KV_B.>",
        f"{api}.CONSUMER.DELETE.KV_B.>",
    ]
    listed = ", ".join(f'"{each}"' for each in allowed)
    config = f"""
    accounts: {{ A: {{ jetstream: enabled, users: [
      {{ user: boss, password: p }},
      {{ user: one, password: p, permissions: {{ publish: [{listed}], subscribe: ["_MINE.>"] }} }}
    ] }} }}
    """
    errors: list[Exception] = []
    with NatsServer(token=False, durability="fast", config=config) as server:
        async with await connect(server.url, user="boss", password="p") as boss:
            for bucket in ("B", "C"):
                await boss.jetstream().create_key_value(bucket=bucket, history=5, storage="memory")
        async with (
            Proxy(server.url) as proxy,
            await connect(
                proxy.url,
                user="one",
                password="p",
                inbox_prefix="_MINE",
                error_cb=errors.append,
                reconnect_time_wait=0.01,
            ) as client,
        ):
            js = client.jetstream(timeout=2.0)
            kv = await js.key_value("B")
            assert await kv.put("a", b"1") == 1
            assert await kv.create("b", b"2") == 2
            await kv.update("a", b"3", 1)
            await kv.delete("b")
            await kv.create("b", b"5")
            assert (await kv.get("a")).value == b"3"
            assert (await kv.get("a", 1)).value == b"1"
            assert await kv.keys() == ["a", "b"]
            assert len(await kv.history("b")) == 3
            async with await kv.watch() as watcher:
                await watcher.initial()
                proxy.cut()
                async with await connect(server.url, user="boss", password="p") as boss:
                    await (await boss.jetstream().key_value("B")).purge("a")
                entry = await watcher.updates(timeout=20)
                assert entry is not None
                assert entry.operation == "PURGE"
            await kv.purge_deletes(0)
            assert (await kv.status()).stream_info.state.consumer_count == 0
            assert not [error for error in errors if isinstance(error, PermissionsError)]
            with pytest.raises(PermissionsError):
                await js.key_value("C")
            with pytest.raises(PermissionsError):
                await js.create_key_value(bucket="D")


async def test_a_server_that_is_too_old(nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        kv = await js.create_key_value(bucket=name, storage="memory")
        monkeypatch.setattr(type(client), "server_info", {"api_lvl": 0, "version": "2.10"})
        with pytest.raises(ApiLevelError):
            await js.create_key_value(bucket=f"{name}x", limit_marker_ttl=5)
        with pytest.raises(ApiLevelError):
            await kv.create("a", b"", ttl=5)


async def test_a_place_that_no_server_is(nats_url: str, name: str) -> None:
    config = KeyValueConfig(bucket=name, placement=Placement(tags=["moon"]))
    assert config.to_stream().placement == Placement(tags=["moon"])


def test_who_uses_streams_only_does_not_load_it() -> None:
    code = (
        "import sys, tidings.nats.jetstream as js\n"
        "assert not [n for n in sys.modules if '.kv' in n or n == 'pydantic']\n"
        "js.KeyValue\n"
        "assert 'tidings.nats.jetstream.kv' in sys.modules and 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=dict(os.environ))
