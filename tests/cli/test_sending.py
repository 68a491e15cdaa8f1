"""`tidings publish` and `tidings request` against a real server, and what they say of each failure."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tidings.brokers.nats import NatsBroker
from tidings.cli import Exit
from tidings.messaging.errors import RemoteError
from tidings.nats import Client, Msg, connect
from tidings.nats.jetstream import StreamConfig
from tidings.nats.server import NatsServer


async def sent(start, nats_url: str, *args: str, **given: object) -> list[Msg]:
    """What `tidings publish cli.in` publishes with these arguments."""
    messages: list[Msg] = []
    async with await connect(nats_url) as client:
        subscription = await client.subscribe("cli.>")
        await client.flush()
        command = start("publish", "cli.in", *args, **{"TIDINGS_NATS_SERVERS": nats_url, **given})
        assert await ended(command) == Exit.OK, command.err
        await client.publish("cli.last", b"")
        async for message in subscription:
            if message.subject == "cli.last":
                break
            messages.append(message)
    return messages


async def ended(command) -> int:
    return await asyncio.to_thread(command.end)


async def test_a_message_as_an_argument_with_headers(start, nats_url: str) -> None:
    (message,) = await sent(start, nats_url, '{"id": 1}', "-H", "tenant: a: b", "--correlation-id", "c-1")
    assert message.data == b'{"id": 1}'
    assert message.headers["tenant"] == "a: b"
    assert message.headers["correlation_id"] == "c-1"


@pytest.mark.parametrize("args", [(), ("-",)])
async def test_a_message_from_stdin_as_it_is(args, start, nats_url: str) -> None:
    (message,) = await sent(start, nats_url, *args, stdin=b"\x00two\nlines\n")
    assert message.data == b"\x00two\nlines\n"


async def test_a_message_from_a_file_several_times(start, nats_url: str, folder) -> None:
    (folder / "body.bin").write_bytes(bytes(range(256)))
    messages = await sent(start, nats_url, "--file", "body.bin", "--count", "3", "--reply-to", "x.y")
    assert [message.data for message in messages] == [bytes(range(256))] * 3
    assert {message.reply for message in messages} == {"x.y"}


async def test_what_it_says_when_it_is_done(start, nats_url: str) -> None:
    command = start("publish", "cli.in", "", "--server", nats_url)
    assert await ended(command) == Exit.OK
    assert command.out() == "published 1 message to 'cli.in'\n"


@asynccontextmanager
async def stream(client: Client) -> AsyncIterator[None]:
    js = client.jetstream()
    await js.create_stream(StreamConfig(name="CLI", subjects=["stored.cli"]))
    try:
        yield
    finally:
        await js.delete_stream("CLI")


async def test_into_a_stream_once(start, nats_url: str) -> None:
    async with await connect(nats_url) as client, stream(client):
        arguments = ("publish", "stored.cli", "x", "--stream", "CLI", "--msg-id", "one")
        for said in ("stored in CLI as 1\n", "stored in CLI as 1, which it had already\n"):
            command = start(*arguments, TIDINGS_NATS_SERVERS=nats_url)
            assert await ended(command) == Exit.OK, command.err
            assert command.out() == f"published 1 message to 'stored.cli', {said}"
        command = start("publish", "stored.cli", "x", "--stream", "CLI", "--count", "3", "-s", nats_url)
        assert await ended(command) == Exit.OK, command.err
        assert command.out().endswith("stored in CLI up to 4\n")


async def test_a_stream_that_does_not_take_it(start, nats_url: str) -> None:
    command = start("publish", "cli.nowhere", "x", "--stream", "NOWHERE", "--server", nats_url)
    assert await ended(command) == Exit.NOT_PUBLISHED
    assert "tidings: not published: " in command.err
    assert "Traceback" not in command.err


@asynccontextmanager
async def service(nats_url: str) -> AsyncIterator[NatsBroker]:
    """A handler that answers, one that repeats, and one that says nothing."""
    broker = NatsBroker(nats_url, logger=None)

    @broker.subscriber("cli.double")
    async def double(number: int) -> dict[str, int]:
        if number < 0:
            raise RemoteError("422", "no negative numbers")
        return {"double": 2 * number}

    @broker.subscriber("cli.bytes")
    async def raw(body: bytes) -> bytes:
        return body

    @broker.subscriber("cli.deaf", no_reply=True)
    async def deaf(body: bytes) -> None: ...

    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


async def test_a_request_prints_the_answer(start, nats_url: str) -> None:
    async with service(nats_url):
        command = start("request", "cli.double", "21", TIDINGS_NATS_SERVERS=nats_url)
        assert await ended(command) == Exit.OK, command.err
        assert json.loads(command.out()) == {"double": 42}
        command = start("request", "cli.bytes", "--raw", TIDINGS_NATS_SERVERS=nats_url, stdin=b"as it is")
        assert await ended(command) == Exit.OK, command.err
        assert command.out() == "as it is"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("cli.double", "-1"), Exit.USAGE, ""),  # looks like an option
        (("cli.double", "--", "-1"), Exit.ERROR_ANSWER, "answered with an error: 422: no negative numbers"),
        (("cli.double", "many"), Exit.ERROR_ANSWER, "answered with an error: 400: "),
        (("cli.nobody", "x"), Exit.NO_ANSWER, "is the service running?"),
        (("cli.deaf", "x", "--timeout", "0.2"), Exit.NO_ANSWER, "--timeout SECONDS waits longer"),
        (("cli.*", "x"), Exit.NOT_PUBLISHED, "cli.*"),
    ],
)
async def test_a_request_that_fails(args, code, said, start, nats_url: str) -> None:
    async with service(nats_url):
        command = start("request", *args, TIDINGS_NATS_SERVERS=nats_url)
        assert await ended(command) == code, command.err
    assert said in command.err
    assert "Traceback" not in command.err
    assert command.out() == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a", "x", "--file", "here"), "a message and --file: give one of them"),
        (("a", "--file", "nowhere"), "--file nowhere: No such file"),
        (("a", "x", "-H", "no colon"), "--header 'no colon' is not of the form NAME:VALUE"),
        (("a", "x", "-H", "b:1", "-H", "b:2"), "--header 'b' comes twice"),
        (("a", "x", "--msg-id", "1"), "--msg-id is for a stream"),
        (("a", "x", "--stream", "S", "--reply-to", "b"), "--reply-to and --stream"),
        (("a", "x", "--app", "main:app", "-s", "nats://h"), "--server and --app: give one of them"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(args, said, start) -> None:
    command = start("publish", *args)
    assert command.end() == Exit.USAGE
    assert f"tidings: {said}" in command.err
    assert "Traceback" not in command.err


@pytest.mark.parametrize("verb", ["publish", "request"])
def test_no_server_is_told_at_once_without_secrets(verb: str, start) -> None:
    command = start(verb, "a", "x", "--server", "nats://me:secret@127.0.0.1:1")
    assert command.end() == Exit.NO_SERVER
    assert "tidings: no connection to nats://127.0.0.1:1" in command.err
    assert "--server URL" in command.err
    assert "secret" not in command.err
    assert "Traceback" not in command.err


async def test_what_the_server_forbids_is_told(start, tmp_path) -> None:
    users = 'authorization { users = [{user: me, password: pw, permissions: {publish: {deny: "secret.>"}}}] }'
    server = NatsServer(tmp_path / "server", token=False, config=users)
    await asyncio.to_thread(server.start)
    try:
        url = f"nats://me:pw@{server.host}:{server.port}"
        command = start("publish", "secret.x", "x", "--server", url)
        assert await ended(command) == Exit.NOT_PUBLISHED
        assert "tidings: not published: " in command.err
        assert "secret.x" in command.err
    finally:
        await asyncio.to_thread(server.stop)


async def test_the_broker_of_an_app_is_used(start, module, nats_url: str) -> None:
    module(
        "main",
        f"""
        from tidings import App
        from tidings.brokers.memory import MemoryBroker
        from tidings.brokers.nats import NatsBroker

        async def sign(outgoing, call_next):
            outgoing.headers["signed"] = "yes"
            return await call_next(outgoing)

        app = App(MemoryBroker(), NatsBroker({nats_url!r}, publish_middlewares=[sign]))
        other = App(MemoryBroker())
        """,
    )
    (message,) = await sent(start, nats_url, "x", "--app", "main:app", TIDINGS_NATS_SERVERS="nats://unused:1")
    assert message.headers["signed"] == "yes"
    command = start("publish", "cli.in", "x", "--app", "main:other")
    assert await ended(command) == Exit.NO_APP
    assert "it has no NATS broker" in command.err
