from __future__ import annotations

import asyncio
import builtins
import gc
import tracemalloc

import pytest
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Peer, Side

from tidings.nats import (
    Client,
    ConnectionClosedError,
    Error,
    Msg,
    NoRespondersError,
    ProtocolError,
    TimeoutError,
    connect,
)


def waiting(client: Client) -> int:
    """Requests that wait for their reply."""
    return len(client._replies.waiting) if client._replies is not None else 0


async def test_a_reply(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.subscribe("echo", cb=lambda message: message.respond(message.data + b"!"))
        reply = await client.request("echo", b"hello", timeout=10)
        assert reply.data == b"hello!"
        assert waiting(client) == 0


async def test_a_reply_from_another_connection(nats_url: str) -> None:
    async with await connect(nats_url) as service, await connect(nats_url) as client:
        await service.subscribe("echo", cb=lambda message: message.respond(message.data))
        await service.flush()
        assert (await client.request("echo", b"1", timeout=10)).data == b"1"


async def test_headers_both_ways(nats_url: str) -> None:
    async with await connect(nats_url) as client:

        async def answer(message: Msg) -> None:
            await message.respond("ok", headers={"Seen": message.headers.get_all("Key")})

        await client.subscribe("echo", cb=answer)
        reply = await client.request("echo", timeout=10, headers={"Key": ["1", "2"]})
        assert reply.headers.get_all("Seen") == ["1", "2"]
        assert reply.data == b"ok"


async def test_an_empty_reply_is_a_reply(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.subscribe("ack", cb=lambda message: message.respond())
        reply = await client.request("ack", timeout=10)
        assert reply.data == b""


async def test_a_reply_that_carries_a_status_and_data_is_a_reply(nats_url: str) -> None:
    """Only without a payload is 503 the server's word."""
    async with await connect(nats_url) as client:

        async def answer(message: Msg) -> None:
            await raw_publish(client, message.reply, b"NATS/1.0 503\r\n\r\n", b"data")

        await client.subscribe("odd", cb=answer)
        reply = await client.request("odd", timeout=10)
        assert (reply.status, reply.data) == (503, b"data")


@pytest.mark.parametrize(
    "block",
    [b"NATS/1.0 x\r\n\r\n", b"NONSENSE\r\n\r\n", b"NATS/1.0\r\nno colon\r\n\r\n", b"NATS/1.0", b"\x00" * 12],
)
async def test_a_reply_with_a_broken_header_block_ends_nothing(nats_url: str, block: bytes) -> None:
    """The server hands on what another client wrote; it must not cost us the connection."""
    lost = Gathered()
    async with await connect(nats_url, disconnected_cb=lost) as client:

        async def answer(message: Msg) -> None:
            await raw_publish(client, message.reply, block, b"")

        await client.subscribe("broken", cb=answer)
        reply = await client.request("broken", timeout=10)
        with pytest.raises(ProtocolError):
            _ = reply.headers
        await client.flush()
        assert not lost


async def raw_publish(client: Client, subject: str, block: bytes, data: bytes) -> None:
    """HPUB with a header block that our encoder would never make."""
    link = client._link
    assert link is not None
    sizes = f"{len(block)} {len(block) + len(data)}".encode()
    link.write_control(b"HPUB %b %b\r\n%b%b\r\n" % (subject.encode(), sizes, block, data))


async def test_the_first_of_several_replies_counts(nats_url: str) -> None:
    async with await connect(nats_url) as client:

        async def thrice(message: Msg) -> None:
            for i in range(3):
                await message.respond(str(i))

        await client.subscribe("thrice", cb=thrice)
        for _ in range(3):
            assert (await client.request("thrice", timeout=10)).data == b"0"
        await client.flush()
        assert waiting(client) == 0


async def test_no_responders(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        for _ in range(2):
            with pytest.raises(NoRespondersError, match="nobody is subscribed"):
                await client.request("nobody.there", timeout=10)
        assert waiting(client) == 0


async def test_no_responders_names_the_subject(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        for options in ({}, {"old_style": True}):
            with pytest.raises(NoRespondersError) as caught:
                await client.request("nobody.there", **options)
            assert caught.value.subject == "nobody.there"


async def test_a_status_for_anybody_else_is_a_message(nats_url: str) -> None:
    """What the server says of our publishes with a reply subject of our own, and how it names them."""
    async with await connect(nats_url) as client:
        sub = await client.subscribe("own.replies")
        await client.publish("nobody.there", b"1", "own.replies")
        message = await sub.next_msg(10)
        assert (message.status, message.data) == (503, b"")
        assert message.headers == {"Nats-Subject": "nobody.there"}


async def test_no_reply_in_time(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.subscribe("silence")
        with pytest.raises(TimeoutError, match=r"no reply from 'silence' within 0\.01 s") as caught:
            await client.request("silence", timeout=0.01)
        assert isinstance(caught.value, builtins.TimeoutError)
        assert waiting(client) == 0


async def test_an_outer_timeout(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.subscribe("silence")
        with pytest.raises(builtins.TimeoutError) as caught:
            async with asyncio.timeout(0.01):
                await client.request("silence", timeout=None)
        assert not isinstance(caught.value, Error)
        assert waiting(client) == 0


async def test_a_late_reply_is_dropped(nats_url: str) -> None:
    asked = Gathered()
    async with await connect(nats_url) as client:
        await client.subscribe("late", cb=asked)
        with pytest.raises(TimeoutError):
            await client.request("late", timeout=0.01)
        (question,) = await asked.reach()
        await question.respond(b"too late")
        await client.flush()
        assert waiting(client) == 0
        await client.subscribe("prompt", cb=lambda message: message.respond(b"in time"))
        assert (await client.request("prompt", timeout=10)).data == b"in time"


async def test_cancelling_leaves_nothing(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.subscribe("silence")
        asking = [asyncio.create_task(client.request("silence", timeout=30)) for _ in range(10)]
        await eventually(lambda: waiting(client) == 10)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert all(task.cancelled() for task in asking)
        assert waiting(client) == 0


async def test_a_thousand_at_once(nats_url: str) -> None:
    async with await connect(nats_url) as service, await connect(nats_url) as client:
        await service.subscribe("echo", cb=lambda message: message.respond(message.data))
        await service.flush()
        replies = await asyncio.gather(*(client.request("echo", str(i), timeout=20) for i in range(1000)))
        assert [int(reply.data) for reply in replies] == list(range(1000))
        assert waiting(client) == 0


async def test_replies_out_of_order_find_their_request(nats_url: str) -> None:
    questions = Gathered()
    async with await connect(nats_url) as client:
        await client.subscribe("shuffle", cb=questions)
        asking = [asyncio.create_task(client.request("shuffle", str(i), timeout=20)) for i in range(50)]
        for question in reversed(await questions.reach(50)):
            await question.respond(question.data)
        assert [int((await task).data) for task in asking] == list(range(50))


async def test_one_subscription_serves_them_all() -> None:
    subs: list[bytes] = []

    async def responder(side: Side) -> None:
        await side.greet()
        sid = b""
        while line := await side.line():
            if line.startswith(b"SUB "):
                subs.append(line)
                sid = line.split()[-1]
            elif line.startswith(b"PUB "):
                reply = line.split()[2]
                await side.line()
                await side.send(b"MSG %b %b 2\r\nok\r\n" % (reply, sid))
            elif line == b"PING":
                await side.send(b"PONG\r\n")

    async with Peer(responder) as peer:
        client = await connect(peer.url, inbox_prefix="my.own.inbox")
        for _ in range(5):
            assert (await client.request("a", timeout=10)).data == b"ok"
        await client.close()
    (sub,) = subs
    assert sub.startswith(b"SUB my.own.inbox.")


async def test_reply_subjects_cannot_be_guessed(nats_url: str) -> None:
    async with await connect(nats_url) as one, await connect(nats_url) as other:
        inboxes = [client.new_inbox() for client in (one, other) for _ in range(500)]
        assert len(set(inboxes)) == 1000
        assert all(inbox.startswith("_INBOX.") and len(inbox) > 25 for inbox in inboxes)


async def test_on_a_closed_client(nats_url: str) -> None:
    fresh, used = await connect(nats_url), await connect(nats_url)
    with pytest.raises(NoRespondersError):
        await used.request("nobody.there", timeout=10)
    for client in (fresh, used):
        await client.close()
        with pytest.raises(ConnectionClosedError):
            await client.request("a")
        assert waiting(client) == 0


async def test_close_ends_those_that_wait(nats_url: str) -> None:
    async with leaves_nothing():
        client = await connect(nats_url)
        await client.subscribe("silence")
        asking = [asyncio.create_task(client.request("silence", timeout=timeout)) for timeout in (None, 30)]
        await eventually(lambda: waiting(client) == 2)
        await client.close()
        for task in asking:
            with pytest.raises(ConnectionClosedError):
                await task
        assert waiting(client) == 0


async def test_many_timeouts_keep_no_memory(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        await client.subscribe("silence", cb=lambda message: None)

        async def time_out(times: int) -> int:
            for _ in range(times):
                with pytest.raises(TimeoutError):
                    await client.request("silence", timeout=0)
            await client.flush()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = await time_out(50)
            after = await time_out(500)
        finally:
            tracemalloc.stop()
        assert after - before < 20_000


async def test_respond_needs_somebody_who_asked(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("plain")
        await client.publish("plain")
        message = await sub.next_msg()
        with pytest.raises(Error, match="asks for no reply"):
            await message.respond(b"1")
