from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.identities import ACCOUNT_LIMITS, Key, Operator

from tidings.nats import connect
from tidings.nats.jetstream import AccountLimits, StreamConfig
from tidings.nats.jetstream.errors import (
    ApiError,
    BadNameError,
    ConfigError,
    InvalidConfigError,
    LimitError,
    StreamNameInUseError,
    StreamNotFoundError,
    SubjectsOverlapError,
)
from tidings.nats.server import NatsServer


class TestCreating:
    async def test_from_a_config_or_its_fields(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(StreamConfig(name=name, subjects=[f"{name}.*"]))
            assert (stream.name, stream.cached_info.did_create) == (name, True)
            again = await js.create_stream(name=name, subjects=[f"{name}.*"])
            assert again.cached_info.created == stream.cached_info.created
            await js.delete_stream(name)

    async def test_a_name_with_another_config_is_in_use(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            with pytest.raises(StreamNameInUseError) as raised:
                await js.create_stream(name=name, subjects=[name], max_msgs=5)
            assert raised.value.err_code == 10058
            await js.delete_stream(name)

    async def test_subjects_of_another_stream(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[f"{name}.>"])
            with pytest.raises(SubjectsOverlapError):
                await js.create_stream(name=f"{name}2", subjects=[f"{name}.a"])
            await js.delete_stream(name)

    async def test_a_config_and_fields_beside_it(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(ConfigError, match=r"max_msgs beside it: use dataclasses\.replace"):
                await client.jetstream().create_stream(StreamConfig(name="S"), max_msgs=5)

    @pytest.mark.parametrize("given", [{"name": "S", "max_messages": 5}, {}])
    async def test_a_field_there_is_not(self, nats_url: str, given: dict[str, Any]) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(ConfigError, match="max_messages" if given else "name"):
                await client.jetstream().create_stream(**given)


class TestUpdating:
    async def test_what_changes_is_replaced(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            config = (
                await js.create_stream(name=name, subjects=[name], metadata={"a": "b"})
            ).cached_info.config
            stream = await js.update_stream(replace(config, max_msgs=5, description="five"))
            assert (await stream.info()).config == replace(config, max_msgs=5, description="five")
            await js.delete_stream(name)

    async def test_a_change_that_is_not_possible(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            config = (await js.create_stream(name=name, subjects=[name])).cached_info.config
            with pytest.raises(InvalidConfigError, match="storage"):
                await js.update_stream(replace(config, storage="memory"))
            await js.delete_stream(name)

    async def test_a_stream_there_is_not(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(StreamNotFoundError):
                await client.jetstream().update_stream(name=name)

    async def test_create_or_update_does_either(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            made = await js.create_or_update_stream(name=name, subjects=[name])
            changed = await js.create_or_update_stream(name=name, subjects=[name], max_msgs=5)
            assert made.cached_info.created == changed.cached_info.created
            assert (await changed.info()).config.max_msgs == 5
            await js.delete_stream(name)


class TestFinding:
    async def test_by_name(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[name])
            assert (await js.stream(name)).cached_info.config.subjects == [name]
            await js.delete_stream(name)
            with pytest.raises(StreamNotFoundError):
                await js.stream(name)
            with pytest.raises(StreamNotFoundError):
                await js.delete_stream(name)

    @pytest.mark.parametrize("bad", ["a.b", "", "a b", "a*", ">", None])
    async def test_a_name_that_cannot_be_is_refused_before_it_is_sent(self, nats_url: str, bad: Any) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            before = client.stats.out_msgs
            for asking in (
                js.stream(bad),
                js.delete_stream(bad),
                js.consumer("S", bad),
                js.consumer(bad, "C"),
            ):
                with pytest.raises(BadNameError):
                    await asking
            assert client.stats.out_msgs == before

    async def test_by_subject(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await js.create_stream(name=name, subjects=[f"{name}.a.*"])
            await js.create_stream(name=f"{name}2", subjects=[f"{name}.b.*"])
            assert await js.find_stream(f"{name}.a.x") == name
            assert await js.find_stream(f"{name}.b.*") == f"{name}2"
            with pytest.raises(StreamNotFoundError, match="no stream takes messages on"):
                await js.find_stream(f"{name}.c")
            with pytest.raises(ConfigError, match="2 streams take messages on"):
                await js.find_stream(f"{name}.>")
            with pytest.raises(ConfigError, match="white space"):
                await js.find_stream("a b")
            await js.delete_stream(name)
            await js.delete_stream(f"{name}2")

    async def test_all_of_them_page_by_page(self) -> None:
        """The server gives 256 infos or 1024 names at a time."""
        with NatsServer(durability="fast") as server:
            async with await connect(server.url) as client:
                js = client.jetstream(timeout=20.0)
                assert [name async for name in js.stream_names()] == []
                wanted = {f"S{number}" for number in range(300)}
                for name in wanted:
                    await js.create_stream(name=name, subjects=[f"{name}.x"], storage="memory")
                assert {name async for name in js.stream_names()} == wanted
                infos = [info async for info in js.streams()]
                assert {info.config.name for info in infos} == wanted
                assert len(infos) == 300
                assert [info.config.name async for info in js.streams("S7.x")] == ["S7"]
                assert [name async for name in js.stream_names("*.y")] == []


class TestAccount:
    async def test_use_and_limits(self) -> None:
        config = (
            "accounts: { A: {\n"
            "  jetstream: { max_mem: 1MB, max_file: 2MB, max_streams: 2, max_consumers: 3,\n"
            "               max_ack_pending: 7, disk_max_stream_bytes: 1MB, max_bytes_required: true }\n"
            "  users: [{ user: a, password: a }]\n"
            "} }\n"
        )
        with NatsServer(token=False, durability="fast", config=config) as server:
            async with await connect(server.url, user="a", password="a") as client:
                js = client.jetstream()
                with pytest.raises(InvalidConfigError, match="max bytes"):
                    await js.create_stream(name="S", subjects=["s"])
                await js.create_stream(name="S", subjects=["s"], max_bytes=1000)
                await js.create_stream(name="T", subjects=["t"], max_bytes=1000)
                with pytest.raises(LimitError, match="maximum number of streams"):
                    await js.create_stream(name="U", subjects=["u"], max_bytes=1000)
                await js.publish("s", b"x" * 100)
                info = await js.account_info()
                assert info.limits == AccountLimits(
                    max_memory=2**20,
                    max_storage=2**21,
                    max_streams=2,
                    max_consumers=3,
                    max_ack_pending=7,
                    memory_max_stream_bytes=-1,
                    storage_max_stream_bytes=2**20,
                    max_bytes_required=True,
                )
                assert (info.streams, info.consumers, info.memory) == (2, 0, 0)
                assert info.storage > 100
                assert info.reserved_storage == 2000
                assert info.tiers == {}
                assert info.domain == ""
                assert info.api.level == js.api.level
                assert info.api.errors == 2
                assert info.api.total > 2
                with pytest.raises(ApiError):
                    await js.create_stream(name="S", subjects=["s"], max_bytes=2**22)

    async def test_tiers(self) -> None:
        """An operator can limit an account by the number of replicas."""
        limits = {"mem_storage": 1000, "disk_storage": 2000, "streams": 3, "consumer": 4}
        operator = Operator(ACCOUNT_LIMITS | {"tiered_limits": {"R1": limits, "R3": limits}})
        key = Key()
        with NatsServer(token=False, durability="fast", config=operator.config) as server:
            async with await connect(
                server.url, nkeys_seed_str=key.seed, user_jwt_cb=lambda: operator.user(key)
            ) as client:
                js = client.jetstream()
                await js.create_stream(name="S", subjects=["s"], max_bytes=1000)
                tiers = (await js.account_info()).tiers
                assert tiers["R1"].streams == 1
                assert tiers["R1"].reserved_storage == 1000
                assert tiers["R1"].limits.max_streams == 3
                assert tiers["R1"].limits.max_storage == 2000
                assert tiers["R3"].streams == 0
