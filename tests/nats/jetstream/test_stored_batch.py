from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tidings.nats import Msg, ProtocolError, TimeoutError, connect
from tidings.nats.jetstream import Stream, StreamConfig, StreamInfo
from tidings.nats.jetstream.errors import (
    ApiLevelError,
    ConfigError,
    JetStreamUnavailableError,
    TooManyResultsError,
)


@asynccontextmanager
async def stream_of(
    url: str, name: str, count: int, *, size: int = 1, subjects: int = 3, **config: Any
) -> AsyncIterator[Stream]:
    """A stream with messages 1 … on <name>.0, .1, .2, .0 …, deleted at the end."""
    async with await connect(url) as client:
        js = client.jetstream()
        config = {"allow_direct": True, "storage": "memory"} | config
        stream = await js.create_stream(name=name, subjects=[f"{name}.>"], **config)
        for number in range(count):  # the last one is acknowledged when all are stored
            send = client.publish if number < count - 1 else client.request
            await send(f"{name}.{number % subjects}", b"x" * size, headers={"N": str(number + 1)})
        yield stream
        await js.delete_stream(name)


async def sequences(messages: AsyncIterator[Any]) -> list[int]:
    return [message.seq async for message in messages]


class TestInARow:
    @pytest.mark.parametrize(
        ("batch", "which", "wanted"),
        [
            (3, {}, [1, 2, 3]),
            (10, {}, list(range(1, 11))),
            (1000, {}, list(range(1, 11))),
            (3, {"seq": 5}, [5, 6, 7]),
            (1, {"seq": 10}, [10]),
            (5, {"seq": 11}, []),
            (9, {"subject": "{name}.0"}, [1, 4, 7, 10]),
            (2, {"subject": "{name}.0", "seq": 2}, [4, 7]),
            (9, {"subject": "{name}.x"}, []),
            (2, {"start_time": datetime(2020, 1, 1, tzinfo=UTC)}, [1, 2]),
            (2, {"start_time": datetime(2200, 1, 1, tzinfo=UTC)}, []),
        ],
        ids=str,
    )
    async def test_which_and_how_many(
        self, nats_url: str, name: str, batch: int, which: dict[str, Any], wanted: list[int]
    ) -> None:
        arguments = {key: v.format(name=name) if isinstance(v, str) else v for key, v in which.items()}
        async with stream_of(nats_url, name, 10) as stream:
            assert await sequences(stream.get_batch(batch, **arguments)) == wanted

    async def test_more_than_a_page(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 1500) as stream:
            got = [message async for message in stream.get_batch(1400, seq=50)]
            assert [message.seq for message in got] == list(range(50, 1450))
            assert [message.headers["N"] for message in got] == [str(n) for n in range(50, 1450)]
            start = (await stream.get_msg(100)).time
            assert start is not None
            assert await sequences(stream.get_batch(9999, start_time=start)) == list(range(100, 1501))
            assert await sequences(stream.get_batch(9999, subject=f"{name}.1")) == list(range(2, 1501, 3))

    async def test_more_bytes_than_a_page(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 20, size=900_000) as stream:
            assert await sequences(stream.get_batch(100)) == list(range(1, 21))

    async def test_a_message_is_as_it_was_published(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 0) as stream:
            headers = {"K": ["v", "w"], "Nats-Sequence": "77", "Nats-Num-Pending": "5"}
            await stream.api.connection.request(f"{name}.a", b"data", headers=headers)
            (message,) = [message async for message in stream.get_batch(5)]
            assert message == await stream.get_msg(1, direct=False)
            assert (message.subject, message.seq, message.data) == (f"{name}.a", 1, b"data")
            assert message.headers.get_all("K") == ["v", "w"]
            assert message.headers["Nats-Sequence"] == "77"

    async def test_an_iteration_that_ends_early_leaves_nothing_behind(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 100) as stream:
            await sequences(stream.get_batch(1))
            subscriptions = stream.api.connection.registry
            before = len(subscriptions)
            async for message in stream.get_batch(100):
                if message.seq == 5:
                    break
            assert len(subscriptions) == before
            task = asyncio.ensure_future(sequences(stream.get_batch(100)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(subscriptions) == before

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({"batch": 0}, "batch is how many"),
            ({"batch": -1}, "batch is how many"),
            ({"batch": "5"}, "batch is how many"),
            ({"batch": 5, "seq": 0}, "seq is a sequence"),
            ({"batch": 5, "seq": 1, "start_time": datetime.now(UTC)}, "seq and start_time both"),
            ({"batch": 5, "start_time": datetime(2026, 1, 1)}, "no time zone"),
            ({"batch": 5, "subject": "a b"}, "subject"),
        ],
    )
    async def test_what_cannot_be(
        self, nats_url: str, name: str, arguments: dict[str, Any], text: str
    ) -> None:
        async with await connect(nats_url) as client:
            stream = Stream(client.jetstream().api, StreamInfo(config=StreamConfig(name=name)))
            with pytest.raises(ConfigError, match=text):
                stream.get_batch(**arguments)

    async def test_a_stream_that_does_not_allow_it(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 3, allow_direct=False) as stream:
            with pytest.raises(JetStreamUnavailableError):
                await sequences(stream.get_batch(3))
            with pytest.raises(JetStreamUnavailableError):
                await sequences(stream.get_last_msgs(["a"]))

    async def test_a_server_that_is_too_old(
        self, nats_url: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with stream_of(nats_url, name, 0) as stream:
            monkeypatch.setattr(type(stream.api.connection), "server_info", {"version": "2.10.0"})
            with pytest.raises(ApiLevelError, match="in batches needs JetStream API level 1"):
                stream.get_batch(5)
            with pytest.raises(ApiLevelError):
                stream.get_last_msgs(["a"])


class TestLastOfSubjects:
    @pytest.mark.parametrize(
        ("subjects", "more", "wanted"),
        [
            (["{name}.>"], {}, [8, 9, 10]),
            (["{name}.0", "{name}.1"], {}, [8, 10]),
            (["{name}.x"], {}, []),
            (["{name}.x", "{name}.2"], {}, [9]),
            (["{name}.>"], {"batch": 2}, [8, 9]),
            (["{name}.>"], {"up_to_seq": 5}, [3, 4, 5]),
            (["{name}.>"], {"up_to_time": datetime(2020, 1, 1, tzinfo=UTC)}, []),
            (["{name}.>"], {"up_to_time": datetime(2200, 1, 1, tzinfo=UTC)}, [8, 9, 10]),
        ],
        ids=str,
    )
    async def test_which(
        self, nats_url: str, name: str, subjects: list[str], more: dict[str, Any], wanted: list[int]
    ) -> None:
        async with stream_of(nats_url, name, 10) as stream:
            filled = [subject.format(name=name) for subject in subjects]
            assert await sequences(stream.get_last_msgs(filled, **more)) == wanted

    async def test_more_than_a_page_as_of_one_moment(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 1000, subjects=1000) as stream:
            got: list[int] = []
            async for message in stream.get_last_msgs([f"{name}.>"]):
                if not got:
                    for number in (700, 800):
                        await stream.api.connection.request(f"{name}.{number}", b"newer")
                got.append(message.seq)
            assert got == list(range(1, 1001))

    async def test_more_subjects_than_the_server_gives(self, nats_url: str, name: str) -> None:
        async with stream_of(nats_url, name, 1100, subjects=1100) as stream:
            with pytest.raises(TooManyResultsError, match="Too Many Results"):
                await sequences(stream.get_last_msgs([f"{name}.>"]))

    @pytest.mark.parametrize(
        ("subjects", "more", "text"),
        [
            ([], {}, "at least one"),
            ("a", {}, "a list of at least one"),
            (["a b"], {}, "subjects"),
            (["a"], {"batch": 0}, "batch is how many"),
            (["a"], {"up_to_seq": 0}, "up_to_seq is a sequence"),
            (["a"], {"up_to_seq": 1, "up_to_time": datetime.now(UTC)}, "both say as of when"),
            (["a"], {"up_to_time": datetime(2026, 1, 1)}, "no time zone"),
        ],
    )
    async def test_what_cannot_be(
        self, nats_url: str, name: str, subjects: Any, more: dict[str, Any], text: str
    ) -> None:
        async with await connect(nats_url) as client:
            stream = Stream(client.jetstream().api, StreamInfo(config=StreamConfig(name=name)))
            with pytest.raises(ConfigError, match=text):
                stream.get_last_msgs(subjects, **more)


class TestServersThatMisbehave:
    """Somebody else answers in the place of the stream."""

    @staticmethod
    @asynccontextmanager
    async def answered_by(
        url: str, name: str, answers: list[list[dict[str, str] | bytes]]
    ) -> AsyncIterator[Any]:
        turns = itertools.chain(answers, itertools.repeat([]))
        asked: list[dict[str, Any]] = []
        async with await connect(url) as server, await connect(url) as client:

            async def respond(request: Msg) -> None:
                asked.append(json.loads(request.data))
                for answer in next(turns):
                    if isinstance(answer, bytes):
                        await server.publish(request.reply, answer)
                    else:
                        await server.publish(request.reply, b"data", headers=answer)

            await server.subscribe(f"{name}.DIRECT.GET.>", cb=respond)
            await server.flush()
            api = client.jetstream(prefix=name, timeout=0.2).api
            yield Stream(api, StreamInfo(config=StreamConfig(name="S"))), asked

    @staticmethod
    def message(seq: int) -> dict[str, str]:
        return {
            "Nats-Stream": "S",
            "Nats-Subject": "s",
            "Nats-Sequence": str(seq),
            "Nats-Time-Stamp": "2026-01-01T00:00:00Z",
        }

    async def test_what_was_lost_on_the_way_is_asked_for_again(self, nats_url: str, name: str) -> None:
        answers: list[list[dict[str, str] | bytes]] = [[self.message(1), self.message(2)], [self.message(3)]]
        async with self.answered_by(nats_url, name, answers) as (stream, asked):
            batch = stream.get_batch(10)
            assert [(await anext(batch)).seq for _ in range(3)] == [1, 2, 3]
            with pytest.raises(TimeoutError):
                await anext(batch)
            assert [request["seq"] for request in asked] == [1, 3, 4]
            assert [request["batch"] for request in asked] == [10, 8, 7]

    async def test_silence_is_a_timeout(self, nats_url: str, name: str) -> None:
        async with self.answered_by(nats_url, name, []) as (stream, _):
            with pytest.raises(TimeoutError):
                await sequences(stream.get_batch(10, timeout=0.05))
            with pytest.raises(TimeoutError):
                await stream.get_msg(1, direct=True)

    @pytest.mark.parametrize("headers", [{"A": "b"}, {"Nats-Stream": "S", "Nats-Sequence": "x"}])
    async def test_a_message_without_its_sequence(
        self, nats_url: str, name: str, headers: dict[str, str]
    ) -> None:
        async with self.answered_by(nats_url, name, [[headers], [headers], [b"bare"]]) as (stream, _):
            with pytest.raises(ProtocolError, match="without its sequence"):
                await sequences(stream.get_batch(10))
            with pytest.raises(ProtocolError, match="without its sequence"):
                await stream.get_msg(1, direct=True)
            with pytest.raises(ProtocolError, match="without its sequence"):
                await stream.get_msg(1, direct=True)
