"""Object stores made, changed, opened, listed, deleted; domains, clusters; who may do little."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.nats.jetstream.object_store.storing import MANY, made, nothing_left_over
from tests.nats.jetstream.streaming import away
from tests.proxy import Proxy

from tidings.nats import connect
from tidings.nats.errors import PermissionsError
from tidings.nats.jetstream import ObjectStoreConfig, Placement
from tidings.nats.jetstream.errors import (
    ConfigError,
    InvalidConfigError,
    JetStreamUnavailableError,
    StreamNotFoundError,
)
from tidings.nats.jetstream.object_store.errors import (
    InvalidStoreNameError,
    ObjectStoreError,
    ObjectStoreExistsError,
    ObjectStoreNotFoundError,
)
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port


def test_the_stream_behind_it() -> None:
    config = ObjectStoreConfig(
        bucket="B",
        description="files",
        ttl=60,
        max_bytes=10_000_000,
        storage="memory",
        replicas=3,
        placement=Placement(cluster="c", tags=["t"]),
        compression=True,
        metadata={"owner": "me"},
    )
    stream = config.to_stream()
    assert (stream.name, stream.subjects) == ("OBJ_B", ["$O.B.C.>", "$O.B.M.>"])
    assert (stream.discard, stream.allow_rollup_hdrs, stream.allow_direct) == ("new", True, True)
    assert (stream.max_age, stream.max_bytes, stream.compression) == (60, 10_000_000, "s2")
    assert (stream.num_replicas, stream.placement) == (3, Placement(cluster="c", tags=["t"]))
    assert ObjectStoreConfig.of_stream(stream) == config


async def test_made_opened_changed_and_deleted(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        with pytest.raises(ObjectStoreNotFoundError, match=name):
            await js.object_store(name)
        with pytest.raises(ObjectStoreNotFoundError):
            await js.update_object_store(bucket=name)
        with pytest.raises(ObjectStoreNotFoundError):
            await js.delete_object_store(name)
        config = ObjectStoreConfig(bucket=name, storage="memory", description="one", metadata={"a": "b"})
        await js.create_object_store(config)
        store = await js.create_object_store(config)
        assert repr(store) == f"<ObjectStore {name!r}>"
        with pytest.raises(ObjectStoreExistsError, match=name):
            await js.create_object_store(replace(config, description="two"))
        await store.put("a", b"a")
        changed = await js.update_object_store(replace(config, description="two", ttl=60))
        status = await changed.status()
        assert (status.bucket, status.config.description, status.config.ttl) == (name, "two", 60)
        assert (status.is_sealed, status.is_compressed, status.backing_store) == (False, False, "JetStream")
        assert status.size > 0
        again = await js.create_or_update_object_store(config)
        assert (await again.status()).config.description == "one"
        assert await (await js.object_store(name)).get_bytes("a") == b"a"
        await js.delete_object_store(name)
        fresh = await js.create_or_update_object_store(bucket=name, compression=True)
        assert (await fresh.status()).is_compressed
        await js.delete_object_store(name)


async def test_all_are_listed_page_by_page(name: str) -> None:
    with NatsServer(durability="fast") as server:
        async with await connect(server.url) as client:
            js = client.jetstream()
            await js.create_stream(name="OTHER", subjects=["other"])
            buckets = [f"b{number:03}" for number in range(300)]
            for bucket in buckets:
                await js.create_object_store(bucket=bucket, storage="memory")
            assert sorted([each async for each in js.object_store_names()]) == buckets
            assert sorted([each.bucket async for each in js.object_stores()]) == buckets


@pytest.mark.parametrize("bad", ["", None, "a.b", "a b", "a*", "ä", "x" * 252, 5], ids=repr)
async def test_names_that_no_bucket_can_have(nats_url: str, bad: Any) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        sent = client.stats.out_msgs
        for call in (
            js.create_object_store(bucket=bad),
            js.update_object_store(bucket=bad),
            js.create_or_update_object_store(bucket=bad),
            js.object_store(bad),
            js.delete_object_store(bad),
        ):
            with pytest.raises(InvalidStoreNameError):
                await call
        assert client.stats.out_msgs == sent


@pytest.mark.parametrize(
    "fields",
    [{"max_bytes": 0}, {"max_bytes": "1"}, {"storage": "tape"}, {"replicas": 9}, {"nothing": 1}, {"ttl": -1}],
    ids=repr,
)
async def test_configs_that_cannot_be(nats_url: str, name: str, fields: dict[str, Any]) -> None:
    async with await connect(nats_url) as client:
        js = client.jetstream()
        with pytest.raises((ConfigError, InvalidConfigError)):
            await js.create_object_store(bucket=name, **fields)
        with pytest.raises(ConfigError):
            await js.create_object_store(ObjectStoreConfig(bucket=name), storage="memory")
        with pytest.raises(ConfigError):
            await js.create_object_store(name)  # type: ignore[arg-type]
        with pytest.raises(StreamNotFoundError):
            await js.stream(f"OBJ_{name}")


async def test_a_store_of_another_domain(tmp_path: Path) -> None:
    port = free_port()
    hub_config = (
        f"jetstream: {{ domain: hub, store_dir: '{tmp_path / 'hub'}' }}\n"
        f"leafnodes: {{ listen: '127.0.0.1:{port}', authorization: {{ user: l, password: p }} }}\n"
    )
    leaf_config = (
        f"jetstream: {{ domain: leaf, store_dir: '{tmp_path / 'leaf'}' }}\n"
        f"leafnodes: {{ remotes: [{{ url: 'nats://l:p@127.0.0.1:{port}' }}] }}\n"
    )
    with (
        NatsServer(durability="fast", config=hub_config) as hub,
        NatsServer(durability="fast", config=leaf_config) as leaf,
    ):
        async with await connect(leaf.url) as here, await connect(hub.url) as there:
            js = here.jetstream(domain="hub")
            while True:
                try:
                    await js.account_info()
                    break
                except JetStreamUnavailableError:
                    await here.flush()
            at_hub = await there.jetstream().create_object_store(bucket="B")
            store = await js.object_store("B")
            await store.put("a", MANY)
            await store.put("a", MANY[1:])
            await store.add_link("l", await store.get_info("a"))
            assert await at_hub.get_bytes("a") == MANY[1:]
            assert await store.get_bytes("l") == MANY[1:]
            await store.delete("l")
            await nothing_left_over(store)
            # The names of stores are not apart by domain: the server lets $O. through leaf nodes.
            await here.jetstream().create_object_store(bucket="B")
            with pytest.raises(ObjectStoreError, match="need different names"):
                await store.put("b", MANY, chunk_size=1000)


async def test_a_user_who_may_use_one_store_only() -> None:
    api = "$JS.API"
    allowed = [
        "$O.B.>",
        f"{api}.STREAM.INFO.OBJ_B",
        f"{api}.STREAM.MSG.GET.OBJ_B",
        f"{api}.STREAM.PURGE.OBJ_B",
        f"{api}.CONSUMER.CREATE.OBJ_B.>",
        f"{api}.CONSUMER.MSG.NEXT.OBJ_B.>",
        f"{api}.CONSUMER.DELETE.OBJ_B.>",
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
                await made(boss, bucket)
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
            store = await js.object_store("B")
            async with await store.watch() as watcher:
                assert await watcher.initial() == []
                await store.put("a", MANY)
                await store.put("a", MANY)
                async with proxy.away():
                    await away(client)
                await store.update_meta("a", new_name="b")
                names = [info.name for _ in range(4) if (info := await watcher.updates(timeout=20))]
                assert names == ["a", "a", "b", "a"]
            assert await store.get_bytes("b") == MANY
            await store.delete("b")
            await nothing_left_over(store)
            assert not [error for error in errors if isinstance(error, PermissionsError)]
            with pytest.raises(PermissionsError):
                await js.object_store("C")
            with pytest.raises(PermissionsError):
                await js.create_object_store(bucket="D")


def test_who_uses_streams_only_does_not_load_it() -> None:
    code = (
        "import sys, tidings.nats.jetstream as js\n"
        "assert not [n for n in sys.modules if '.object_store.' in n or n == 'hashlib']\n"
        "js.ObjectStore\n"
        "assert 'tidings.nats.jetstream.object_store' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=dict(os.environ))
