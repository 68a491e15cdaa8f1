"""What goes wrong with NATS: refused, unreachable, killed, cut, too slow."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.identities import Key, Operator, creds_text
from tidings.nats import AuthorizationError, PermissionsError, SecureConnFailedError, connect
from tidings.nats.server import NatsServer
from tidings.pubsub import (
    BackpressureError,
    ConnectError,
    FlushError,
    LostConnectionError,
    NATSPubSub,
    PublishError,
    PubSubError,
)

from .servers import eventually

SECRET = "sesame-4711"
USERS = """
accounts {
  one { users: [
    { user: ada, password: %s }
    { user: bob, password: %s, permissions: { publish: "open.>", subscribe: "open.>" } }
    { nkey: %s }
  ] }
}
"""


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


@pytest.fixture(scope="module")
def guarded(key: Key) -> Iterator[NatsServer]:
    """A server with users, one of whom may do little."""
    with NatsServer(jetstream=False, token=False, config=USERS % (SECRET, SECRET, key.public)) as server:
        yield server


def works(config: dict[str, Any]) -> bool:
    with NATSPubSub(config) as pubsub:
        pubsub.subscribe("a")
        pubsub.publish("a", b"x")
        return next(pubsub.listen(timeout=20)) == b"x"


def publish_much(pubsub: NATSPubSub) -> None:
    for _ in range(100):
        pubsub.publish("a", bytes(50_000))


class TestCredentials:
    def test_user_and_password(self, guarded: NatsServer) -> None:
        assert works({"servers": guarded.url, "user": "ada", "password": SECRET})

    def test_a_wrong_password(self, guarded: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(ConnectError, match="Authorization Violation") as caught:
            NATSPubSub({"servers": guarded.url, "user": "ada", "password": f"{SECRET}-wrong"})
        assert isinstance(caught.value.__cause__, AuthorizationError)
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"

    def test_a_token(self, nats_server: NatsServer) -> None:
        bare = f"nats://{nats_server.host}:{nats_server.port}"
        assert works({"servers": bare, "token": nats_server.token})
        with pytest.raises(ConnectError):
            NATSPubSub({"servers": bare, "token": "wrong"})

    def test_a_seed_in_a_file_or_as_it_is(self, guarded: NatsServer, key: Key, tmp_path: Path) -> None:
        file = tmp_path / "user.nk"
        file.write_text(key.seed)
        assert works({"servers": guarded.url, "nkeys_seed": key.seed})
        assert works({"servers": guarded.url, "nkeys_seed": str(file)})

    def test_another_seed(self, guarded: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
        other = Key()
        with pytest.raises(ConnectError, match="Authorization Violation") as caught:
            NATSPubSub({"servers": guarded.url, "nkeys_seed": other.seed})
        assert other.seed not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"

    @pytest.mark.parametrize(
        "config",
        [
            {"nkeys_seed": "SU" + 56 * "Q"},  # no checksum
            {"user_jwt": "eyJno.jwt", "nkeys_seed": "SU" + 56 * "Q"},
            {"user_credentials": "-----BEGIN NATS USER JWT-----\nsesame-4711"},
        ],
        ids=["seed", "jwt", "creds"],
    )
    def test_what_is_malformed_within(self, guarded: NatsServer, config: dict[str, str]) -> None:
        with pytest.raises(ConnectError) as caught:
            NATSPubSub({"servers": guarded.url, **config})
        assert SECRET not in str(caught.value)
        assert "QQQ" not in str(caught.value)

    def test_a_jwt(self, key: Key, tmp_path: Path) -> None:
        operator = Operator()
        jwt = operator.user(key)
        files = {"jwt": jwt, "creds": creds_text(jwt, key.seed)}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        with NatsServer(jetstream=False, token=False, config=operator.config) as server:
            for config in (
                {"user_jwt": jwt, "nkeys_seed": key.seed},
                {"user_jwt": str(tmp_path / "jwt"), "nkeys_seed": key.seed},
                {"user_credentials": str(tmp_path / "creds")},
                {"user_credentials": files["creds"]},
            ):
                assert works({"servers": server.url, **config})
            with pytest.raises(ConnectError):
                NATSPubSub({"servers": server.url, "user_jwt": operator.user(Key()), "nkeys_seed": key.seed})

    def test_what_the_server_does_not_allow(self, guarded: NatsServer) -> None:
        with NATSPubSub({"servers": guarded.url, "user": "bob", "password": SECRET}) as pubsub:
            with pytest.raises(PubSubError, match=r"shut\.door") as caught:
                pubsub.subscribe("shut.door")
            assert isinstance(caught.value.__cause__, PermissionsError)
            pubsub.subscribe("open.door")  # the others are not hurt
            pubsub.publish("open.door", b"x")
            assert next(pubsub.listen(timeout=20)) == b"x"
            pubsub.publish("shut.door", b"x")
            pubsub.publish("shut.door", b"y")
            with pytest.raises(PublishError, match="2 published messages were refused"):
                pubsub.flush()
            pubsub.flush()


class TestTLS:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @pytest.fixture
    def server(self, authority: Authority) -> Iterator[NatsServer]:
        """It asks for our certificate."""
        files = authority.issue("127.0.0.1")
        config = (
            f'tls {{ cert_file: "{files.cert}", key_file: "{files.key}", '
            f'ca_file: "{authority.ca}", verify: true }}'
        )
        with NatsServer(jetstream=False, token=False, config=config) as server:
            yield server

    def test_our_certificate(self, server: NatsServer, authority: Authority) -> None:
        mine = authority.issue("me")
        assert works(
            {
                "servers": server.url,
                "tls": True,
                "tls_ca_cert": str(authority.ca),
                "tls_cert": str(mine.cert),
                "tls_key": str(mine.key),
            }
        )

    def test_a_server_that_is_not_trusted(self, server: NatsServer) -> None:
        with pytest.raises(ConnectError, match="not trusted") as caught:
            NATSPubSub({"servers": server.url, "tls": True})
        assert isinstance(caught.value.__cause__, SecureConnFailedError)

    def test_no_certificate_of_ours(self, server: NatsServer, authority: Authority) -> None:
        with pytest.raises(ConnectError, match="certificate"):
            NATSPubSub({"servers": server.url, "tls_ca_cert": str(authority.ca)})

    def test_a_certificate_of_ours_that_is_not_trusted(
        self, server: NatsServer, authority: Authority
    ) -> None:
        mine = Authority(authority.folder, "another authority").issue("me")
        with pytest.raises(ConnectError, match="certificate"):
            NATSPubSub(
                {
                    "servers": server.url,
                    "tls_ca_cert": str(authority.ca),
                    "tls_cert": str(mine.cert),
                    "tls_key": str(mine.key),
                }
            )

    def test_tls_turned_off_is_off(self, nats_url: str) -> None:
        assert works({"servers": nats_url, "tls": False, "tls_ca_cert": "/not/looked/at"})


class TestReach:
    def test_nobody_is_there(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            with pytest.raises(ConnectError, match=f"127.0.0.1:{port}"):
                NATSPubSub({"servers": f"nats://127.0.0.1:{port}", "connect_timeout": 5})

    def test_somebody_is_there_and_says_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(ConnectError, match=r"within 0\.2 s"):
                NATSPubSub({"servers": f"nats://127.0.0.1:{port}", "connect_timeout": 0.2})

    def test_one_of_two_is_enough(self, nats_url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            assert works({"servers": [f"nats://127.0.0.1:{port}", nats_url], "connect_timeout": 1.0})


class TestLoss:
    def listen(self, pubsub: NATSPubSub) -> tuple[threading.Thread, list[bytes | Exception]]:
        """A thread that listens, and what it got."""
        came: list[bytes | Exception] = []

        def take() -> None:
            try:
                for message in pubsub.listen():
                    came.append(message)
            except PubSubError as error:
                came.append(error)

        thread = threading.Thread(target=take)
        thread.start()
        return thread, came

    @pytest.mark.parametrize("stream", [None, "CAMERAS"])
    def test_a_server_that_returns(self, nats_server: NatsServer, stream: str | None) -> None:
        if stream:
            _make_stream(nats_server.url, stream)
        config = {"servers": nats_server.url, "stream": stream, "group_id": "g"}
        with NATSPubSub(config) as pubsub:
            pubsub.subscribe("a")
            thread, came = self.listen(pubsub)
            pubsub.publish("a", b"before")
            eventually(lambda: came == [b"before"], "the message before")
            pubsub.flush()
            nats_server.kill()
            eventually(lambda: not pubsub.nc.is_connected, "the loss")
            for number in range(10):  # held meanwhile
                pubsub.publish("a", b"%d" % number)
            nats_server.restart()
            eventually(lambda: len(came) >= 11, "the messages after")
            assert came == [b"before", *(b"%d" % number for number in range(10))]
            assert pubsub.counters.failed == 0
        thread.join(20)

    def test_a_stream_has_each_message_once_whatever_happens_to_the_server(
        self, nats_server: NatsServer
    ) -> None:
        _make_stream(nats_server.url, "CAMERAS")
        # What was on its way to us when the server died comes again after ack_wait.
        config = {"servers": nats_server.url, "stream": "CAMERAS", "group_id": "g", "ack_wait": 2.0}
        with NATSPubSub(config) as pubsub:
            pubsub.subscribe("a")
            half = threading.Event()

            def publish() -> None:
                for number in range(3000):
                    pubsub.publish("a", b"%d" % number)
                    if number == 1500:
                        half.set()

            publishing = threading.Thread(target=publish)
            publishing.start()
            assert half.wait(20)
            nats_server.kill()
            nats_server.restart()
            publishing.join(40)
            pubsub.flush(40)
            assert pubsub.counters.failed == 0
            came: set[int] = set()
            for message in pubsub.listen(timeout=20):  # some come twice
                came.add(int(message))
                if len(came) == 3000:
                    break
            assert came == set(range(3000))
            stored = asyncio.run(_stored(nats_server.url, "CAMERAS"))
            assert sorted(stored) == list(range(3000))

    @pytest.mark.parametrize("stream", [None, "CAMERAS"])
    def test_a_server_that_does_not(
        self, nats_server: NatsServer, stream: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        if stream:
            _make_stream(nats_server.url, stream)
        pubsub = NATSPubSub({"servers": nats_server.url, "stream": stream, "reconnect_timeout": 0.5})
        pubsub.subscribe("a")
        thread, came = self.listen(pubsub)
        nats_server.kill()
        eventually(lambda: not pubsub.nc.is_connected, "the loss")
        pubsub.publish("a", b"lost")
        thread.join(20)
        (error,) = came
        assert isinstance(error, LostConnectionError)
        assert "within 0.5 s" in str(error)
        assert pubsub.is_closed
        for call in (pubsub.listen, pubsub.flush, lambda: pubsub.publish("a", b"x")):
            with pytest.raises(LostConnectionError):
                call()
        eventually(lambda: pubsub.nc.is_closed, "the end of the client")
        eventually(lambda: pubsub.counters.failed == 1, "the count of what was lost")
        pubsub.close()
        assert "Traceback" not in caplog.text

    def test_publishing_waits_for_a_server_that_is_away(self, nats_server: NatsServer) -> None:
        with NATSPubSub({"servers": nats_server.url, "publish_timeout": 0.1}) as pubsub:
            nats_server.kill()
            eventually(lambda: not pubsub.nc.is_connected, "the loss")
            with pytest.raises(BackpressureError, match="no room"):
                publish_much(pubsub)
            taken = pubsub.counters.published
            assert 0 < taken < 100
            with pytest.raises(FlushError, match=r"within 0\.1 s"):
                pubsub.flush(0.1)
            nats_server.restart()
            pubsub.flush(20)
            assert (pubsub.counters.published, pubsub.counters.failed) == (taken, 0)

    def test_losing_the_server_wakes_who_waits_to_publish(self, nats_server: NatsServer) -> None:
        pubsub = NATSPubSub({"servers": nats_server.url, "reconnect_timeout": 0.5})
        nats_server.kill()
        with pytest.raises(LostConnectionError):
            publish_much(pubsub)
        pubsub.close()

    def test_close_while_it_is_away_says_what_was_lost(self, nats_server: NatsServer) -> None:
        pubsub = NATSPubSub({"servers": nats_server.url})
        nats_server.kill()
        eventually(lambda: not pubsub.nc.is_connected, "the loss")
        pubsub.publish("a", b"x")
        with pytest.raises(FlushError):
            pubsub.close(timeout=0.1)
        assert pubsub.counters.failed == 1
        assert pubsub.nc.is_closed
        pubsub.close()

    def test_what_was_written_and_not_confirmed_is_told(
        self, nats_server: NatsServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        with NATSPubSub({"servers": nats_server.url}) as pubsub:
            pubsub.publish("a", b"x")  # no answer proves that it arrived
            eventually(lambda: pubsub.nc.stats.out_msgs == 1, "the message at the socket")
            nats_server.kill()
            eventually(lambda: pubsub.counters.failed == 1, "the report")
            nats_server.restart()
            eventually(lambda: pubsub.nc.is_connected, "the way back")
            with pytest.raises(PublishError, match="may not have arrived") as caught:
                pubsub.flush()
            assert caught.value.count == 1
            pubsub.flush()

    def test_a_dropping_reader_is_logged_once(self, nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "tidings.pubsub")
        with NATSPubSub(
            {"servers": nats_url, "buffer_messages": 5, "buffer_policy": "drop_oldest"}
        ) as pubsub:
            pubsub.subscribe("slow")
            for number in range(100):
                pubsub.publish("slow", b"%d" % number)
                pubsub.flush()
            eventually(lambda: pubsub.counters.received == 100, "every message")
            assert list(map(int, islice(pubsub.listen(timeout=20), 5))) == list(range(95, 100))
        assert caplog.text.count("too slow") == 1


async def _stored(url: str, name: str) -> list[int]:
    """What is in a stream."""
    async with await connect(url) as client:
        stream = await client.jetstream().stream(name)
        found = []
        async with stream.ordered_consumer().messages() as messages:
            async for message in messages:
                found.append(int(message.data))
                if not message.metadata.num_pending:
                    return found
    return found


def _make_stream(url: str, name: str) -> None:
    async def make() -> None:
        async with await connect(url) as client:
            await client.jetstream().create_stream(name=name, subjects=["a"])

    asyncio.run(make())
