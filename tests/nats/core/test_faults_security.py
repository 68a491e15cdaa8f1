"""Certificates that are replaced, credentials that run out, and what TLS makes of a full subscription."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority, Certificate
from tests.identities import Key, Operator, creds_text
from tests.nats.core.gathering import Gathered, Ticks, eventually, leaves_nothing, numbers
from tests.nats.core.witness import QUICK, witnessing
from tests.proxy import Proxy

from tidings.nats import (
    AuthorizationError,
    ConnectionReconnectingError,
    SecureConnFailedError,
    TLSOptions,
    connect,
)
from tidings.nats.server import NatsServer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def serving(certificate: Certificate, **options: Any) -> Iterator[NatsServer]:
    config = f'tls {{ cert_file: "{certificate.cert}", key_file: "{certificate.key}" }}\n'
    with NatsServer(jetstream=False, config=config, **options) as server:
        yield server


def secure(url: str) -> str:
    return url.replace("nats://", "tls://")


async def reload(server: NatsServer) -> None:
    """Have the server read its files again."""
    assert server.pid is not None
    assert server.store_dir is not None
    log = server.store_dir / "nats-server.log"
    before = log.read_text().count("Reloaded server configuration")
    os.kill(server.pid, signal.SIGHUP)
    await eventually(lambda: log.read_text().count("Reloaded server configuration") > before)


class TestCertificates:
    async def test_a_new_one_and_a_wrong_one_and_the_right_one_again(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        files, trust = authority.issue("127.0.0.1"), TLSOptions(ca_file=authority.ca)
        with serving(files) as server:
            async with (
                Proxy(secure(server.url)) as proxy,
                witnessing(proxy.url, tls=trust) as witness,
            ):
                client = witness.client
                authority.issue("127.0.0.1", into=files)
                await reload(server)
                await witness.goes_on()
                assert not witness.lost, "a connection keeps what it began with"
                proxy.cut()
                await witness.back.reach(1)
                await witness.is_whole()

                Authority(tmp_path, "another authority").issue("127.0.0.1", into=files)
                await reload(server)
                proxy.cut()
                await eventually(lambda: isinstance(client.last_error, SecureConnFailedError))
                assert "not trusted here" in str(client.last_error)
                assert (client.is_connected, client.is_reconnecting) == (False, True)
                with pytest.raises(ConnectionReconnectingError) as caught:
                    await client.flush()
                assert isinstance(caught.value.__cause__, SecureConnFailedError)
                await witness.calls_end()
                await witness.hold(10)
                (told,) = [error for error in witness.errors if isinstance(error, SecureConnFailedError)]
                assert "ca_file" in str(told), "reported once, with what to do"

                authority.issue("127.0.0.1", into=files)
                await reload(server)
                await witness.back.reach(2)
                await witness.held_arrive(10)

    async def test_the_server_is_killed_and_comes_back_with_a_new_one(self, authority: Authority) -> None:
        files = authority.issue("127.0.0.1")
        with serving(files) as server:
            async with witnessing(secure(server.url), tls=TLSOptions(ca_file=authority.ca)) as witness:
                await asyncio.to_thread(server.kill)
                await witness.lost.reach(1)
                await witness.calls_end()
                await witness.hold(5)
                authority.issue("127.0.0.1", into=files)
                await asyncio.to_thread(server.restart)
                await witness.back.reach(1)
                await witness.held_arrive(5)

    async def test_garbage_in_the_stream(self, authority: Authority) -> None:
        """What somebody between slips in breaks TLS, and with it the link; a new one is made."""
        with serving(authority.issue("127.0.0.1")) as server:
            async with (
                Proxy(secure(server.url)) as proxy,
                witnessing(proxy.url, tls=TLSOptions(ca_file=authority.ca)) as witness,
            ):
                for round_, words in enumerate(
                    [b"MSG a 1 1\r\nx\r\n", bytes(100), b"\x17\x03\x03\x00\x05abcde"], 1
                ):
                    proxy.slip_in(words)
                    await witness.back.reach(round_)
                    assert not [
                        error for error in witness.errors if not isinstance(error, SecureConnFailedError)
                    ]
                    await witness.is_whole()
                proxy.slip_in(b"PUB a 1\r\nx\r\n", "up")
                await witness.back.reach(4)


class TestCredentials:
    async def test_a_jwt_that_expires_while_its_file_is_renewed(self, tmp_path: Path) -> None:
        """The server ends the connection; the file is read anew on the way back."""
        operator, key, file = Operator(), Key(), tmp_path / "user.creds"
        file.write_text(creds_text(operator.user(key, seconds=2), key.seed))
        with NatsServer(jetstream=False, token=False, config=operator.config) as server:
            async with witnessing(server.url, user_credentials=file) as witness:
                file.write_text(creds_text(operator.user(key), key.seed))
                await witness.back.reach(1)
                (expired,) = witness.errors
                assert isinstance(expired, AuthorizationError)
                assert "expired" in str(expired).lower()
                await witness.goes_on()

    async def test_a_password_that_is_changed_on_the_server_first(self, tmp_path: Path) -> None:
        """Refused for a while, for which nobody gives up, until the user is given the new one."""
        folder, password = tmp_path / "server", "old"
        folder.mkdir()
        users = folder / "users.conf"
        users.write_text('authorization { users = [{ user: ada, password: "old" }] }')
        with NatsServer(folder, jetstream=False, token=False, config="include users.conf") as server:
            options: dict[str, Any] = {
                "user": "ada",
                "password": lambda: password,
                "ignore_auth_error_abort": True,
            }
            async with witnessing(server.url, **options) as witness:
                users.write_text('authorization { users = [{ user: ada, password: "new" }] }')
                await reload(server)
                await witness.lost.reach(1)
                refused = len(witness.errors)
                await eventually(lambda: len(witness.errors) > 0)
                assert isinstance(witness.client.last_error, AuthorizationError)
                await witness.calls_end()
                await witness.hold(10)
                password = "new"
                await witness.back.reach(1)
                await witness.held_arrive(10)
                assert len(witness.errors) <= refused + 2, "not once an attempt"


class TestBlockedOverTls:
    """Whoever does not read has to hold up TLS too, and what it has decrypted already."""

    @pytest.fixture
    def server(self, authority: Authority) -> Iterator[NatsServer]:
        with serving(authority.issue("127.0.0.1")) as server:
            yield server

    @pytest.fixture
    def trust(self, authority: Authority) -> dict[str, Any]:
        return {"tls": TLSOptions(ca_file=authority.ca)}

    async def test_nothing_is_dropped(self, server: NatsServer, trust: dict[str, Any]) -> None:
        errors, count = Gathered(), 20_000
        url = secure(server.url)
        async with (
            leaves_nothing(),
            await connect(url, **trust) as sender,
            await connect(url, error_cb=errors, **trust) as client,
        ):
            sub = await client.subscribe("flood", limit_policy="block", pending_msgs_limit=100)
            await client.flush()
            for number in range(count):
                await sender.publish("flood", str(number).ljust(1000))
            await sender.flush()
            await eventually(lambda: client._subscriptions.is_blocked)
            assert sub.received < count // 2, "what TLS and the socket had, and not all"
            assert client.is_connected
            assert numbers([await sub.next_msg(20) for _ in range(count)]) == list(range(count))
            assert (sub.received, sub.dropped, errors) == (count, 0, [])
            assert not client._subscriptions.is_blocked

    @pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "tcp"])
    async def test_a_connection_that_is_lost_meanwhile(
        self, server: NatsServer, trust: dict[str, Any], nats_url: str, encrypted: bool
    ) -> None:
        """A socket that nobody reads hides its end: a ping in vain shows it."""
        lost, back = Gathered(), Gathered()
        async with leaves_nothing(), Proxy(secure(server.url) if encrypted else nats_url) as proxy:
            ticks = Ticks()
            options: dict[str, Any] = QUICK | {"ping_interval": ticks.interval} | (trust if encrypted else {})
            client = await connect(proxy.url, disconnected_cb=lost, reconnected_cb=back, **options)
            sub = await client.subscribe("flood", limit_policy="block", pending_msgs_limit=1)
            await client.publish("flood", b"1")
            await eventually(lambda: client._subscriptions.is_blocked)
            async with proxy.away():
                while not lost:  # a word to make the other side's kernel say so, and one that fails
                    ticks.tick()
                    await asyncio.sleep(0)
                assert not client.is_connected
            await back.reach(1)
            assert client._subscriptions.is_blocked, "nobody has read yet"
            await client.publish("flood", b"2")
            assert [(await sub.next_msg(20)).data for _ in range(2)] == [b"1", b"2"]
            await client.drain(10)

    @pytest.mark.parametrize("end", ["drain", "close"])
    async def test_the_client_ends_meanwhile(
        self, server: NatsServer, trust: dict[str, Any], end: str
    ) -> None:
        async with leaves_nothing(), await connect(secure(server.url), **trust) as sender:
            client = await connect(secure(server.url), **trust)
            sub = await client.subscribe("flood", limit_policy="block", pending_msgs_limit=10)
            await client.flush()
            for _ in range(2000):
                await sender.publish("flood", bytes(1000))
            await sender.flush()
            await eventually(lambda: client._subscriptions.is_blocked)
            async with asyncio.timeout(10):
                await (client.drain(5) if end == "drain" else client.close())
            assert client.is_closed
            assert sub.is_closed
