"""The rules of WebSocket (RFC 6455), kept and broken by a scripted peer."""

from __future__ import annotations

import asyncio
import random
import zlib
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, Web, WebPeer, frame

from tidings.nats import Client, ConnectionClosedError, WebSocketError, connect
from tidings.nats.core import websocket

QUICK: dict[str, Any] = {"reconnect_time_wait": 0.005, "reconnect_jitter": 0, "max_reconnect_attempts": -1}


async def welcoming(web: Web) -> None:
    await web.greet()
    await web.answer_pings()


class Sending:
    """Greets, waits for a subscription, sends these frames, and goes on if the client does."""

    def __init__(self, *frames: bytes, header: str = "") -> None:
        self.frames = frames
        self.header = [header] if header else []
        self.answers: list[tuple[int, bytes]] = []

    async def __call__(self, web: Web) -> None:
        await web.greet(*self.header)
        assert (await web.line()).startswith(b"SUB ")
        await web.send(*self.frames)
        while not self.answers or self.answers[-1][0] != CLOSE:
            self.answers.append(await web.receive())
            if self.answers[-1] == (BINARY, b"PING\r\n"):
                await web.say(b"PONG\r\n")


async def subscribed(peer: WebPeer, got: Gathered, **options: Any) -> Client:
    client = await connect(peer.url, **{**QUICK, **options})
    await client.subscribe("a", cb=got)
    return client


def msg(data: bytes) -> bytes:
    return b"MSG a 1 %d\r\n%b\r\n" % (len(data), data)


class TestFrames:
    @pytest.mark.parametrize("seed", range(5))
    async def test_the_stream_may_be_cut_anywhere(self, seed: int) -> None:
        """In frames that end within a line, in messages of several frames, with control frames between."""
        rng, got = random.Random(seed), Gathered()
        payloads = [rng.randbytes(rng.choice((0, 5, 200, 70_000))) for _ in range(20)]
        stream, frames = b"".join(map(msg, payloads)), list[bytes]()
        fresh = True
        while stream:
            size = rng.choice((1, 3, 125, 126, 1000, 65_536))
            piece, stream = stream[:size], stream[size:]
            fin = rng.random() < 0.5 or not stream
            frames.append(frame(BINARY if fresh else CONT, piece, fin=fin))
            fresh = fin
            if rng.random() < 0.2:
                frames.append(frame(rng.choice((PING, PONG)), b"x"))
            if rng.random() < 0.1:
                frames.append(frame(BINARY if fresh else CONT, b"", fin=fin))
        async with leaves_nothing(), WebPeer(Sending(*frames)) as peer:
            client = await subscribed(peer, got)
            await got.reach(len(payloads))
            await client.close()
        assert got.data == payloads

    async def test_each_byte_for_itself(self) -> None:
        async def script(web: Web) -> None:
            await web.greet()
            await web.line()
            for byte in frame(BINARY, msg(b"a" * 200)) + frame(BINARY, msg(b"b")):
                await web.side.send(bytes([byte]))
                await asyncio.sleep(0)
            await web.answer_pings()

        got = Gathered()
        async with leaves_nothing(), WebPeer(script) as peer:
            client = await subscribed(peer, got)
            await got.reach(2)
            await client.close()
        assert got.data == [b"a" * 200, b"b"]

    async def test_pings_are_answered(self) -> None:
        sending, got = Sending(frame(PING, b"1"), frame(PONG, b"?"), frame(PING, b"two")), Gathered()
        async with leaves_nothing(), WebPeer(sending) as peer:
            client = await subscribed(peer, got)
            await eventually(lambda: len(sending.answers) == 2)
            await client.close()
        assert sending.answers[:2] == [(PONG, b"1"), (PONG, b"two")]

    async def test_while_the_socket_is_full_only_the_last_ping_is_owed(self) -> None:
        """A server that pings and does not read would fill memory with answers (section 5.5.3)."""
        ready, go, got = asyncio.Event(), asyncio.Event(), Gathered()
        answers = list[tuple[int, bytes]]()

        async def script(web: Web) -> None:
            await web.greet()
            await web.line()
            ready.set()
            await go.wait()
            await web.send(*(frame(PING, b"%d" % number) for number in range(100)), frame(BINARY, msg(b"x")))
            while not answers or answers[-1][0] != CLOSE:
                answers.append(await web.receive())

        async with leaves_nothing(), WebPeer(script) as peer:
            client = await subscribed(peer, got)
            await ready.wait()
            assert client._link is not None
            socket = client._link._transport
            assert isinstance(socket, websocket.WebSocket)
            socket.pause_writing()  # as the loop does it
            go.set()
            await got.reach()
            socket.resume_writing()
            await eventually(lambda: answers)
            await client.close()
        assert answers[0] == (PONG, b"99")

    async def test_compressed_messages(self) -> None:
        """As a server sends them: each for itself, and some in two frames or not compressed at all."""

        def deflated(data: bytes) -> bytes:
            packer = zlib.compressobj(wbits=-15)
            return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]

        packed = deflated(msg(b"b" * 5000))
        frames = (
            frame(BINARY, deflated(msg(b"a" * 3000)), rsv=4),
            frame(BINARY, packed[:10], rsv=4, fin=False),
            frame(CONT, packed[10:]),
            frame(BINARY, msg(b"c")),
        )
        header = (
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
            "client_no_context_takeover"
        )
        sending, got = Sending(*frames, header=header), Gathered()
        async with leaves_nothing(), WebPeer(sending) as peer:
            client = await subscribed(peer, got, ws_compression=True)
            await got.reach(3)
            await client.close()
        assert got.data == [b"a" * 3000, b"b" * 5000, b"c"]

    async def test_what_blocks_waits_and_nothing_is_lost(self) -> None:
        """One large frame, and a subscription that takes a few messages at a time."""
        count = 20_000
        frames = frame(BINARY, b"".join(msg(b"%d" % number) for number in range(count)))
        async with leaves_nothing(), WebPeer(Sending(frames)) as peer:
            client = await connect(peer.url, **QUICK)
            sub = await client.subscribe("a", pending_msgs_limit=10, limit_policy="block")
            got = [int((await sub.next_msg(timeout=10)).data) for _ in range(count)]
            assert got == list(range(count))
            await client.close()

    async def test_a_large_frame_leaves_others_their_turns(self) -> None:
        count = 200_000
        got, turns = Gathered(), 0
        frames = frame(BINARY, msg(b"%016d" % 0) * count)
        async with leaves_nothing(), WebPeer(Sending(frames)) as peer:
            client = await subscribed(peer, got)
            await got.reach(1)
            while len(got) < count:
                turns += 1
                await asyncio.sleep(0)
            await client.close()
        assert turns > 4


class TestTheEnd:
    @pytest.mark.parametrize(
        ("frames", "complaint", "code"),
        [
            ([frame(TEXT, b"PING\r\n")], "text frame", 1003),
            ([frame(CONT, b"x")], "bad frame.*continuation", 1002),
            ([frame(BINARY, b"x", fin=False), frame(BINARY, b"x")], "bad frame.*continuation", 1002),
            ([frame(3, b"x")], "bad frame.*opcode", 1002),
            ([frame(BINARY, b"x", rsv=4)], "bad frame.*reserved", 1002),
            ([frame(PING, b"x" * 126)], "bad frame.*control frame too long", 1002),
            ([frame(PING, b"x", fin=False)], "bad frame.*fragmented control", 1002),
            ([b"\x82\x85abcdefgh"], "bad frame.*masking", 1002),
            ([b"\x82\x7f" + (1 << 40).to_bytes(8)], "too large", 1009),
            ([frame(CLOSE, b"\x03")], "bad frame", 1002),
        ],
        ids=["text", "cont", "interleaved", "opcode", "rsv", "long", "split", "masked", "large", "close"],
    )
    async def test_a_rule_is_broken(self, frames: list[bytes], complaint: str, code: int) -> None:
        """What came before is delivered; the reason is told, to the server too; the client comes back."""
        got, away, back = Gathered(), Gathered(), Gathered()
        sending = Sending(frame(BINARY, msg(b"before")), *frames, frame(BINARY, msg(b"behind")))
        async with leaves_nothing(), WebPeer(sending, welcoming) as peer:
            client = await subscribed(peer, got, disconnected_cb=away, reconnected_cb=back)
            await away.reach()
            assert isinstance(client.last_error, WebSocketError)
            with pytest.raises(WebSocketError, match=complaint):
                raise client.last_error
            await back.reach()
            await client.flush()
            await client.close()
        assert got.data == [b"before"]
        opcode, data = sending.answers[-1]
        assert (opcode, int.from_bytes(data[:2])) == (CLOSE, code)

    async def test_too_large_when_it_is_inflated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket, "MAX_FRAME", 10_000)
        packer = zlib.compressobj(wbits=-15)
        bomb = (packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        sending = Sending(
            frame(BINARY, bomb, rsv=4),
            header="Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
        )
        back, errors = Gathered(), Gathered()
        async with leaves_nothing(), WebPeer(sending, welcoming) as peer:
            client = await subscribed(
                peer,
                Gathered(),
                ws_compression=True,
                reconnected_cb=back,
                disconnected_cb=lambda: errors(client.last_error),
            )
            await back.reach()
            assert "too large" in str(errors[0])
            await client.close()

    async def test_the_server_closes(self) -> None:
        """What came before its close frame is delivered, and the close frame is answered."""
        sending = Sending(frame(BINARY, msg(b"last")), frame(CLOSE, b"\x03\xe9bye"))
        got, away, back = Gathered(), Gathered(), Gathered()
        async with leaves_nothing(), WebPeer(sending, welcoming) as peer:
            client = await subscribed(peer, got, disconnected_cb=away, reconnected_cb=back)
            await away.reach()
            assert isinstance(client.last_error, ConnectionClosedError)
            assert "closed the WebSocket: 1001 (going away) bye" in str(client.last_error)
            await back.reach()
            await client.close()
        assert got.data == [b"last"]
        assert sending.answers[-1] == (CLOSE, b"\x03\xe9bye")

    async def test_we_close(self) -> None:
        """Everything published goes out before our close frame, and the server's is waited for."""
        received = list[tuple[int, bytes]]()

        async def script(web: Web) -> None:
            await web.greet()
            while not received or received[-1][0] != CLOSE:
                received.append(await web.receive())
            await web.send(frame(BINARY, b"PING\r\n"), frame(CLOSE, received[-1][1]))

        async with leaves_nothing(), WebPeer(script) as peer:
            client = await connect(peer.url)
            await client.publish("a", b"x")
            await client.close()
        assert received == [(BINARY, b"PUB a 1\r\nx\r\n"), (CLOSE, b"\x03\xe8")]

    @pytest.mark.parametrize("deaf", [False, True])
    async def test_a_server_that_does_not_close_with_us(self, deaf: bool) -> None:
        """Closing ends in time all the same."""

        async def script(web: Web) -> None:
            await web.greet()
            if deaf:
                web.side.stop_reading()
                await asyncio.get_running_loop().create_future()
            await web.side.ended()

        async with leaves_nothing(), WebPeer(script) as peer:
            client = await connect(peer.url)
            async with asyncio.timeout(10):
                await client.close()

    async def test_a_server_that_breaks_a_rule_and_does_not_read(self) -> None:
        back = Gathered()

        async def script(web: Web) -> None:
            await web.greet()
            await web.line()
            web.side.stop_reading()
            await web.send(frame(TEXT, b"x"))
            await asyncio.get_running_loop().create_future()

        async with leaves_nothing(), WebPeer(script, welcoming) as peer:
            client = await subscribed(peer, Gathered(), reconnected_cb=back)
            await back.reach()
            await client.close()

    @pytest.mark.parametrize("cut", [0, 1, 3, 8])
    async def test_the_end_within_a_frame(self, cut: int) -> None:
        got, back, errors = Gathered(), Gathered(), Gathered()

        async def script(web: Web) -> None:
            await web.greet()
            await web.line()
            await web.send(frame(BINARY, msg(b"whole")), frame(BINARY, msg(b"cut"))[:cut])

        async with leaves_nothing(), WebPeer(script, welcoming) as peer:
            client = await subscribed(
                peer, got, reconnected_cb=back, disconnected_cb=lambda: errors(client.last_error)
            )
            await back.reach()
            await client.close()
        assert got.data == [b"whole"]
        assert isinstance(errors[0], ConnectionClosedError)
