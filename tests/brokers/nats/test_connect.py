"""Finding a server, and saying clearly that there is none."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tidings.brokers.nats import NatsBroker
from tidings.brokers.nats.adapter import NatsAdapter
from tidings.messaging.errors import BrokerConnectionError, BrokerRefusedError, SetupError
from tidings.nats import NoServersError
from tidings.nats.server import NatsServer


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses connections."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def test_no_server_is_a_line_a_try_and_then_an_error(
    nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = NatsBroker(f"nats://user:secret@{nobody}", connect_attempts=2, connect_wait=0)
    with pytest.raises(BrokerConnectionError) as caught:
        await broker.start()
    lines = [record.getMessage() for record in caplog.records]
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"no connection to nats://{nobody}, try {number} of 2: ")
    assert len(lines) == 2
    text = str(caught.value)
    assert text.startswith(f"no connection to nats://{nobody}: nothing listens there (connection refused). ")
    assert "Start nats-server there, or say where it is" in text
    assert "TIDINGS_NATS_SERVERS" in text
    assert "secret" not in text + "".join(lines)
    assert isinstance(caught.value.__cause__, NoServersError)


async def test_wrong_credentials_are_not_tried_again(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    broker = NatsBroker(f"nats://wrong@{nats_server.host}:{nats_server.port}", connect_wait=0)
    with pytest.raises(BrokerRefusedError):
        await broker.connect()
    assert not [record for record in caplog.records if "try" in record.getMessage()]


@pytest.mark.parametrize("servers", ["http://localhost:1", "nats://", "nats://localhost:port"])
async def test_an_address_that_is_none_is_refused(servers: str) -> None:
    with pytest.raises(SetupError, match="cannot connect to "):
        await NatsBroker(servers).connect()


@pytest.mark.parametrize("servers", [4222, b"nats://u:secret@here", [b"nats://u:secret@here"], {1: 2}])
def test_servers_that_are_no_text_are_refused_by_their_type(servers: Any) -> None:
    with pytest.raises(SetupError, match="are a URL, or a list of URLs, not one of type ") as caught:
        NatsBroker(servers)
    assert "secret" not in str(caught.value)


def test_the_servers_are_those_given_or_of_the_variable_or_local(monkeypatch: pytest.MonkeyPatch) -> None:
    def address(*servers: str) -> str:
        adapter = NatsBroker(*servers).adapter
        assert isinstance(adapter, NatsAdapter)
        return adapter.address

    monkeypatch.delenv("TIDINGS_NATS_SERVERS", raising=False)
    assert address() == "nats://localhost:4222"
    monkeypatch.setenv("TIDINGS_NATS_SERVERS", "nats://token@a:1,nats://u:p@b:2")
    assert address() == "nats://a:1, nats://b:2"
    assert address("c:3") == "c:3"
    assert NatsBroker(["nats://p@ss@a:1", "b:2"]).adapter.address == "nats://a:1, b:2"


async def test_the_options_of_the_client_reach_it(nats_url: str) -> None:
    async with NatsBroker(nats_url, name="shop", max_reconnect_attempts=-1) as broker:
        assert broker.client.options.name == "shop"
        assert broker.client.options.max_reconnect_attempts == -1


async def test_a_lost_connection_is_logged_and_taken_up_again(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tidings")
    connected, handled = asyncio.Event(), asyncio.Event()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "connected again" in record.getMessage():
                connected.set()

    watch = Watch()
    logging.getLogger("tidings").addHandler(watch)
    broker = NatsBroker(nats_server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)

    @broker.subscriber("connect.again")
    async def handler(body: bytes) -> None:
        handled.set()

    async with broker:
        await broker.start()
        await asyncio.to_thread(nats_server.restart)
        await asyncio.wait_for(connected.wait(), 30)
        await broker.publish(b"", "connect.again")
        await asyncio.wait_for(handled.wait(), 10)
    assert "NATS: the connection is lost" in caplog.text
    logging.getLogger("tidings").removeHandler(watch)
