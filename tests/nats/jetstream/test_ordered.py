from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, leaves_nothing
from tests.nats.jetstream.consuming import fill, numbered, numbers, sequences
from tests.nats.jetstream.pulling import eventually
from tests.proxy import Proxy

from tidings.nats import connect
from tidings.nats.core.events import Reconnected
from tidings.nats.errors import BadSubscriptionError, ConnectionClosedError
from tidings.nats.jetstream import DeliverPolicy, OrderedConsumer, Stream
from tidings.nats.jetstream.errors import (
    ConfigError,
    ConsumerSequenceMismatchError,
    InvalidConfigError,
    StreamNotFoundError,
)
from tidings.nats.jetstream.ordered_reading import OrderedReading, Place
from tidings.nats.jetstream.pull import Source
from tidings.nats.jetstream.reading import ReadingSettings
from tidings.nats.server import NatsServer
from tidings.nats.wire import Msg

# A pull that came together with the end of its consumer is answered by nobody: its heartbeats tell.
BRISK: Any = {"expires": 2, "heartbeat": 0.5, "on_error": lambda _: None}


async def left(stream: Stream) -> list[str]:
    return [name async for name in stream.consumer_names()]


async def test_reads_all_once_and_in_order(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 2000) as (client, stream):
        routes = len(client.subscriptions)
        async with leaves_nothing():
            async with stream.ordered_consumer().messages(until_end=True) as messages:
                found = [message async for message in messages]
            assert messages.last_seq == 2000
        assert sequences(found) == list(range(1, 2001))
        assert len(client.subscriptions) == routes
        assert await left(stream) == []


async def test_ends_at_once_where_there_is_nothing(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (_client, stream):
        messages = stream.ordered_consumer().messages(until_end=True)
        assert [message async for message in messages] == []
        with pytest.raises(BadSubscriptionError):
            await messages.next()


async def test_goes_on_with_what_comes(nats_url: str, name: str) -> None:
    async with (
        numbered(nats_url, name, 5) as (client, stream),
        stream.ordered_consumer().messages(stop_after=8) as messages,
    ):
        reader = asyncio.create_task(collect(messages))
        await eventually(lambda: messages.last_seq == 5)
        await fill(client, f"{name}.n", 5, 6)
        assert numbers(await reader) == list(range(1, 9))


async def collect(messages: Any) -> list[Any]:
    return [message async for message in messages]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"deliver_policy": "last"}, [10]),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 8}, [8, 9, 10]),
        ({"deliver_policy": "last_per_subject"}, [9, 10]),
        ({"filter_subjects": "{}.odd"}, [1, 3, 5, 7, 9]),
        ({"filter_subjects": ["{}.odd", "{}.even"]}, list(range(1, 11))),
        ({"headers_only": True, "filter_subjects": "{}.odd"}, [1, 3, 5, 7, 9]),
    ],
)
async def test_begins_where_it_is_told(nats_url: str, name: str, options: Any, expected: list[int]) -> None:
    async with numbered(nats_url, name) as (client, stream):
        for number in range(1, 11):
            await client.request(f"{name}.{'odd' if number % 2 else 'even'}", str(number))
        given = options.get("filter_subjects")
        if isinstance(given, str):
            options = options | {"filter_subjects": given.format(name)}
        elif given:
            options = options | {"filter_subjects": [each.format(name) for each in given]}
        async with stream.ordered_consumer(**options).messages(until_end=True) as messages:
            found = [message async for message in messages]
        assert sequences(found) == expected
        if "headers_only" in options:
            assert found[0].data == b""


async def test_fetch_and_next_go_on_where_the_last_one_ended(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 10) as (client, stream):
        async with stream.ordered_consumer() as consumer:
            assert numbers(await consumer.fetch(4)) == [1, 2, 3, 4]
            assert (await consumer.next()).data == b"5"
            assert numbers(await consumer.fetch(9, 0.2)) == [6, 7, 8, 9, 10]
            assert await consumer.fetch(9, 0.1) == []
            with pytest.raises(TimeoutError):
                await consumer.next(0.1)
            await fill(client, f"{name}.n", 1, 11)
            assert (await consumer.next()).data == b"11"
        assert await left(stream) == []


async def test_a_cancelled_fetch_takes_nothing(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (_client, stream), stream.ordered_consumer() as consumer:
        fetching = asyncio.create_task(consumer.fetch(10, 60))
        await eventually(lambda: consumer._cursor is not None and consumer._cursor._reading is not None)
        await eventually(lambda: consumer._cursor is not None and consumer._cursor.last_seq == 3)
        await asyncio.sleep(0)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert numbers(await consumer.fetch(2)) == [1, 2]
        assert numbers(await consumer.fetch(2, 0.1)) == [3]


async def test_every_fetch_is_told_that_the_stream_is_gone(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 1) as (client, stream), stream.ordered_consumer() as consumer:
        assert numbers(await consumer.fetch(1)) == [1]
        await client.jetstream().delete_stream(name)
        for _ in range(2):
            with pytest.raises(StreamNotFoundError):
                await consumer.fetch(1)
        with pytest.raises(StreamNotFoundError):
            await consumer.next()
        await client.jetstream().create_stream(name=name)


@pytest.mark.parametrize("how", ["stop", "aclose", "drain"])
async def test_ends_while_the_connection_is_away(nats_url: str, name: str, how: str) -> None:
    async with Proxy(nats_url) as proxy, numbered(proxy.url, name, 3) as (client, stream):
        messages = stream.ordered_consumer().messages(on_error=lambda error: None)
        reader = asyncio.create_task(collect(messages))
        await eventually(lambda: messages.last_seq == 3)
        events = client.events()
        async with proxy.away():
            await eventually(lambda: messages._comeback is not None)
            ending = getattr(messages, how)()
            if ending is not None:
                await ending
            async with asyncio.timeout(20):
                assert numbers(await reader) == [1, 2, 3]
        async for event in events:
            if isinstance(event, Reconnected):
                break


async def test_calls_a_function(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 500) as (_client, stream):
        handled = Gathered()
        running = await stream.ordered_consumer().consume(handled, until_end=True)
        assert await running.closed() is None
        assert numbers(handled) == list(range(1, 501))


async def test_survives_deletion_cuts_and_purges(nats_url: str, name: str) -> None:
    async with (
        Proxy(nats_url) as proxy,
        numbered(proxy.url, name, 4000, reconnect_time_wait=0.01) as (_client, stream),
        await connect(nats_url) as other,
    ):
        errors: list[Exception] = []
        manager = other.jetstream()
        found = []
        options = {"batch": 200, "on_error": errors.append}
        async with stream.ordered_consumer().messages(until_end=True, **options) as messages:  # type: ignore[arg-type]
            async for message in messages:
                found.append(message)
                if len(found) in (500, 2000):
                    await manager.delete_consumer(name, messages.name)
                if len(found) in (1000, 3000):
                    proxy.cut()
        assert sequences(found) == list(range(1, 4001))
        assert len(errors) >= 4
        assert await left(stream) == []


@pytest.mark.parametrize(
    ("stored", "policy", "start", "expected"),
    [
        (0, "new", 0, [6, 7, 8]),
        (0, "last", 0, [6, 7, 8]),
        (0, "last_per_subject", 0, [6, 7, 8]),
        (0, "all", 0, [6, 7, 8]),
        (5, "new", 0, [6, 7, 8]),
        (5, "last", 0, [5, 6, 7, 8]),
        (5, "last_per_subject", 0, [5, 6, 7, 8]),
        (5, "by_start_sequence", 4, [4, 5, 6, 7, 8]),
        (5, "all", 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
async def test_nothing_is_missed_before_the_first_one(
    nats_url: str, name: str, stored: int, policy: DeliverPolicy, start: int, expected: list[int]
) -> None:
    """A consumer that goes before it delivered anything is followed by one that begins where it did."""
    async with (
        numbered(nats_url, name, stored) as (client, stream),
        stream.ordered_consumer(deliver_policy=policy, opt_start_seq=start).messages(**BRISK) as messages,
    ):
        await messages.open()
        await stream.delete_consumer(messages.name)
        await fill(client, f"{name}.n", 3, 6)
        assert numbers([await messages.next(20) for _ in expected]) == expected


async def test_the_end_comes_though_the_rest_is_removed(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 2000) as (_client, stream):
        reading = stream.ordered_consumer().messages(until_end=True, batch=50, expires=1, heartbeat=0.3)
        async with reading as messages:
            found = [await messages.next(20)]
            await stream.purge()
            found += await asyncio.wait_for(collect(messages), 20)
        assert sequences(found) == list(range(1, len(found) + 1))
        assert len(found) < 2000


async def test_what_cannot_be_opened_ends(nats_url: str, name: str) -> None:
    async with await connect(nats_url) as client:
        messages = OrderedConsumer(client.jetstream().api, name).messages()
        with pytest.raises(StreamNotFoundError):
            await messages.open()
        assert [message async for message in messages] == []


async def test_survives_a_restart_of_its_server(nats_server: NatsServer, name: str) -> None:
    async with numbered(nats_server.url, name, 300, reconnect_time_wait=0.02) as (_client, stream):
        found = []
        settings: Any = {"batch": 20, "on_error": lambda error: None}
        async with stream.ordered_consumer().messages(until_end=True, **settings) as messages:
            async for message in messages:
                found.append(message)
                if len(found) == 100:
                    await asyncio.to_thread(nats_server.restart)
        assert sequences(found) == list(range(1, 301))


async def test_a_deleted_stream_ends_it(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name, 3) as (client, stream):
        found = []

        async def read() -> None:
            async with stream.ordered_consumer().messages(on_error=lambda error: None) as messages:
                async for message in messages:
                    found.append(message)
                    if len(found) == 3:
                        await client.jetstream().delete_stream(name)

        with pytest.raises(StreamNotFoundError):
            await read()
        assert len(found) == 3
        await client.jetstream().create_stream(name=name)


async def test_a_stream_that_is_not_there(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, _stream):
        errors = Gathered()
        gone = Stream(client.jetstream().api, (await client.jetstream().stream(name)).cached_info)
        gone.name = f"{name}gone"
        with pytest.raises(StreamNotFoundError):
            await gone.ordered_consumer().fetch(1)
        running = await gone.ordered_consumer().consume(print, on_error=errors)
        assert isinstance(await running.closed(), StreamNotFoundError)


async def test_a_config_that_the_server_refuses(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (_client, stream):
        consumer = stream.ordered_consumer(filter_subjects=[f"{name}.a", f"{name}.*"])
        with pytest.raises((ConfigError, InvalidConfigError)):
            await consumer.fetch(1)
    with pytest.raises(ConfigError):
        stream.ordered_consumer(deliver_policy="by_start_sequence")
    with pytest.raises(ConfigError):
        stream.ordered_consumer(what=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("ending", ["close", "drain"])
async def test_ends_with_the_client(nats_url: str, name: str, ending: str) -> None:
    async with numbered(nats_url, name, 10) as (client, stream):
        messages = stream.ordered_consumer().messages()
        async with leaves_nothing():
            reader = asyncio.create_task(collect(messages))
            await eventually(lambda: messages.last_seq == 10)
            await getattr(client, ending)()
            assert len(await reader) == 10
        with pytest.raises(ConnectionClosedError):
            await stream.ordered_consumer().fetch(1)


async def test_a_cancelled_reader_leaves_nothing(nats_url: str, name: str) -> None:
    async with numbered(nats_url, name) as (client, stream):
        routes = len(client.subscriptions)

        async def read() -> None:
            async with stream.ordered_consumer().messages() as messages:
                async for _ in messages:
                    pass

        async with leaves_nothing():
            reader = asyncio.create_task(read())
            while not await left(stream):
                pass
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        assert await left(stream) == []
        assert len(client.subscriptions) == routes


# One consumer's messages, delivered as a test likes


def delivered(number: int, pending: int = 5, tokens: str = "") -> Msg:
    return Msg("s", f"$JS.ACK.{tokens}S.c.1.{number + 100}.{number}.1700000000000000000.{pending}", b"")


async def ordered_reading(url: str, ends: bool = False) -> tuple[Any, OrderedReading]:
    client = await connect(url)
    source = Source(client.jetstream().api, "S", "c", {}, False)
    reading = OrderedReading(source, ReadingSettings(), Place(), ends)
    reading.start()
    return client, reading


def deliver(reading: OrderedReading, *messages: Msg) -> None:
    for message in messages:
        reading.put(message)
    reading.wake()


@pytest.mark.parametrize("tokens", ["", "_.HASH."])
@pytest.mark.parametrize(
    ("numbers_", "kept"),
    [
        ([1, 2, 4], 2),
        ([2, 3], 0),
        ([1, 3, 4, 5], 1),
        ([1, 2, 2, 3], 2),
    ],
)
async def test_what_stands_before_a_gap_is_kept(
    nats_url: str, numbers_: list[int], kept: int, tokens: str
) -> None:
    client, reading = await ordered_reading(nats_url)
    async with client:
        deliver(reading, *(delivered(number, tokens=tokens) for number in numbers_))
        assert len(reading.held) == kept
        assert isinstance(reading.broken, ConsumerSequenceMismatchError)
        deliver(reading, delivered(kept + 1))
        assert len(reading.held) == kept


async def test_a_heartbeat_tells_of_what_did_not_arrive(nats_url: str) -> None:
    client, reading = await ordered_reading(nats_url)
    async with client:
        deliver(reading, delivered(1), delivered(2))
        block = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\n\r\n"
        inbox = reading.subject.replace("*", "0")
        deliver(reading, Msg(inbox, "", b"", header_block=block % 2))
        assert reading.broken is None
        deliver(reading, Msg(inbox, "", b"", header_block=block % 3))
        assert isinstance(reading.broken, ConsumerSequenceMismatchError)


async def test_what_is_no_ack_subject_breaks_it(nats_url: str) -> None:
    client, reading = await ordered_reading(nats_url)
    async with client:
        deliver(reading, Msg("s", "what", b""))
        assert reading.broken is not None
        assert not reading.held
