"""Publishing: what goes out as it was given, and what is refused before a byte of it does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.nats.core.gathering import Gathered, eventually
from tests.peers import Peer, Side, info_line

from tidings.nats import (
    BadHeaderError,
    BadSubjectError,
    ConnectionClosedError,
    Error,
    Headers,
    MaxPayloadError,
    connect,
)
from tidings.nats.server import NatsServer
from tidings.nats.wire import MAX_PAYLOAD


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b"bytes", b"bytes"),
        (b"", b""),
        ("t\u00e9xt", "t\u00e9xt".encode()),
        ("", b""),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
        (memoryview(b"a-b-c-d")[::2], b"abcd"),
        (memoryview(b"12345678").cast("I"), b"12345678"),
        (b"\r\nPUB a 1\r\nx\r\n", b"\r\nPUB a 1\r\nx\r\n"),
        (bytes(range(256)) * 256, bytes(range(256)) * 256),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_payload_arrives_as_it_was_given(nats_url: str, payload: Any, data: bytes) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("payload.*")
        await client.publish("payload.one", payload)
        message = await sub.next_msg()
        assert message.subject == "payload.one"
        assert message.reply == ""
        assert message.data == data
        assert not message.headers


async def test_without_a_payload(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("empty")
        await client.publish("empty")
        assert (await sub.next_msg()).data == b""


async def test_a_payload_may_change_once_it_was_published(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("mutable")
        payload = bytearray(b"before")
        await client.publish("mutable", payload)
        payload[:] = b"after!"
        assert (await sub.next_msg()).data == b"before"


async def test_reply(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("with.reply")
        await client.publish("with.reply", b"1", "answer.here")
        await client.publish("with.reply", b"2", reply="answer.there", headers={"a": "b"})
        assert (await sub.next_msg()).reply == "answer.here"
        assert (await sub.next_msg()).reply == "answer.there"


@pytest.mark.parametrize(
    ("headers", "pairs"),
    [
        ({"One": "1"}, [("One", "1")]),
        ({"Many": ["1", "2"], "one": "3"}, [("Many", "1"), ("Many", "2"), ("one", "3")]),
        ({"Case": "1", "case": "2"}, [("Case", "1"), ("case", "2")]),
        ({"Empty": ""}, [("Empty", "")]),
        ({"Text": "gr\u00fc\u00df: dich"}, [("Text", "gr\u00fc\u00df: dich")]),
        (Headers([("a", "1"), ("b", "2"), ("a", "3")]), [("a", "1"), ("b", "2"), ("a", "3")]),
    ],
    ids=repr,
)
async def test_headers(nats_url: str, headers: Any, pairs: list[tuple[str, str]]) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("headers")
        await client.publish("headers", b"data", headers=headers)
        message = await sub.next_msg()
        assert message.headers.pairs() == pairs
        assert message.data == b"data"


async def test_empty_headers_are_none(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("headers.none")
        await client.publish("headers.none", headers={})
        assert not (await sub.next_msg()).has_headers


REFUSED: list[tuple[str, type[Exception], dict[str, Any]]] = [
    *(
        (repr(subject)[:24], BadSubjectError, {"subject": subject})
        for subject in (
            "",
            " ",
            "a b",
            "a\tb",
            "a\rb",
            "a\nb",
            "a\r\nPUB b 0\r\n",
            "a\x00",
            "\x7f",
            ".a",
            "a.",
            "a..b",
            "a.*",
            "*",
            "a.>",
            "\ud800",
            "x" * 5000,
        )
    ),
    *(
        ("reply " + repr(reply)[:24], BadSubjectError, {"subject": "a", "reply": reply})
        for reply in (" ", "a b", "a\r\n", "a..b", "a.*", ">", "x" * 5000)
    ),
    *(
        ("header " + repr(headers)[:24], BadHeaderError, {"subject": "a", "headers": headers})
        for headers in (
            {"a b": "1"},
            {"a:b": "1"},
            {"": "1"},
            {"\u00e9": "1"},
            {"a": "1\r\n2"},
            {"a": "1\n"},
            {"a": "\r"},
            {"a": 1},
            {"a": ["1", 2]},
            {"a": None},
            {1: "a"},
            {"a": b"1"},
        )
    ),
    ("subject of bytes", TypeError, {"subject": b"a"}),
    ("subject none", TypeError, {"subject": None}),
    ("payload of int", TypeError, {"subject": "a", "payload": 5}),
    ("payload none", TypeError, {"subject": "a", "payload": None}),
    ("payload of dict", TypeError, {"subject": "a", "payload": {}}),
    ("payload of surrogates", UnicodeError, {"subject": "a", "payload": "\ud800"}),
    ("payload too large", MaxPayloadError, {"subject": "a", "payload": bytes(1024 * 1024 + 1)}),
    (
        "headers and payload too large",
        MaxPayloadError,
        {"subject": "a", "payload": bytes(1024 * 1024 - 10), "headers": {"a": "1"}},
    ),
]


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[str]:
    """The URL of a server where nobody else publishes."""
    with NatsServer() as server:
        yield server.url


@pytest.mark.parametrize(
    ("error", "arguments"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_what_is_refused_leaves_the_connection_as_it_was(
    undisturbed: str, error: type[Exception], arguments: dict[str, Any]
) -> None:
    complaints = Gathered()
    async with await connect(undisturbed, error_cb=complaints, pedantic=True) as client:
        sub = await client.subscribe(">")
        with pytest.raises(error):
            await client.publish(**arguments)
        await client.publish("next", b"fine")
        message = await sub.next_msg()
        assert (message.subject, message.data) == ("next", b"fine")
        await client.flush()
        assert sub.pending_msgs == 0
    assert not complaints


@pytest.mark.parametrize(
    ("error", "arguments"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
async def test_a_request_refuses_the_same(
    nats_url: str, error: type[Exception], arguments: dict[str, Any]
) -> None:
    if "reply" in arguments:
        return
    async with await connect(nats_url) as client:
        with pytest.raises(error):
            await client.request(**arguments)
        sub = await client.subscribe("echo", cb=lambda message: message.respond(message.data))
        assert (await client.request("echo", b"fine", timeout=5)).data == b"fine"
        assert sub.received == 1


async def test_not_a_byte_of_what_is_refused_is_written() -> None:
    lines: list[bytes] = []

    async def script(side: Side) -> None:
        await side.greet()
        while (line := await side.line()) != b"PING":
            lines.append(line)
        await side.send(b"PONG\r\n")
        await side.answer_pings()

    async with Peer(script) as peer:
        client = await connect(peer.url)
        for _, error, arguments in REFUSED:
            with pytest.raises(error):
                await client.publish(**arguments)
        await client.flush()
        await client.close()
    assert lines == []


class TestMaxPayload:
    async def test_headers_count(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            sub = await client.subscribe("large")
            block = len(b"NATS/1.0\r\na: b\r\n\r\n")
            await client.publish("large", bytes(client.max_payload))
            await client.publish("large", bytes(client.max_payload - block), headers={"a": "b"})
            with pytest.raises(MaxPayloadError, match="1048577 bytes, the server accepts 1048576"):
                await client.publish("large", bytes(client.max_payload - block + 1), headers={"a": "b"})
            assert len((await sub.next_msg(5)).data) == client.max_payload
            assert len((await sub.next_msg(5)).data) == client.max_payload - block
            await client.flush()
            assert client.is_connected

    async def test_text_counts_in_bytes(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            with pytest.raises(MaxPayloadError):
                await client.publish("large", "\u00e9" * (1024 * 512 + 1))

    async def test_a_later_info_changes_it(self) -> None:
        async def script(side: Side) -> None:
            await side.greet(max_payload=100)
            await side.expect(b"PUB go 0")
            await side.line()
            await side.send(info_line(max_payload=10))
            await side.answer_pings()

        async with Peer(script) as peer:
            client = await connect(peer.url)
            assert client.max_payload == 100
            await client.publish("go")
            await eventually(lambda: client.max_payload == 10)
            await client.publish("a", bytes(10))
            with pytest.raises(MaxPayloadError):
                await client.publish("a", bytes(11))
            await client.close()


async def test_headers_need_a_server_that_takes_them() -> None:
    async def script(side: Side) -> None:
        await side.greet(headers=False)
        await side.answer_pings()

    async with Peer(script) as peer:
        client = await connect(peer.url)
        with pytest.raises(Error, match="does not take headers"):
            await client.publish("a", headers={"a": "b"})
        await client.publish("a")
        await client.close()


async def test_order_is_kept_over_sizes(nats_url: str) -> None:
    """Small ones are gathered, large ones are not; they must not overtake each other."""
    sizes = [1, 200_000, 2, 70_000, 3, 65_536, 4, 1_000_000, 5] * 3
    async with await connect(nats_url) as client:
        sub = await client.subscribe("sizes")
        for size in sizes:
            await client.publish("sizes", bytes(size))
        assert [len((await sub.next_msg(5)).data) for _ in sizes] == sizes


async def test_what_was_published_before_close_arrives(nats_url: str) -> None:
    async with await connect(nats_url) as listener:
        sub = await listener.subscribe("last.words")
        await listener.flush()
        client = await connect(nats_url)
        for i in range(1000):
            await client.publish("last.words", str(i))
        await client.close()
        assert [int((await sub.next_msg(5)).data) for _ in range(1000)] == list(range(1000))


async def test_after_close_nothing_is_taken(nats_url: str) -> None:
    client = await connect(nats_url)
    await client.close()
    with pytest.raises(ConnectionClosedError, match="closed"):
        await client.publish("a")


async def test_subjects_may_be_left_to_the_server(nats_url: str) -> None:
    async with await connect(nats_url, skip_subject_validation=True) as client:
        sub = await client.subscribe("legacy.>")
        await client.publish("legacy.*", b"a wildcard")
        await client.publish("legacy", b"not heard")
        assert (await sub.next_msg(10)).subject == "legacy.*"
        for broken in ("", "a b", "a\r\nPING"):
            with pytest.raises(BadSubjectError):
                await client.publish(broken)
        await client.flush()
        assert sub.received == 1


async def test_a_pedantic_server_checks_them_itself(nats_url: str) -> None:
    errors = Gathered()
    options: dict[str, Any] = {"pedantic": True, "skip_subject_validation": True}
    async with await connect(nats_url, error_cb=errors, **options) as client:
        await client.publish("legacy.*")
        (error,) = await errors.reach()
        assert "Invalid Publish Subject" in str(error)
        await client.flush()


async def test_no_echo(nats_url: str) -> None:
    async with await connect(nats_url, no_echo=True) as deaf, await connect(nats_url) as other:
        sub = await deaf.subscribe("echo.or.not")
        await deaf.publish("echo.or.not", b"own")
        await deaf.flush()
        await other.publish("echo.or.not", b"other")
        assert (await sub.next_msg()).data == b"other"


async def test_many_publishers_at_once(nats_url: str) -> None:
    async with await connect(nats_url) as client:
        sub = await client.subscribe("crowd")

        async def publish(name: int) -> None:
            for i in range(200):
                await client.publish("crowd", f"{name} {i}")

        await asyncio.gather(*(publish(name) for name in range(20)))
        await client.flush()
        seen: dict[str, int] = {}
        for _ in range(20 * 200):
            name, i = (await sub.next_msg()).data.decode().split()
            assert int(i) == seen.get(name, -1) + 1
            seen[name] = int(i)

    async def test_one_beyond_every_server_does_no_harm(self) -> None:
        async def script(side: Side) -> None:
            await side.greet(max_payload=10**30)
            await side.answer_pings()

        async with Peer(script) as peer:
            client = await connect(peer.url)
            assert client.max_payload == MAX_PAYLOAD
            await client.close()
