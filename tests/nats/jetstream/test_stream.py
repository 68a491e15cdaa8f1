from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidings.nats import Client, Msg, connect
from tidings.nats.jetstream import (
    JetStream,
    Republish,
    Stream,
    StreamConfig,
    StreamInfo,
    StreamSource,
    SubjectTransform,
)
from tidings.nats.jetstream.errors import (
    ApiError,
    ConfigError,
    JetStreamUnavailableError,
    MessageNotFoundError,
    StreamNotFoundError,
    StreamSealedError,
)


async def filled(client: Client, name: str, count: int = 10, **config: Any) -> Stream:
    """A stream with messages 1 … on the subjects <name>.0, .1, .2, .0 …"""
    config = {"name": name, "subjects": [f"{name}.>"], "storage": "memory"} | config
    stream = await client.jetstream().create_stream(**config)
    for number in range(count):  # the last one is acknowledged when all are stored
        send = client.publish if number < count - 1 else client.request
        await send(f"{name}.{number % 3}", str(number + 1).encode())
    return stream


async def until_messages(js: JetStream, name: str, count: int) -> StreamInfo:
    """What a mirror or a stream with sources tells once it holds `count` messages."""
    while True:
        info = await (await js.stream(name)).info()
        if info.state.messages >= count:
            return info
        await asyncio.sleep(0)


class TestInfo:
    async def test_the_state(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name)
            assert stream.cached_info.state.messages == 0
            assert stream.cached_info.state.first_ts is None
            info = await stream.info()
            assert stream.cached_info is info
            state = info.state
            assert (state.messages, state.first_seq, state.last_seq) == (10, 1, 10)
            assert (state.num_subjects, state.consumer_count, state.num_deleted) == (3, 0, 0)
            assert state.bytes > 10
            assert state.first_ts is not None
            assert state.last_ts is not None
            assert state.first_ts <= state.last_ts
            assert info.created is not None
            assert info.ts is not None
            assert abs(datetime.now(UTC) - info.ts) < timedelta(minutes=1)
            assert (state.subjects, state.deleted, state.lost) == ({}, [], None)
            await client.jetstream().delete_stream(name)
            with pytest.raises(StreamNotFoundError):
                await stream.info()

    async def test_deleted_messages_and_subjects_are_told_where_asked_for(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name)
            for seq in (3, 5):
                await stream.delete_msg(seq)
            info = await stream.info(deleted_details=True, subjects_filter=f"{name}.*")
            assert info.state.num_deleted == 2
            assert info.state.deleted == [3, 5]
            assert info.state.subjects == {f"{name}.0": 4, f"{name}.1": 2, f"{name}.2": 2}
            assert (await stream.info(subjects_filter=f"{name}.0")).state.subjects == {f"{name}.0": 4}
            assert (await stream.info(subjects_filter="other")).state.subjects == {}
            with pytest.raises(ConfigError, match="subjects_filter"):
                await stream.info(subjects_filter="a b")
            await client.jetstream().delete_stream(name)

    async def test_more_subjects_than_the_server_gives_at_once(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream(timeout=30.0)
            stream = await js.create_stream(name=name, subjects=[f"{name}.>"], storage="memory", no_ack=True)
            count = 100_500
            for number in range(count):
                await client.publish(f"{name}.{number}")
                if number % 20_000 == 0:  # the server drops what exceeds its queue
                    await until_messages(js, name, number + 1)
            await until_messages(js, name, count)
            subjects = (await stream.info(subjects_filter=">")).state.subjects
            assert len(subjects) == count
            assert set(subjects.values()) == {1}
            await js.delete_stream(name)


class TestPurging:
    @pytest.mark.parametrize(
        ("what", "purged", "left"),
        [
            ({}, 10, []),
            ({"keep": 3}, 7, [8, 9, 10]),
            ({"keep": 0}, 10, []),
            ({"seq": 4}, 3, [4, 5, 6, 7, 8, 9, 10]),
            ({"subject": "{name}.0"}, 4, [2, 3, 5, 6, 8, 9]),
            ({"subject": "{name}.0", "keep": 1}, 3, [2, 3, 5, 6, 8, 9, 10]),
            ({"subject": "{name}.0", "seq": 7}, 2, [2, 3, 5, 6, 7, 8, 9, 10]),
            ({"subject": "nobody"}, 0, list(range(1, 11))),
        ],
        ids=str,
    )
    async def test_what_is_purged_and_how_much(
        self, nats_url: str, name: str, what: dict[str, Any], purged: int, left: list[int]
    ) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, allow_direct=True)
            arguments = {key: v.format(name=name) if isinstance(v, str) else v for key, v in what.items()}
            assert await stream.purge(**arguments) == purged
            assert [message.seq async for message in stream.get_batch(100)] == left
            await client.jetstream().delete_stream(name)

    @pytest.mark.parametrize(
        ("what", "text"),
        [
            ({"seq": 3, "keep": 2}, "seq and keep both say"),
            ({"seq": 0}, "seq is a sequence number from 1 on"),
            ({"seq": -1}, "seq"),
            ({"keep": -1}, "keep"),
            ({"keep": True}, "keep"),
            ({"subject": "a..b"}, "empty token"),
        ],
    )
    async def test_what_cannot_be(self, nats_url: str, name: str, what: dict[str, Any], text: str) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, 1)
            with pytest.raises(ConfigError, match=text):
                await stream.purge(**what)
            assert (await stream.info()).state.messages == 1
            await client.jetstream().delete_stream(name)

    async def test_a_stream_that_denies_it(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, 1, deny_purge=True, deny_delete=True)
            with pytest.raises(ApiError, match="purge"):
                await stream.purge()
            with pytest.raises(ApiError, match="delete"):
                await stream.delete_msg(1)
            await client.jetstream().delete_stream(name)


class TestSealing:
    async def test_nothing_changes_any_more(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, 3)
            info = await stream.seal()
            assert info.config.sealed
            assert stream.cached_info.config.sealed
            with pytest.raises(StreamSealedError):
                await stream.delete_msg(1)
            with pytest.raises(ApiError):
                await stream.purge()
            reply = await client.request(f"{name}.0", b"x", 5.0)
            assert b"10109" in reply.data
            with pytest.raises(ApiError, match="sealed"):
                await client.jetstream().update_stream(replace(info.config, sealed=False))
            assert (await stream.get_msg(2)).data == b"2"
            await client.jetstream().delete_stream(name)


@pytest.mark.parametrize("direct", [False, True, None])
@pytest.mark.parametrize("allowed", [True, False])
class TestGettingOne:
    async def test_each_way_of_saying_which(
        self, nats_url: str, name: str, direct: bool | None, allowed: bool
    ) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, allow_direct=allowed)
            headers = {"K": ["v", "w"], "Nats-Stream": "mine"}
            await client.request(f"{name}.0", b"\x00\xff", headers=headers)
            if direct and not allowed:
                with pytest.raises(JetStreamUnavailableError):
                    await stream.get_msg(1, direct=True)
                await client.jetstream().delete_stream(name)
                return
            message = await stream.get_msg(4, direct=direct)
            assert (message.stream, message.subject, message.seq, message.data) == (
                name,
                f"{name}.0",
                4,
                b"4",
            )
            assert not message.headers
            assert message.time is not None
            assert abs(datetime.now(UTC) - message.time) < timedelta(minutes=1)
            last = await stream.get_msg(last_by_subject=f"{name}.0", direct=direct)
            assert (last.seq, last.data) == (11, b"\x00\xff")
            assert last.headers.pairs() == [("K", "v"), ("K", "w"), ("Nats-Stream", "mine")]
            assert (await stream.get_msg(last_by_subject=f"{name}.*", direct=direct)).seq == 11
            assert (await stream.get_msg(next_by_subject=(4, f"{name}.2"), direct=direct)).seq == 6
            assert (await stream.get_msg(next_by_subject=(4, f"{name}.>"), direct=direct)).seq == 4
            await client.jetstream().delete_stream(name)

    async def test_what_is_not_there(
        self, nats_url: str, name: str, direct: bool | None, allowed: bool
    ) -> None:
        if direct and not allowed:
            return
        async with await connect(nats_url) as client:
            stream = await filled(client, name, allow_direct=allowed)
            for which in (
                {"seq": 99},
                {"last_by_subject": f"{name}.x"},
                {"last_by_subject": f"{name}.x.>"},
                {"next_by_subject": (99, f"{name}.0")},
            ):
                with pytest.raises(MessageNotFoundError) as raised:
                    await stream.get_msg(**which, direct=direct)  # type: ignore[arg-type]
                assert (raised.value.code, raised.value.err_code) == (404, 10037)
            await client.jetstream().delete_stream(name)


class TestGettingOneElsewhere:
    @pytest.mark.parametrize(
        ("which", "text"),
        [
            ({}, "give one of seq"),
            ({"seq": 1, "last_by_subject": "a"}, "give one of seq"),
            ({"seq": 0}, "seq is a sequence number from 1 on"),
            ({"seq": -1}, "seq"),
            ({"seq": "1"}, "seq"),
            ({"seq": 2**64}, "seq"),
            ({"last_by_subject": "a b"}, "last_by_subject"),
            ({"last_by_subject": ""}, "last_by_subject"),
            ({"next_by_subject": "a"}, "a sequence and a subject"),
            ({"next_by_subject": (1, "a", 2)}, "a sequence and a subject"),
            ({"next_by_subject": (0, "a")}, "next_by_subject is a sequence number"),
            ({"next_by_subject": (1, "..")}, "next_by_subject"),
        ],
    )
    async def test_what_says_nothing_is_refused(
        self, nats_url: str, name: str, which: dict[str, Any], text: str
    ) -> None:
        async with await connect(nats_url) as client:
            stream = Stream(client.jetstream().api, StreamInfo(config=StreamConfig(name=name)))
            before = client.stats.out_msgs
            with pytest.raises(ConfigError, match=text):
                await stream.get_msg(**which)
            assert client.stats.out_msgs == before

    async def test_a_stream_that_no_longer_allows_direct_access_is_asked_the_other_way(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, allow_direct=True)
            assert stream.cached_info.config.allow_direct
            js = client.jetstream()
            await js.update_stream(replace(stream.cached_info.config, allow_direct=False))
            assert (await stream.get_msg(3)).data == b"3"
            await js.delete_stream(name)
            with pytest.raises(StreamNotFoundError):
                await stream.get_msg(3)


class TestDeletingMessages:
    @pytest.mark.parametrize("erase", [True, False])
    @pytest.mark.parametrize("storage", ["file", "memory"])
    async def test_it_is_gone(self, nats_url: str, name: str, erase: bool, storage: str) -> None:
        async with await connect(nats_url) as client:
            stream = await filled(client, name, storage=storage)
            await stream.delete_msg(4, erase=erase)
            with pytest.raises(MessageNotFoundError):
                await stream.get_msg(4)
            with pytest.raises(MessageNotFoundError):
                await stream.delete_msg(4, erase=erase)
            with pytest.raises(ConfigError, match="seq"):
                await stream.delete_msg(0)
            await client.jetstream().delete_stream(name)


class TestWhereMessagesComeFrom:
    async def test_a_mirror(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await filled(client, name, 10, allow_direct=True)
            mirror = await js.create_stream(
                name=f"{name}M",
                mirror=StreamSource(name=name, opt_start_seq=6),
                mirror_direct=True,
                storage="memory",
            )
            info = await until_messages(js, mirror.name, 5)
            assert info.mirror is not None
            assert (info.mirror.name, info.mirror.lag, info.mirror.error) == (name, 0, {})
            assert (info.state.first_seq, info.state.last_seq) == (6, 10)
            assert (await mirror.get_msg(7)).data == b"7"
            await js.delete_stream(mirror.name)
            await js.delete_stream(name)

    async def test_sources_with_transforms(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            await filled(client, f"{name}A", 9)
            await filled(client, f"{name}B", 9)
            transform = SubjectTransform(src=f"{name}A.0", dest=f"{name}.zero")
            stream = await js.create_stream(
                name=name,
                storage="memory",
                sources=[
                    StreamSource(name=f"{name}A", subject_transforms=[transform]),
                    StreamSource(name=f"{name}B", filter_subject=f"{name}B.1"),
                ],
            )
            info = await until_messages(js, name, 6)
            sources = {source.name: source for source in info.sources}
            assert sources.keys() == {f"{name}A", f"{name}B"}
            assert sources[f"{name}A"].subject_transforms == [transform]
            assert sources[f"{name}B"].filter_subject == f"{name}B.1"
            assert all(source.lag == 0 for source in info.sources)
            assert (await stream.info(subjects_filter=">")).state.subjects == {
                f"{name}.zero": 3,
                f"{name}B.1": 3,
            }
            for each in (name, f"{name}A", f"{name}B"):
                await js.delete_stream(each)

    async def test_a_mirror_of_what_there_is_not_says_so(self, nats_url: str, name: str) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            mirror = await js.create_stream(name=name, mirror=StreamSource(name=f"{name}X"))
            info = await mirror.info()
            assert info.mirror is not None
            assert info.mirror.active is None
            await js.delete_stream(name)

    async def test_subjects_are_transformed_and_what_is_stored_is_published_again(
        self, nats_url: str, name: str
    ) -> None:
        async with await connect(nats_url) as client:
            js = client.jetstream()
            stream = await js.create_stream(
                name=name,
                subjects=[f"{name}.in.*"],
                subject_transform=SubjectTransform(
                    src=f"{name}.in.*", dest=f"{name}.out.{{{{wildcard(1)}}}}"
                ),
                republish=Republish(
                    src=f"{name}.out.*", dest=f"{name}again.{{{{wildcard(1)}}}}", headers_only=True
                ),
            )
            again: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
            await client.subscribe(f"{name}again.>", cb=again.set_result)
            await client.publish(f"{name}.in.x", b"payload")
            message = await asyncio.wait_for(again, 10)
            assert message.data == b""
            assert message.headers["Nats-Msg-Size"] == "7"
            assert message.headers["Nats-Subject"] == f"{name}.out.x"
            assert (await stream.get_msg(1)).subject == f"{name}.out.x"
            await js.delete_stream(name)
