from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidings.nats import PermissionsError, connect
from tidings.nats.jetstream import ConsumerConfig, Stream
from tidings.nats.jetstream.errors import (
    BadRequestError,
    ConfigError,
    ConsumerExistsError,
    ConsumerNotFoundError,
    InvalidConfigError,
    StreamNotFoundError,
)
from tidings.nats.server import NatsServer


@asynccontextmanager
async def stream_of(url: str, name: str, messages: int = 5) -> AsyncIterator[Stream]:
    """A stream with a few messages, deleted at the end."""
    async with await connect(url) as client:
        js = client.jetstream()
        stream = await js.create_stream(name=name, subjects=[f"{name}.>"], storage="memory")
        for number in range(messages):
            await client.request(f"{name}.{number % 2}", b"x")
        yield stream
        await js.delete_stream(name)


class TestCreating:
    async def test_from_a_config_or_its_fields(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            consumer = await stream.create_consumer(ConsumerConfig(durable_name="w", max_deliver=3))
            assert (consumer.stream_name, consumer.name) == (name, "w")
            info = consumer.cached_info
            assert (info.num_pending, info.num_ack_pending, info.num_waiting) == (5, 0, 0)
            assert info.delivered.stream_seq == info.ack_floor.consumer_seq == 0
            assert info.created is not None
            assert not info.push_bound
            again = await stream.create_consumer(durable_name="w", max_deliver=3)
            assert again.cached_info.created == info.created

    async def test_one_without_a_name_gets_one(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            first, second = await stream.create_consumer(), await stream.create_consumer()
            assert first.name != second.name
            assert len(first.name) == 22
            assert not first.cached_info.config.durable_name

    async def test_a_name_with_another_config(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            await stream.create_consumer(durable_name="w")
            with pytest.raises(ConsumerExistsError):
                await stream.create_consumer(durable_name="w", max_deliver=3)

    async def test_a_stream_there_is_not(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(StreamNotFoundError):
                await client.jetstream().create_consumer(name, durable_name="w")

    async def test_one_filter_among_filter_subjects_is_a_filter_subject(
        self, nats_url: str, name: str
    ) -> None:
        async with stream_of(nats_url, name) as stream:
            for filters in ([f"{name}.0"], [f"{name}.*"]):
                consumer = await stream.create_consumer(filter_subjects=filters)
                assert consumer.cached_info.config.filters == filters

    async def test_a_user_who_may_read_one_subject(self) -> None:
        """The filter stands in the subject of the request, where permissions can see it."""
        config = """
        accounts: { A: { jetstream: enabled, users: [
          { user: admin, password: admin }
          { user: one, password: one, permissions: {
              publish: ["$JS.API.CONSUMER.CREATE.S.*.s.one"], subscribe: ["_INBOX.>"] } }
        ] } }
        """
        with NatsServer(token=False, durability="fast", config=config) as server:
            async with (
                await connect(server.url, user="admin", password="admin") as admin,
                await connect(server.url, user="one", password="one", error_cb=lambda error: None) as one,
            ):
                await admin.jetstream().create_stream(name="S", subjects=["s.*"])
                js = one.jetstream()
                await js.create_consumer("S", durable_name="w", filter_subject="s.one")
                for others in ({"filter_subject": "s.two"}, {"filter_subject": "s.*"}, {}):
                    with pytest.raises(PermissionsError):
                        await js.create_consumer("S", durable_name="x", **others)

    async def test_a_user_who_may_read_a_wildcard(self) -> None:
        config = """
        accounts: { A: { jetstream: enabled, users: [
          { user: admin, password: admin }
          { user: some, password: some, permissions: {
              publish: ["$JS.API.CONSUMER.CREATE.S.*.s.some.*"], subscribe: ["_INBOX.>"] } }
        ] } }
        """
        with NatsServer(token=False, durability="fast", config=config) as server:
            async with (
                await connect(server.url, user="admin", password="admin") as admin,
                await connect(server.url, user="some", password="some", skip_subject_validation=True) as some,
            ):
                await admin.jetstream().create_stream(name="S", subjects=["s.>"])
                consumer = await some.jetstream().create_consumer(
                    "S", durable_name="w", filter_subject="s.some.*"
                )
                assert consumer.cached_info.config.filter_subject == "s.some.*"


class TestUpdating:
    async def test_what_changes_is_replaced(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            config = (await stream.create_consumer(durable_name="w")).cached_info.config
            consumer = await stream.update_consumer(replace(config, max_deliver=9))
            assert consumer.cached_info.config == replace(config, max_deliver=9)

    async def test_a_change_that_is_not_possible(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            config = (await stream.create_consumer(durable_name="w")).cached_info.config
            with pytest.raises(InvalidConfigError, match="ack policy can not be updated"):
                await stream.update_consumer(replace(config, ack_policy="none"))

    async def test_one_there_is_not(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            with pytest.raises(ConsumerNotFoundError):
                await stream.update_consumer(durable_name="w")
            with pytest.raises(ConfigError, match="give the name"):
                await stream.update_consumer(max_deliver=5)

    async def test_create_or_update_does_either(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            made = await stream.create_or_update_consumer(durable_name="w")
            changed = await stream.create_or_update_consumer(durable_name="w", max_deliver=5)
            assert made.cached_info.created == changed.cached_info.created
            assert changed.cached_info.config.max_deliver == 5


class TestFinding:
    async def test_by_name(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            await stream.create_consumer(durable_name="w")
            assert (await stream.consumer("w")).name == "w"
            await stream.delete_consumer("w")
            for asking in (stream.consumer("w"), stream.delete_consumer("w"), stream.resume_consumer("w")):
                with pytest.raises(ConsumerNotFoundError):
                    await asking

    async def test_all_of_them_page_by_page(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            assert [info async for info in stream.consumers()] == []
            wanted = {f"c{number}" for number in range(300)}
            for each in wanted:
                await stream.create_consumer(name=each, mem_storage=True, inactive_threshold=60)
            assert {each async for each in stream.consumer_names()} == wanted
            assert {info.name async for info in stream.consumers()} == wanted
            assert (await stream.info()).state.consumer_count == 300

    async def test_the_context_does_the_same_by_name_of_the_stream(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            js = stream.api.connection.jetstream()  # type: ignore[attr-defined]
            await js.create_consumer(name, durable_name="w")
            await js.update_consumer(name, durable_name="w", max_deliver=5)
            await js.create_or_update_consumer(name, durable_name="w", max_deliver=6)
            assert (await js.consumer(name, "w")).cached_info.config.max_deliver == 6
            assert (await js.consumer_info(name, "w")).num_pending == 5
            assert [each async for each in js.consumer_names(name)] == ["w"]
            assert [info.name async for info in js.consumers(name)] == ["w"]
            assert (await js.pause_consumer(name, "w", 60)).paused
            assert not (await js.resume_consumer(name, "w")).paused
            assert (await js.reset_consumer(name, "w", 2)).reset_seq == 2
            await js.delete_consumer(name, "w")
            with pytest.raises(ConsumerNotFoundError):
                await js.consumer_info(name, "w")


class TestPausing:
    @pytest.mark.parametrize("until", [60, 60.0, timedelta(minutes=1), "time"])
    async def test_until_a_time_or_for_a_while(
        self, nats_url: str, name: str, until: float | timedelta | str
    ) -> None:
        async with stream_of(nats_url, name) as stream:
            await stream.create_consumer(durable_name="w")
            end = datetime.now(UTC) + timedelta(minutes=1)
            pause = await stream.pause_consumer("w", end if isinstance(until, str) else until)
            assert pause.paused
            assert pause.pause_until is not None
            assert abs(pause.pause_until - end) < timedelta(seconds=30)
            assert pause.pause_remaining is not None
            assert 30 < pause.pause_remaining <= 60
            info = await stream.consumer_info("w")
            assert info.paused
            assert info.pause_remaining is not None
            assert info.config.pause_until == pause.pause_until
            resumed = await stream.resume_consumer("w")
            assert (resumed.paused, resumed.pause_until, resumed.pause_remaining) == (False, None, None)
            assert not (await stream.consumer_info("w")).paused

    @pytest.mark.parametrize("until", [-1, "soon", datetime(2026, 1, 1), None, True])
    async def test_what_is_no_time(self, nats_url: str, name: str, until: Any) -> None:
        async with stream_of(nats_url, name) as stream:
            with pytest.raises(ConfigError, match="until"):
                await stream.pause_consumer("w", until)


class TestResetting:
    async def test_to_a_sequence_or_to_what_is_not_acknowledged(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            await stream.create_consumer(durable_name="w")
            reset = await stream.reset_consumer("w", 3)
            assert (reset.reset_seq, reset.num_pending, reset.name) == (3, 3, "w")
            assert (await stream.reset_consumer("w")).reset_seq == 3
            assert (await stream.consumer_info("w")).num_pending == 3

    async def test_what_cannot_be(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            await stream.create_consumer(
                durable_name="w", deliver_policy="by_start_sequence", opt_start_seq=3
            )
            with pytest.raises(BadRequestError, match="reset") as raised:
                await stream.reset_consumer("w", 1)
            assert raised.value.err_code == 10204
            for seq in (0, -1, "3", True):
                with pytest.raises(ConfigError, match="seq is a sequence number"):
                    await stream.reset_consumer("w", seq)  # type: ignore[arg-type]


class TestPriorityGroups:
    async def test_a_group_can_be_unpinned(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name) as stream:
            consumer = await stream.create_consumer(
                durable_name="w", priority_groups=["g"], priority_policy="pinned_client", priority_timeout=30
            )
            client = stream.api.connection
            await client.request(
                f"$JS.API.CONSUMER.MSG.NEXT.{name}.w", b'{"batch":1,"group":"g"}', 5.0, old_style=True
            )
            (group,) = (await stream.consumer_info("w")).priority_groups
            assert group.group == "g"
            assert group.pinned_client_id
            assert group.pinned_ts is not None
            await stream.unpin_consumer(consumer.name, "g")
            (group,) = (await stream.consumer_info("w")).priority_groups
            assert (group.pinned_client_id, group.pinned_ts) == ("", None)
            with pytest.raises(BadRequestError, match="priority group does not exist"):
                await stream.unpin_consumer("w", "x")
