"""Dead letters in a stream: chosen, sent back, removed; none is lost, whatever breaks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.brokers.harness import Seen, soon
from tests.proxy import Proxy
from tidings import NoRespondersError, RejectMessage, SetupError
from tidings.brokers.nats import NatsBroker, NatsMessage
from tidings.brokers.nats.dead_letters import DeadLetters, Selection
from tidings.messaging.errors import BrokerConnectionError, PublishError, TidingsError
from tidings.nats import Client, connect
from tidings.nats.jetstream import JetStream, StreamConfig
from tidings.nats.server import NatsServer

ALL = Selection()


class Graveyard:
    """A stream of messages, one of dead letters, and what fails to handle the former."""

    def __init__(self, url: str, client: Client) -> None:
        self.url = url
        self.client = client
        self.js: JetStream = client.jetstream()
        self.name = f"T{os.urandom(6).hex()}"
        self.dead = f"{self.name}.dead"

    async def make(self) -> None:
        await self.js.create_stream(StreamConfig(name=self.name, subjects=[f"{self.name}.in.*"]))
        await self.js.create_stream(StreamConfig(name=f"{self.name}D", subjects=[self.dead]))

    async def letters(self, client: Client | None = None) -> DeadLetters:
        client = client or self.client
        return await DeadLetters.find(client, client.jetstream(), self.dead)

    async def numbers(self, selection: Selection = ALL) -> list[int]:
        letters = await self.letters()
        return [int(letter.stored.data) async for letter in letters.select(selection)]

    @asynccontextmanager
    async def service(
        self, seen: Seen[Any], *, fails: bool, stream: bool = True
    ) -> AsyncIterator[NatsBroker]:
        """Handles the messages, or fails to."""
        async with NatsBroker(self.url) as broker:
            of_stream = {"stream": self.name, "durable": "w"} if stream else {}

            @broker.subscriber(f"{self.name}.in.*", dead_letter=self.dead, **of_stream)
            async def handler(number: int, message: NatsMessage) -> None:
                seen.add((number, dict(message.headers)))
                if fails:
                    raise RejectMessage(f"number {number}")

            await broker.start()
            yield broker

    async def fill(self, count: int, *, stream: bool = True) -> None:
        """Have so many messages fail."""
        seen = Seen[Any]()
        async with self.service(seen, fails=True, stream=stream) as broker:
            for number in range(count):
                subject = f"{self.name}.in.{'even' if number % 2 == 0 else 'odd'}"
                headers = {"tenant": "a"}
                if stream:
                    await broker.publish(
                        number, subject, stream=self.name, headers=headers, msg_id=str(number)
                    )
                else:
                    await broker.publish(number, subject, headers=headers)
            await seen.until(count)


@asynccontextmanager
async def graveyard(url: str) -> AsyncIterator[Graveyard]:
    async with await connect(url) as client:
        made = Graveyard(url, client)
        await made.make()
        yield made


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        (ALL, [0, 1, 2, 3, 4]),
        (Selection(origin="*.in.odd"), [1, 3]),
        (Selection(origin=">", count=2), [0, 1]),
        (Selection(error="number 3"), [3]),
        (Selection(sequences=((2, 3), (5, None))), [1, 2, 4]),
        (Selection(sequences=((9, None),)), []),
        (Selection(origin="other"), []),
    ],
    ids=["all", "origin", "count", "error", "sequences", "behind", "none"],
)
async def test_which(nats_url: str, selection: Selection, numbers: list[int]) -> None:
    async with graveyard(nats_url) as yard:
        await yard.fill(5)
        assert await yard.numbers(selection) == numbers


async def test_what_a_letter_says(nats_url: str) -> None:
    async with graveyard(nats_url) as yard:
        await yard.fill(2)
        await yard.client.jetstream().publish(yard.dead, b"no dead letter")
        letters = await yard.letters()
        first, second = [letter async for letter in letters.select(ALL)]
        assert (first.sequence, second.sequence) == (1, 2)
        assert first.origin == f"{yard.name}.in.even"
        assert (first.origin_stream, first.origin_sequence) == (yard.name, "1")
        assert (first.attempts, first.error, first.replays) == ("1", "RejectMessage: number 0", 0)
        assert first.time.startswith("20")
        by_name = await DeadLetters.find(yard.client, yard.js, f"{yard.name}D")
        assert [letter.sequence async for letter in by_name.select(ALL)] == [1, 2]


async def test_a_stream_that_is_not_there(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        for where in ("NOT_THERE", "not.there", "a b"):
            with pytest.raises(TidingsError, match=where):
                await DeadLetters.find(client, client.jetstream(), where)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"origin": "a b"}, "origin"),
        ({"sequences": ((0, 1),)}, "sequences"),
        ({"sequences": ((3, 2),)}, "sequences"),
        ({"count": -1}, "count"),
    ],
    ids=["origin", "zero", "order", "count"],
)
def test_what_cannot_be_chosen(options: Any, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        Selection(**options)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "subject"])
async def test_a_replay_is_handled_and_the_letter_gone(nats_url: str, stream: bool) -> None:
    async with graveyard(nats_url) as yard:
        await yard.fill(3, stream=stream)
        seen = Seen[Any]()
        async with yard.service(seen, fails=False, stream=stream):
            letters = await yard.letters()
            async for letter in letters.select(ALL):
                await letters.replay(letter)
            await seen.until(3)
        assert [number for number, _ in seen] == [0, 1, 2]
        for _, headers in seen:
            assert headers["tenant"] == "a"
            assert [name for name in headers if name.startswith("dead-letter-")] == ["dead-letter-replays"]
            assert headers["dead-letter-replays"] == "1"
        assert await yard.numbers() == []


async def test_one_that_fails_again_is_a_letter_again_that_knows(nats_url: str) -> None:
    async with graveyard(nats_url) as yard:
        await yard.fill(1)
        async with yard.service(Seen[Any](), fails=True):
            letters = await yard.letters()
            async for letter in letters.select(ALL):  # ends, although they come back meanwhile
                await letters.replay(letter)

            async def is_back() -> list[Any]:
                return [letter async for letter in letters.select(ALL)]

            back: list[Any] = []
            while not back:
                back = await is_back()
        assert (back[0].replays, back[0].sequence, back[0].origin_sequence) == (1, 2, "2")


async def test_what_nobody_listens_to_stays(nats_url: str) -> None:
    async with graveyard(nats_url) as yard:
        await yard.js.delete_stream(yard.name)  # the subjects are nobody's then
        await yard.fill(2, stream=False)
        letters = await yard.letters()
        async for letter in letters.select(ALL):
            with pytest.raises(NoRespondersError):
                await letters.replay(letter)
        assert await yard.numbers() == [0, 1]


async def test_what_its_stream_does_not_take_stays(nats_url: str) -> None:
    async with graveyard(nats_url) as yard:
        await yard.fill(2)
        await yard.js.delete_stream(yard.name)
        letters = await yard.letters()
        async for letter in letters.select(ALL):
            with pytest.raises(TidingsError):
                await letters.replay(letter)
        assert await yard.numbers() == [0, 1]


async def test_what_we_may_not_publish_stays() -> None:
    users = """
        authorization { users: [
            {user: service, password: s}
            {user: clerk, password: s, permissions: {publish: {deny: ["*.in.*"]}}}
        ] }
    """
    with NatsServer(config=users, token=False, durability="fast") as server:
        url = f"nats://service:s@{server.host}:{server.port}"
        async with graveyard(url) as yard, await connect(url.replace("service", "clerk")) as clerk:
            await yard.js.delete_stream(yard.name)
            await yard.fill(1, stream=False)
            seen = Seen[Any]()
            async with yard.service(seen, fails=False, stream=False):
                letters = await yard.letters(clerk)
                async for letter in letters.select(ALL):
                    with pytest.raises(PublishError, match=r"[Pp]ermission"):
                        await letters.replay(letter)
            assert (seen, await yard.numbers()) == ([], [0])


async def test_broken_off_before_the_removal_it_is_sent_once(nats_url: str) -> None:
    """A stream knows what is replayed a second time as a duplicate."""
    async with graveyard(nats_url) as yard:
        await yard.fill(1)
        letters = await yard.letters()
        (letter,) = [letter async for letter in letters.select(ALL)]

        async def broken_off(letter: Any) -> None:
            raise BrokerConnectionError("cut")

        remove, letters.remove = letters.remove, broken_off  # type: ignore[method-assign]
        with pytest.raises(BrokerConnectionError):
            await letters.replay(letter)
        assert await yard.numbers() == [0]
        letters.remove = remove  # type: ignore[method-assign]
        await letters.replay(letter)
        assert await yard.numbers() == []
        info = await (await yard.js.stream(yard.name)).info()
        assert info.state.last_seq == 2  # the first one, and its replay


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "subject"])
async def test_a_connection_that_is_cut_loses_none(nats_url: str, stream: bool) -> None:
    async with graveyard(nats_url) as yard, Proxy(nats_url) as proxy:
        await yard.fill(20, stream=stream)
        seen = Seen[Any]()
        async with yard.service(seen, fails=False, stream=stream):
            for _ in range(3):
                with pytest.raises((TidingsError, AssertionError)):  # noqa: PT012
                    async with await connect(proxy.url, allow_reconnect=False) as client:
                        letters = await yard.letters(client)
                        number = 0
                        async for letter in letters.select(ALL):
                            await letters.replay(letter)
                            number += 1
                            if number == 3:
                                proxy.cut()
                        raise AssertionError("all are replayed")
            letters = await yard.letters()
            async for letter in letters.select(ALL):
                await letters.replay(letter)
            await soon(lambda: {number for number, _ in seen} == set(range(20)))
        assert await yard.numbers() == []


async def test_a_letter_removed_twice(nats_url: str) -> None:
    async with graveyard(nats_url) as yard:
        await yard.fill(2)
        letters = await yard.letters()
        first, _ = [letter async for letter in letters.select(ALL)]
        await letters.remove(first)
        await letters.remove(first)
        assert await yard.numbers() == [1]
