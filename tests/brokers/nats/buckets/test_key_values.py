"""Subscribers to the keys of a bucket, and buckets of a broker."""

import asyncio
import logging
import os
from typing import Any

import pytest
from pydantic import BaseModel

from tidings.brokers.nats import KvWatch, NatsBroker, NatsKeyMessage, NatsMessage
from tidings.messaging.batch import Batch
from tidings.messaging.errors import NotConnectedError, SetupError
from tidings.messaging.params import Context, Path
from tidings.nats import connect
from tidings.nats.jetstream import KeyValueConfig, KeyValueEntry
from tidings.nats.jetstream.kv import Base64Keys

LIMIT = 20.0  # seconds


class Price(BaseModel):
    cents: int


class Seen:
    """What handlers were given so far."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._news = asyncio.Event()

    def add(self, item: Any) -> None:
        self.items.append(item)
        self._news.set()

    async def reach(self, count: int) -> list[Any]:
        """Wait for so many."""
        async with asyncio.timeout(LIMIT):
            while len(self.items) < count:
                self._news.clear()
                await self._news.wait()
        return self.items


@pytest.fixture
def name() -> str:
    return f"T{os.urandom(6).hex()}"


def config(name: str, **fields: Any) -> KeyValueConfig:
    return KeyValueConfig(bucket=name, storage="memory", **fields)


async def started(url: str, *args: Any, **options: Any) -> None:
    broker = NatsBroker(url)

    @broker.subscriber(*args, **options)
    async def handler(x: bytes) -> None: ...

    async with broker:
        await broker.start()


async def test_values_first_then_changes_and_deletions(nats_url: str, name: str) -> None:
    broker, seen = NatsBroker(nats_url), Seen()

    @broker.subscriber("prices.{symbol}", kv_watch=KvWatch(config(name)))
    async def handler(
        price: Price | None,
        entry: KeyValueEntry[bytes],
        message: NatsKeyMessage,
        symbol: str = Path(),
        revision: int = Context("message.revision"),
    ) -> None:
        assert message.raw is entry
        assert (message.key, message.bucket, message.subject) == (entry.key, name, entry.key)
        assert message.is_deleted == (price is None)
        seen.add((symbol, price and price.cents, entry.operation, revision))

    async with broker:
        prices = (await broker.key_value(config(name))).typed(Price)
        await prices.put("prices.abc", Price(cents=1))
        await prices.put("other", Price(cents=9))
        await broker.start()
        await seen.reach(1)
        await prices.put("prices.abc", Price(cents=2))
        await seen.reach(2)  # before the deletion takes its place in the bucket
        await prices.delete("prices.abc")
        assert await seen.reach(3) == [
            ("abc", 1, "PUT", 1),
            ("abc", 2, "PUT", 3),
            ("abc", None, "DEL", 4),
        ]


async def test_the_whole_bucket_by_its_name(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(config(name))
        await kv.put("a", b"1")
        broker, seen = NatsBroker(nats_url), Seen()

        @broker.subscriber(kv_watch=name)
        async def raw(value: bytes) -> None:
            seen.add(value)

        @broker.subscriber("a", kv_watch=name)
        async def one(value: int, message: NatsMessage) -> None:
            seen.add((message.channel, value))

        async with broker:
            await broker.start()
            assert sorted(await seen.reach(2), key=repr) == [("a", 1), b"1"]
            await kv.put("b.c", b"2")
            assert (await seen.reach(3))[2] == b"2"
        assert (await kv.status()).stream_info.state.consumer_count == 0


async def test_options_of_a_watch(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        kv = await client.jetstream().create_key_value(config(name, history=5), key_codec=Base64Keys())
        await kv.put("the first", b"1")
        await kv.put("the first", b"2")
        await kv.delete("the first")
        broker, history, updates = NatsBroker(nats_url), Seen(), Seen()

        @broker.subscriber(
            kv_watch=KvWatch(name, include_history=True, ignore_deletes=True, key_codec=Base64Keys())
        )
        async def all_of_it(value: int, key: str = Context("message.key")) -> None:
            history.add((key, value))

        @broker.subscriber(kv_watch=KvWatch(name, updates_only=True))
        async def new(value: int) -> None:
            updates.add(value)

        async with broker:
            await broker.start()
            await kv.put("more", b"3")  # when `start` returned it is not missed
            assert await history.reach(3) == [("the first", 1), ("the first", 2), ("more", 3)]
            assert await updates.reach(1) == [3]


async def test_a_failure_does_not_end_it(nats_url: str, name: str) -> None:
    broker, seen = NatsBroker(nats_url), Seen()

    @broker.subscriber(kv_watch=KvWatch(config(name, history=10)))
    async def handler(value: int) -> None:
        if value == 2:
            raise RuntimeError("no")
        seen.add(value)

    async with broker:
        await broker.start()
        kv = await broker.key_value(name)
        for value in (b"1", b"not a number", b"2", b"3"):
            await kv.put("a", value)
        await kv.delete("a")  # which is no int, and logged as such
        await kv.put("a", b"4")
        assert await seen.reach(3) == [1, 3, 4]


async def test_results_are_published(nats_url: str, name: str) -> None:
    broker, seen = NatsBroker(nats_url), Seen()

    @broker.subscriber(kv_watch=KvWatch(config(name)))
    @broker.publisher(f"{name}.out")
    async def double(value: int) -> int:
        return 2 * value

    @broker.subscriber(f"{name}.out")
    async def take(value: int) -> None:
        seen.add(value)

    async with broker:
        await broker.start()
        await (await broker.key_value(name)).put("a", b"21")
        assert await seen.reach(1) == [42]


async def test_a_bucket_that_is_deleted_and_made_again(nats_url: str, name: str) -> None:
    broker, seen = NatsBroker(nats_url, error_cb=lambda error: None), Seen()

    @broker.subscriber(kv_watch=KvWatch(config(name)))
    async def handler(value: int) -> None:
        seen.add(value)

    async with broker:
        await broker.start()
        await (await broker.key_value(name)).put("a", b"1")
        await seen.reach(1)
        js = broker.client.jetstream()
        await js.delete_key_value(name)
        await (await js.create_or_update_key_value(config(name))).put("a", b"2")
        assert await seen.reach(2) == [1, 2]


async def test_a_deleted_bucket_of_which_only_the_name_is_known_is_left_to_its_owner(
    nats_url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker, seen, looked = NatsBroker(nats_url), Seen(), asyncio.Event()

    def notice(record: logging.LogRecord) -> bool:
        if "there is no bucket" in record.getMessage():
            looked.set()
        return True

    @broker.subscriber(kv_watch=name)
    async def handler(value: int) -> None:
        seen.add(value)

    caplog.handler.addFilter(notice)
    async with broker:
        await broker.start()
        js = broker.client.jetstream()
        await js.delete_key_value(name)
        async with asyncio.timeout(LIMIT):
            await looked.wait()
        await (await js.create_key_value(config(name, history=5))).put("a", b"1")
        assert await seen.reach(1) == [1]


async def test_a_stop_waits_for_the_handler(nats_url: str, name: str) -> None:
    broker, begun, done = NatsBroker(nats_url), asyncio.Event(), []
    goes_on = asyncio.Event()

    @broker.subscriber(kv_watch=KvWatch(config(name)))
    async def handler(value: int) -> None:
        begun.set()
        await goes_on.wait()
        done.append(value)

    async with broker:
        await broker.start()
        await (await broker.key_value(name)).put("a", b"1")
        await begun.wait()
        stopping = asyncio.create_task(broker.stop())
        await asyncio.sleep(0)
        goes_on.set()
        await stopping
    assert done == [1]


async def test_a_stop_cancels_a_handler_that_takes_too_long(nats_url: str, name: str) -> None:
    broker, begun, cancelled = NatsBroker(nats_url, graceful_timeout=0.2), asyncio.Event(), []

    @broker.subscriber(kv_watch=KvWatch(config(name)))
    async def handler(value: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(value)
            raise

    async with broker:
        await broker.start()
        await (await broker.key_value(name)).put("a", b"1")
        await begun.wait()
    assert cancelled == [1]


async def test_a_handler_may_stop_the_broker(nats_url: str, name: str) -> None:
    stopped, closed = asyncio.Event(), asyncio.Event()
    broker = NatsBroker(nats_url, closed_cb=closed.set)

    @broker.subscriber(kv_watch=KvWatch(config(name)))
    async def handler(value: int) -> None:
        await broker.stop()
        stopped.set()

    await broker.connect()
    await broker.start()
    await (await broker.key_value(name)).put("a", b"1")
    async with asyncio.timeout(LIMIT):
        await stopped.wait()
        await closed.wait()


# Declaring


async def test_a_bucket_that_is_not_there(nats_url: str, name: str) -> None:
    with pytest.raises(SetupError, match=f"no bucket '{name}'"):
        await started(nats_url, kv_watch=name, declare="never")
    with pytest.raises(SetupError, match="no bucket"):
        await started(nats_url, kv_watch=KvWatch(config(name)), declare="never")
    async with NatsBroker(nats_url) as broker:
        with pytest.raises(SetupError, match="declare='never'"):
            await broker.key_value(name, declare="never")
        with pytest.raises(SetupError):
            await broker.key_value(config(name), declare="never")
        with pytest.raises(SetupError, match="letters"):
            await broker.key_value("a.b")


async def test_a_bucket_of_which_only_the_name_is_said(nats_url: str, name: str) -> None:
    async with NatsBroker(nats_url) as broker:
        kv = await broker.key_value(name)
        await kv.put("a", b"1")
        assert (await kv.status()).history == 1
        await broker.key_value(KeyValueConfig(bucket=name, history=5), declare="update")
        assert await (await broker.key_value(name)).keys() == ["a"]
        await started(nats_url, kv_watch=name)
        assert (await kv.status()).history == 5


async def test_a_differing_bucket_is_not_changed_unasked(nats_url: str, name: str) -> None:
    async with NatsBroker(nats_url) as broker:
        kv = await broker.key_value(config(name, history=3))
        await kv.put("a", b"1")
        assert await (await broker.key_value(config(name, history=3))).keys() == ["a"]
        with pytest.raises(SetupError, match="max_msgs_per_subject is 3, not 5"):
            await broker.key_value(config(name, history=5))
        with pytest.raises(SetupError, match="max_msgs_per_subject"):
            await started(nats_url, kv_watch=KvWatch(config(name, history=5)))
        assert (await kv.status()).history == 3
        await broker.key_value(config(name, history=5), declare="update")
        assert (await kv.status()).history == 5
        await started(nats_url, kv_watch=KvWatch(config(name, history=6)), declare="update")
        assert (await kv.status()).history == 6


async def test_codecs_of_a_bucket(nats_url: str, name: str) -> None:
    async with NatsBroker(nats_url) as broker:
        kv = await broker.key_value(config(name), key_codec=Base64Keys())
        await kv.put("with space", b"1")
        assert await (await broker.key_value(name)).keys() == ["d2l0aCBzcGFjZQ"]


async def test_a_broker_that_is_not_connected(nats_url: str, name: str) -> None:
    with pytest.raises(NotConnectedError):
        await NatsBroker(nats_url).key_value(name)


@pytest.mark.parametrize(
    ("subject", "options", "text"),
    [
        ("a", {"stream": "S"}, "stream"),
        ("a", {"durable": "w"}, "durable"),
        ("a", {"queue": "q"}, "queue"),
        ("a", {"workers": 2}, "workers"),
        ("a", {"batch": Batch(2, 1.0)}, "batch"),
        ("a b", {}, "'a b'"),
        ("a.>.b", {}, ">"),
        ("_kv.a", {}, "reserved"),
        ("{x}y", {}, "stands alone"),
        ("a", {"kv_watch": KvWatch("B", include_history=True, updates_only=True)}, "begin"),
        ("a", {"kv_watch": "no bucket"}, "letters"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
async def test_options_that_cannot_work(
    nats_url: str, name: str, subject: str, options: dict[str, Any], text: str
) -> None:
    async with await connect(nats_url) as client:
        for bucket in (name, "B"):
            await client.jetstream().create_or_update_key_value(bucket=bucket, storage="memory")
    with pytest.raises(SetupError, match=text):
        await started(nats_url, subject, **{"kv_watch": name, **options})


async def test_a_subscriber_of_nothing(nats_url: str) -> None:
    with pytest.raises(SetupError, match="kv_watch"):
        await started(nats_url)
