"""`NatsBroker` on a real server: what is published, requested, handled and answered."""

import asyncio
import logging
from typing import Any

import pytest
from pydantic import BaseModel

from tidings.brokers.nats import NatsBroker, NatsMessage
from tidings.messaging.errors import (
    NoRespondersError,
    NotConnectedError,
    PublishError,
    RemoteError,
    RequestTimeoutError,
    SetupError,
)
from tidings.messaging.params import Context, Depends, Header, Logger, Path
from tidings.nats import Client, Msg
from tidings.nats import errors as nats


class User(BaseModel):
    username: str
    user_id: int


class Inbox(asyncio.Queue[Any]):
    """What handlers saw, waited for with a bound."""

    async def next(self) -> Any:
        return await asyncio.wait_for(self.get(), 10)


@pytest.fixture
def broker(nats_url: str) -> NatsBroker:
    return NatsBroker(nats_url)


async def test_what_is_published_is_handled(broker: NatsBroker) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.users")
    async def handler(user: User) -> None:
        await inbox.put(user)

    async with broker:
        await broker.start()
        await broker.publish({"username": "n", "user_id": 1}, "broker.users")
        await broker.publish(message=User(username="m", user_id=2), subject="broker.users")
        assert await inbox.next() == User(username="n", user_id=1)
        assert await inbox.next() == User(username="m", user_id=2)


async def test_a_start_returns_when_the_server_knows_the_subscribers(
    nats_url: str, broker: NatsBroker
) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.started")
    async def handler(body: bytes) -> None:
        await inbox.put(body)

    async with broker, NatsBroker(nats_url) as other:
        await broker.start()
        await other.publish(b"x", "broker.started")
        assert await inbox.next() == b"x"


async def test_headers_go_along_as_the_peer_writes_them(broker: NatsBroker) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.headers")
    async def handler(message: NatsMessage) -> None:
        await inbox.put((dict(message.headers), message.raw.reply, message.body))

    async with broker:
        await broker.start()
        await broker.publish(
            [1], "broker.headers", headers={"tenant": "t"}, reply_to="back", correlation_id="c-1"
        )
        headers = {"correlation_id": "c-1", "content-type": "application/json", "tenant": "t"}
        assert await inbox.next() == (headers, "back", b"[1]")


async def test_a_handler_gets_all_that_it_asks_for(broker: NatsBroker) -> None:
    inbox = Inbox()

    async def database(client: Client, tenant: str = Header()) -> str:
        return f"{tenant} of {client.is_connected}"

    @broker.subscriber("broker.logs.{level}.{host}")
    async def handler(
        text: str,
        message: NatsMessage,
        raw: Msg,
        logger: Logger,
        itself: NatsBroker,
        level: str = Path(),
        name: str = Path("host"),
        correlation_id: str = Context("message.correlation_id"),
        connected: str = Depends(database),
    ) -> None:
        assert itself is broker
        assert raw is message.raw
        await inbox.put((text, message.subject, level, name, correlation_id, connected, logger))

    async with broker:
        await broker.start()
        await broker.publish("5", "broker.logs.info.h1", headers={"tenant": "t"}, correlation_id="c-1")
        expected = ("5", "broker.logs.info.h1", "info", "h1", "c-1", "t of True", broker.logger)
        assert await inbox.next() == expected


async def test_a_queue_group_shares_the_messages(nats_url: str) -> None:
    inbox = Inbox()
    brokers = [NatsBroker(nats_url), NatsBroker(nats_url)]
    for number, each in enumerate(brokers):

        @each.subscriber("broker.shared", queue="workers")
        async def handler(body: int, number: int = number) -> None: ...

    shared = [NatsBroker(nats_url), NatsBroker(nats_url)]
    for each in shared:

        @each.subscriber("broker.shared.bytes", queue="workers")
        async def count(body: bytes) -> None:
            await inbox.put(body)

        await each.start()
    for number in range(20):
        await shared[0].publish(str(number).encode(), "broker.shared.bytes")
    got = {await inbox.next() for _ in range(20)}
    assert got == {str(number).encode() for number in range(20)}
    assert inbox.empty()
    for each in shared:
        await each.stop()


async def test_a_request_gets_the_result(broker: NatsBroker) -> None:
    @broker.subscriber("broker.double")
    async def double(x: int) -> int:
        return x * 2

    @broker.subscriber("broker.nothing")
    def nothing(x: int) -> None: ...

    async with broker:
        await broker.start()
        answer = await broker.request(4, "broker.double", timeout=10, correlation_id="c-1")
        assert isinstance(answer, NatsMessage)
        assert answer.body == b"8"
        assert await answer.decode() == 8
        assert answer.correlation_id == "c-1"
        assert (await broker.request(4, "broker.nothing", timeout=10)).body == b""
        assert (await broker.publisher("broker.double").request(5, timeout=10)).body == b"10"


async def test_a_result_goes_where_the_reply_is_wanted(broker: NatsBroker) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.asked")
    async def asked(x: int) -> int:
        return x + 1

    @broker.subscriber("broker.answers")
    async def answers(x: int, correlation_id: str = Context("message.correlation_id")) -> None:
        await inbox.put((x, correlation_id))

    async with broker:
        await broker.start()
        await broker.publish(1, "broker.asked", reply_to="broker.answers", correlation_id="c-1")
        assert await inbox.next() == (2, "c-1")
        publisher = broker.publisher("broker.asked", reply_to="broker.answers")
        await publisher.publish(2, correlation_id="c-2")
        assert await inbox.next() == (3, "c-2")


async def test_a_failing_handler_answers_at_once_and_goes_on(broker: NatsBroker) -> None:
    @broker.subscriber("broker.fails")
    async def fails(x: int) -> int:
        if x == 0:
            raise ZeroDivisionError("inside")
        if x == 1:
            raise RemoteError("404", "no such\nnumber")
        return x

    async with broker:
        await broker.start()
        for message, code, description in (
            (0, "500", "the handler failed with ZeroDivisionError"),
            (1, "404", "no such number"),
            (
                "x",
                "400",
                "message of 'broker.fails': parameter 'x': Invalid JSON: expected value at line 1 column 1",
            ),
        ):
            with pytest.raises(RemoteError) as caught:
                await broker.request(message, "broker.fails", timeout=10)
            assert (caught.value.code, caught.value.description) == (code, description)
            assert isinstance(caught.value.response, NatsMessage)
        assert (await broker.request(2, "broker.fails", timeout=10)).body == b"2"


async def test_an_error_is_answered_as_adr_32_asks(broker: NatsBroker) -> None:
    @broker.subscriber("broker.error")
    async def fails(body: bytes) -> None:
        raise RemoteError("409", "exists")

    async with broker:
        await broker.start()
        answer = await broker.client.request("broker.error", timeout=10)
        assert answer.data == b""
        assert answer.headers["Nats-Service-Error"] == "exists"
        assert answer.headers["Nats-Service-Error-Code"] == "409"


async def test_a_request_that_nobody_answers_ends(broker: NatsBroker) -> None:
    @broker.subscriber("broker.silent", no_reply=True)
    async def silent(body: bytes) -> int:
        return 1

    async with broker:
        await broker.start()
        with pytest.raises(RequestTimeoutError) as late:
            await broker.request(b"", "broker.silent", timeout=0.05)
        with pytest.raises(NoRespondersError) as nobody:
            await broker.request(b"", "broker.nobody", timeout=10)
    assert isinstance(late.value.__cause__, nats.TimeoutError)
    assert isinstance(nobody.value.__cause__, nats.NoRespondersError)


async def test_what_nats_refuses_is_an_error_with_its_cause(broker: NatsBroker) -> None:
    async with broker:
        with pytest.raises(PublishError) as caught:
            await broker.publish(b"", "not a subject")
        assert isinstance(caught.value.__cause__, nats.BadSubjectError)
        with pytest.raises(PublishError) as caught:
            await broker.publish(bytes(broker.client.max_payload + 1), "broker.large")
        assert isinstance(caught.value.__cause__, nats.MaxPayloadError)


async def test_publish_that_fails_in_a_handler_is_told_to_the_requester(broker: NatsBroker) -> None:
    @broker.subscriber("broker.relay")
    async def relay(body: bytes) -> None:
        await broker.publish(body, "not a subject")

    async with broker:
        await broker.start()
        with pytest.raises(RemoteError, match="500: the handler failed with PublishError"):
            await broker.request(b"", "broker.relay", timeout=10)


@pytest.mark.parametrize("use", ["publish", "request"])
async def test_use_before_connecting_says_what_to_call(use: str) -> None:
    broker = NatsBroker("nats://user:secret@localhost:4222")
    with pytest.raises(NotConnectedError) as caught:
        await getattr(broker, use)(b"", "broker.x")
    assert "not connected to nats://localhost:4222: call `await broker.connect()`" in str(caught.value)
    with pytest.raises(NotConnectedError):
        _ = broker.client


async def test_a_subscriber_can_be_made_while_the_broker_runs(broker: NatsBroker) -> None:
    inbox = Inbox()

    async def handler(body: bytes) -> None:
        await inbox.put(body)

    async with broker:
        await broker.start()
        subscriber = broker.subscriber("broker.late")
        subscriber(handler)
        await subscriber.start()
        await broker.publish(b"1", "broker.late")
        assert await inbox.next() == b"1"
        await subscriber.stop()
        with pytest.raises(NoRespondersError):
            await broker.request(b"2", "broker.late", timeout=10)


async def test_a_chain_of_handlers_passes_results_and_the_correlation_id_on(broker: NatsBroker) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.one")
    @broker.publisher("broker.two")
    async def one(x: int) -> int:
        return x + 1

    @broker.publisher("broker.three")
    @broker.subscriber("broker.two")
    def two(x: int) -> int:
        return x * 10

    @broker.subscriber("broker.three")
    async def three(x: int, correlation_id: str = Context("message.correlation_id")) -> None:
        await inbox.put((x, correlation_id))

    async with broker:
        await broker.start()
        await broker.publish(1, "broker.one", correlation_id="c-1")
        assert await inbox.next() == (20, "c-1")


async def test_a_broker_can_be_started_again(broker: NatsBroker) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.again")
    async def handler(body: bytes) -> None:
        await inbox.put(body)

    for body in (b"1", b"2"):
        await broker.start()
        assert await broker.ping()
        await broker.publish(body, "broker.again")
        assert await inbox.next() == body
        await broker.stop()
        assert not await broker.ping()


async def test_a_hostile_header_block_stops_no_handler(broker: NatsBroker, nats_url: str) -> None:
    inbox = Inbox()

    @broker.subscriber("broker.hostile")
    async def handler(body: bytes, message: NatsMessage) -> None:
        await inbox.put((body, dict(message.headers)))

    async with broker:
        await broker.start()
        await publish_raw(nats_url, b"HPUB broker.hostile 7 8\r\ngarbagex\r\n")
        await broker.publish(b"next", "broker.hostile", correlation_id="c")
        assert await inbox.next() == (b"x", {})
        assert await inbox.next() == (b"next", {"correlation_id": "c"})


async def publish_raw(url: str, command: bytes) -> None:
    """Send a line as no client would."""
    token, _, address = url.removeprefix("nats://").rpartition("@")
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connect = b'CONNECT {"verbose":false,"headers":true,"auth_token":"%s"}\r\n' % token.encode()
    writer.write(connect + command + b"PING\r\n")
    await asyncio.wait_for(reader.readuntil(b"PONG\r\n"), 10)
    writer.close()
    await writer.wait_closed()


async def test_a_slow_handlers_losses_are_logged(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    broker, release, inbox = NatsBroker(nats_url), asyncio.Event(), Inbox()

    @broker.subscriber("broker.slow", pending_msgs_limit=1)
    async def handler(body: bytes) -> None:
        await inbox.put(body)
        await release.wait()

    async with broker:
        await broker.start()
        await broker.publish(b"", "broker.slow")
        await inbox.next()
        for _ in range(5):
            await broker.publish(b"", "broker.slow")
        await broker.client.flush()
        release.set()
    assert "slow consumer" in caplog.text


def test_a_subject_that_is_none_is_refused_at_the_start(broker: NatsBroker) -> None:
    @broker.subscriber("logs.x-{level}")
    async def handler(body: bytes) -> None: ...

    async def start() -> None:
        async with broker:
            await broker.start()

    with pytest.raises(SetupError, match="is not a token like"):
        asyncio.run(start())


def test_the_logger_is_the_users(nats_url: str) -> None:
    logger = logging.getLogger("mine")
    assert NatsBroker(nats_url, logger=logger, name="service").logger is logger
