"""When things go to the socket: at the end of the turn, at once for who waits, and not while it is full."""

from __future__ import annotations

import asyncio

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Deaf, Peer, Side, Welcoming

from tidings.nats import Client, ConnectionClosedError, FlushTimeoutError, TimeoutError, connect


class StopsReading:
    """Greets and reads nothing until `go` is set; then counts bytes and answers pings."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken = bytearray()

    async def __call__(self, side: Side) -> None:
        await side.greet()
        side.stop_reading()
        await self.go.wait()
        side.resume_reading()
        while data := await side.reader.read(65536):
            self.taken += data
            if b"PING\r\n" in self.taken[-len(data) - 5 :]:
                await side.send(b"PONG\r\n")


async def fill(client: Client) -> asyncio.Task[None]:
    """Publish until the socket is full and `publish` waits; returns the task that waits."""

    async def publish() -> None:
        while True:
            await client.publish("fill", bytes(60_000))

    task = asyncio.create_task(publish())
    await eventually(lambda: client._link is not None and client._link.paused)
    return task


async def cut_off(client: Client, peer: Peer) -> None:
    """End it by the other side: a close of ours would wait a while for what the peer does not read."""
    peer.sides[0].cut()
    await eventually(lambda: client._closed.done())


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class TestBackpressure:
    async def test_publish_waits_while_nobody_reads(self) -> None:
        async with leaves_nothing(), Peer(Deaf()) as peer:
            client = await connect(peer.url, allow_reconnect=False, error_cb=Gathered())
            publishing = await fill(client)
            for _ in range(100):  # it would publish 6 MB in these turns
                await asyncio.sleep(0)
            link, encoder = client._link, client._writer.encoder
            assert link is not None
            assert link._transport is not None
            assert link._transport.get_write_buffer_size() < 2 * 1024 * 1024
            assert len(encoder) < 512 * 1024
            await stop(publishing)
            await cut_off(client, peer)

    async def test_many_publishers_wait_too(self) -> None:
        async with leaves_nothing(), Peer(Deaf()) as peer:
            client = await connect(peer.url, allow_reconnect=False, error_cb=Gathered())

            async def publish() -> None:
                while True:
                    await client.publish("fill", bytes(10_000))

            publishers = [asyncio.create_task(publish()) for _ in range(20)]
            await eventually(lambda: client._link is not None and client._link.paused)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(client._writer.encoder) < 1024 * 1024
            for publisher in publishers:
                await stop(publisher)
            await cut_off(client, peer)

    async def test_it_goes_on_when_the_server_reads(self) -> None:
        script = StopsReading()
        async with leaves_nothing(), Peer(script) as peer:
            client = await connect(peer.url)
            sent = 0

            async def publish() -> None:
                nonlocal sent
                for _ in range(200):
                    await client.publish("fill", bytes(60_000))
                    sent += 1

            publishing = asyncio.create_task(publish())
            await eventually(lambda: client._link is not None and client._link.paused)
            assert sent < 200
            script.go.set()
            await publishing
            await client.flush()
            assert script.taken.count(b"PUB fill 60000\r\n") == 200
            await client.close()

    async def test_what_was_gathered_while_it_was_full_goes_out_by_itself(self) -> None:
        """Nobody publishes or flushes after the socket has room again."""
        script = StopsReading()
        async with leaves_nothing(), Peer(script) as peer:
            client = await connect(peer.url)
            publishing = await fill(client)
            await stop(publishing)
            await client.publish("last.word", b"!")
            script.go.set()
            await eventually(lambda: b"PUB last.word 1\r\n!\r\n" in script.taken)
            await client.close()

    async def test_a_request_goes_out_when_there_is_room(self) -> None:
        script = StopsReading()
        async with leaves_nothing(), Peer(script) as peer:
            client = await connect(peer.url)
            publishing = await fill(client)
            await stop(publishing)
            asking = asyncio.create_task(client.request("ask", timeout=30))
            script.go.set()
            await eventually(lambda: b"PUB ask " in script.taken)
            asking.cancel()
            await asyncio.wait([asking])
            await client.close()

    async def test_close_wakes_a_publisher_that_waits(self) -> None:
        errors = Gathered()
        async with leaves_nothing(), Peer(Deaf()) as peer:
            client = await connect(peer.url, error_cb=errors)
            publishing = await fill(client)
            await client.close()
            with pytest.raises(ConnectionClosedError):
                await publishing
        (lost,) = errors
        assert "bytes that were published could not be sent" in str(lost)

    async def test_losing_the_connection_wakes_a_publisher_that_waits(self) -> None:
        async with leaves_nothing(), Peer(Deaf(), Welcoming()) as peer:
            client = await connect(peer.url, reconnect_time_wait=0)
            publishing = await fill(client)
            waiting = asyncio.create_task(client.publish("one.more"))
            peer.sides[0].cut()
            await waiting
            await eventually(lambda: len(peer.sides) == 2)
            await stop(publishing)
            await client.close()

    async def test_flush_gives_up_on_a_full_socket(self) -> None:
        async with leaves_nothing(), Peer(Deaf()) as peer:
            client = await connect(peer.url, allow_reconnect=False, error_cb=Gathered())
            publishing = await fill(client)
            with pytest.raises(FlushTimeoutError):
                await client.flush(0.01)
            await stop(publishing)
            await cut_off(client, peer)


class Chunks:
    """Greets, and notes each chunk that comes, as the client wrote it."""

    def __init__(self) -> None:
        self.chunks = Gathered()

    async def __call__(self, side: Side) -> None:
        await side.greet()
        while data := await side.reader.read(1 << 20):
            self.chunks(data)
            if data.endswith(b"PING\r\n"):
                await side.send(b"PONG\r\n")


async def test_publishes_of_a_turn_go_out_together() -> None:
    async with Peer(script := Chunks()) as peer:
        client = await connect(peer.url)
        for _ in range(100):
            await client.publish("a", b"1")
        assert not script.chunks
        (chunk,) = await script.chunks.reach(1)
        assert chunk == b"PUB a 1\r\n1\r\n" * 100
        await client.close()


async def test_a_lone_publish_goes_out_without_help() -> None:
    async with Peer(script := Chunks()) as peer:
        client = await connect(peer.url)
        await client.publish("a", b"1")
        assert await script.chunks.reach(1) == [b"PUB a 1\r\n1\r\n"]
        await client.close()


async def test_subscribe_and_unsubscribe_go_out_without_help() -> None:
    async with Peer(script := Chunks()) as peer:
        client = await connect(peer.url)
        sub = await client.subscribe("a", "group", max_msgs=3)
        assert await script.chunks.reach(1) == [b"SUB a group %d\r\nUNSUB %d 3\r\n" % (sub.sid, sub.sid)]
        await sub.unsubscribe()
        assert (await script.chunks.reach(2))[1:] == [b"UNSUB %d\r\n" % sub.sid]
        await client.close()


async def test_a_flush_is_written_at_once_with_what_was_gathered() -> None:
    async with Peer(script := Chunks()) as peer:
        client = await connect(peer.url)
        await client.publish("a", b"1")
        await client.flush()
        assert b"".join(script.chunks) == b"PUB a 1\r\n1\r\nPING\r\n"
        await client.close()


async def test_requests_of_a_turn_go_out_together() -> None:
    async with Peer(script := Chunks()) as peer:
        client = await connect(peer.url)
        asking = [asyncio.create_task(client.request("a", timeout=0.05)) for _ in range(50)]
        for task in asking:
            with pytest.raises(TimeoutError):
                await task
        # The first of a turn does not wait for the others, which share a write.
        assert b"".join(script.chunks).count(b"PUB a ") == 50
        assert len(script.chunks) <= 2
        await client.close()
