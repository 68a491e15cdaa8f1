from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.nats.core.gathering import Gathered, leaves_nothing
from tests.peers import Garbage, Peer, Side, Silent, Welcoming, info_line

from tidings.nats import (
    AuthorizationError,
    BadSubjectError,
    Client,
    ConnectionClosedError,
    NoServersError,
    ProtocolError,
    SecureConnFailedError,
    ServerError,
    TimeoutError,
    connect,
)
from tidings.nats.server import NatsServer


async def closed_port() -> int:
    """A port that refuses connections: it was free a moment ago."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """A port where the kernel takes connections and nobody serves them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def parts(url: str) -> tuple[str, str]:
    """The token of a URL, and its address."""
    split = urlsplit(url)
    return split.username or "", f"127.0.0.1:{split.port}"


class TestWhereItConnects:
    async def test_a_url_with_a_token(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            assert isinstance(client, Client)
            assert client.is_connected
            assert not client.is_closed
            assert not client.is_reconnecting
            assert not client.is_draining

    async def test_a_token_among_the_options(self, nats_url: str) -> None:
        token, address = parts(nats_url)
        async with await connect(f"nats://{address}", token=token) as client:
            assert client.connected_url == f"nats://{address}"

    async def test_the_scheme_may_be_left_out(self, nats_url: str) -> None:
        token, address = parts(nats_url)
        async with await connect(address, token=token) as client:
            assert client.is_connected

    @pytest.mark.parametrize("as_list", [True, False])
    async def test_the_first_of_several_is_down(self, nats_url: str, as_list: bool) -> None:
        servers = [f"nats://127.0.0.1:{await closed_port()}", nats_url]
        async with await connect(servers if as_list else ",".join(servers), no_randomize=True) as client:
            assert client.is_connected

    async def test_the_info_of_the_server_is_there(self, nats_url: str) -> None:
        async with await connect(nats_url) as client:
            assert client.server_info["version"]
            assert client.max_payload == client.server_info["max_payload"] == 1024 * 1024
            client.server_info.clear()
            assert client.server_info["version"]

    async def test_a_verbose_connection(self, nats_url: str) -> None:
        async with await connect(nats_url, verbose=True) as client:
            await client.publish("verbose", b"1")
            await client.flush()
            assert client.is_connected

    async def test_what_connect_tells_the_server(self) -> None:
        told = {}

        async def script(side: Side) -> None:
            told.update(await side.greet())
            await side.answer_pings()

        async with Peer(script) as peer:
            client = await connect(peer.url, name="orders", no_echo=True, pedantic=True)
            await client.close()
        assert told["name"] == "orders"
        assert told["echo"] is False
        assert told["pedantic"] is True
        assert told["verbose"] is False
        assert told["lang"] == "python-tidings"
        # ADR-5: protocol 1 asks for INFO at any time; ADR-4: headers, and with them no responders.
        assert (told["protocol"], told["headers"], told["no_responders"]) == (1, True, True)
        assert not {"user", "pass", "auth_token"} & set(told)

    @pytest.mark.parametrize("servers", [[], "", " , ", "http://localhost", "nats://", "nats://h:port"])
    async def test_what_is_no_server(self, servers: str | list[str]) -> None:
        with pytest.raises(ValueError, match="server"):
            await connect(servers)

    async def test_an_option_there_is_not(self, nats_url: str) -> None:
        with pytest.raises(TypeError, match="no option 'tmeout'"):
            await connect(nats_url, tmeout=1)  # type: ignore[call-arg]

    @pytest.mark.parametrize("prefix", ["", "a b", "a.*", "a.>", "a..b", ".a", "a.", "a\r\nb"])
    async def test_an_inbox_prefix_that_is_no_subject(self, prefix: str) -> None:
        with pytest.raises(BadSubjectError, match="inbox_prefix"):
            await connect("nats://127.0.0.1:1", inbox_prefix=prefix)


USERS = """
authorization { users = [ { user: ada, password: "s3cret" }, { user: "b@b", password: "p:/?#@" } ] }
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Host and port of a server with users."""
    with NatsServer(jetstream=False, token=False, config=USERS) as server:
        yield f"{server.host}:{server.port}"


class TestCredentials:
    async def test_user_and_password_in_the_url(self, address: str) -> None:
        async with await connect(f"nats://ada:s3cret@{address}") as client:
            assert client.is_connected

    async def test_in_the_url_they_may_be_percent_encoded(self, address: str) -> None:
        async with await connect(f"nats://b%40b:p%3A%2F%3F%23%40@{address}") as client:
            assert client.is_connected

    async def test_user_and_password_among_the_options(self, address: str) -> None:
        async with await connect(f"nats://{address}", user="b@b", password="p:/?#@") as client:
            assert client.is_connected

    async def test_those_in_the_url_come_first(self, address: str) -> None:
        async with await connect(f"nats://ada:s3cret@{address}", user="b@b", password="wrong") as client:
            assert client.is_connected

    @pytest.mark.parametrize(
        "who", ["nats://ada:wr0ng@", "nats://nobody:s3cret@", "nats://t0ken@", "nats://"], ids=repr
    )
    async def test_wrong_ones_are_told_at_once(self, address: str, who: str) -> None:
        async with leaves_nothing():
            with pytest.raises(AuthorizationError, match="Authorization Violation") as caught:
                await connect(who + address)
        for secret in ("wr0ng", "s3cret", "t0ken"):
            assert secret not in str(caught.value)

    async def test_another_server_may_still_take_us(self, address: str, nats_url: str) -> None:
        async with await connect([f"nats://ada:wrong@{address}", nats_url], no_randomize=True) as client:
            assert client.connected_url == f"nats://{parts(nats_url)[1]}"

    async def test_a_refusal_says_more_than_a_dead_server(self, address: str) -> None:
        servers = [f"nats://ada:wrong@{address}", f"nats://127.0.0.1:{await closed_port()}"]
        with pytest.raises(AuthorizationError):
            await connect(servers, no_randomize=True)


class TestNoServer:
    async def test_nobody_listens(self) -> None:
        port = await closed_port()
        async with leaves_nothing():
            with pytest.raises(NoServersError) as caught:
                await connect(f"nats://ada:s3cret@127.0.0.1:{port}")
        assert str(caught.value) == (
            f"cannot connect to NATS: nats://127.0.0.1:{port}: nothing listens there (connection refused)"
        )
        assert list(caught.value.reasons) == [f"nats://127.0.0.1:{port}"]
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        assert "s3cret" not in str(caught.value)
        assert "ada" not in str(caught.value)

    async def test_every_server_is_named(self) -> None:
        ports = [await closed_port(), await closed_port()]
        with pytest.raises(NoServersError) as caught:
            await connect([f"nats://t0ken@127.0.0.1:{port}" for port in ports])
        assert [str(caught.value).count(f"127.0.0.1:{port}") for port in ports] == [1, 1]
        assert "t0ken" not in str(caught.value)

    async def test_it_is_a_connection_error_as_python_knows_it(self) -> None:
        with pytest.raises(ConnectionError):
            await connect(f"nats://127.0.0.1:{await closed_port()}")

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "label..empty", "x" * 70 + ".invalid"])
    async def test_a_name_that_does_not_resolve(self, host: str) -> None:
        with pytest.raises(NoServersError, match=host[:20]) as caught:
            await connect(f"nats://{host}:4222", connect_timeout=10)
        assert str(caught.value).count(f"nats://{host}") == 1
        assert isinstance(caught.value.__cause__, OSError)

    async def test_closed_cb_is_for_a_client_that_was_open(self) -> None:
        closed = Gathered()
        with pytest.raises(NoServersError):
            await connect(f"nats://127.0.0.1:{await closed_port()}", closed_cb=closed)
        assert not closed


class TestBadHandshake:
    async def refused(self, peer: Peer, timeout: float = 10) -> Exception:
        """Connect to a peer that fails us; returns the reason, and sees that nothing is left open."""
        with pytest.raises(NoServersError) as caught:
            await connect(peer.url, connect_timeout=timeout)
        assert isinstance(caught.value.__cause__, Exception)
        return caught.value.__cause__

    @pytest.mark.parametrize(
        "first",
        [
            b"",
            info_line(),
            info_line() + b"+OK\r\n",
            b"INFO {",
            info_line()[:-2],
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"MSG a 1 0\r\n\r\n",
        ],
        ids=lambda first: repr(first[:16]),
    )
    async def test_a_server_that_falls_silent(self, first: bytes) -> None:
        async with leaves_nothing(), Peer(Silent(first)) as peer:
            reason = await self.refused(peer, timeout=0.05)
        assert isinstance(reason, TimeoutError)
        assert f"{peer.url} did not answer within 0.05 s" in str(reason)

    @pytest.mark.parametrize(
        "words",
        [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\r\n",
            b"\n",
            b"INFO\r\n",
            b"INFO 5\r\n",
            b"INFO {]\r\n",
            b"INFO {}\n",
            b"\x00" * 4096 + b"\r\n",
            b"PING\r\n",
            b"PONG\r\n",
            b"x" * 2_000_000,
            b"INFO " + b"[" * 200_000 + b"\r\n",
            info_line() + b"GARBAGE\r\n",
            info_line() + b"MSG\r\n",
        ],
        ids=lambda words: repr(words[:16]),
    )
    async def test_a_server_that_talks_nonsense(self, words: bytes) -> None:
        async with leaves_nothing(), Peer(Garbage(words)) as peer:
            reason = await self.refused(peer)
        assert isinstance(reason, ProtocolError)

    @pytest.mark.parametrize("first", [b"", b"INFO {", info_line()], ids=repr)
    async def test_a_server_that_hangs_up(self, first: bytes) -> None:
        async def script(side: Side) -> None:
            await side.send(first)

        async with leaves_nothing(), Peer(script) as peer:
            reason = await self.refused(peer)
        assert isinstance(reason, ConnectionClosedError | ConnectionResetError)

    async def test_a_server_that_cuts_after_connect(self) -> None:
        async def script(side: Side) -> None:
            await side.send(info_line())
            await side.expect(b"CONNECT")

        async with leaves_nothing(), Peer(script) as peer:
            reason = await self.refused(peer)
        assert isinstance(reason, ConnectionClosedError | ConnectionResetError)

    async def test_a_refusal_that_is_not_about_us(self) -> None:
        async with Peer(Garbage(info_line() + b"-ERR 'maximum connections exceeded'\r\n")) as peer:
            reason = await self.refused(peer)
        assert isinstance(reason, ServerError)
        assert "maximum connections exceeded" in str(reason)

    async def test_nothing_is_said_in_the_clear_to_a_server_that_wants_tls(self) -> None:
        heard = asyncio.get_running_loop().create_future()

        async def script(side: Side) -> None:
            await side.send(info_line(tls_required=True))
            heard.set_result(await side.reader.read(4096))

        async with leaves_nothing(), Peer(script) as peer:
            with pytest.raises(SecureConnFailedError, match="closed the connection during the handshake"):
                await connect(f"nats://ada:s3cret@127.0.0.1:{peer.port}")
            said: bytes = await heard
        assert said.startswith(b"\x16\x03")  # a handshake of TLS
        assert b"ada" not in said

    @pytest.mark.parametrize("turns", range(14))
    async def test_cancelling_connect_leaves_nothing(self, turns: int) -> None:
        """Whatever it is about: the name, the TCP connection, or the handshake."""
        with listening() as port:
            async with leaves_nothing():
                connecting = asyncio.create_task(connect(f"nats://127.0.0.1:{port}", connect_timeout=30))
                for _ in range(turns):
                    await asyncio.sleep(0)
                connecting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await connecting


class TestGoodHandshake:
    async def test_info_of_40_kib(self) -> None:
        urls = [f"10.{i // 250}.{i % 250}.1:4222" for i in range(2400)]
        line = info_line(connect_urls=urls)
        assert len(line) > 40 * 1024
        async with Peer(Welcoming(connect_urls=urls)) as peer:
            client = await connect(peer.url)
            assert client.server_info["connect_urls"] == urls
            await client.close()

    async def test_a_second_info_ok_and_ping_before_the_pong(self) -> None:
        async def script(side: Side) -> None:
            await side.send(info_line(max_payload=1000))
            await side.expect(b"CONNECT")
            await side.send(b"+OK\r\n" + info_line(max_payload=2000) + b"PING\r\n")
            await side.expect(b"PING")
            await side.expect(b"PONG")
            await side.send(b"PONG\r\n" + info_line(max_payload=3000))
            await side.answer_pings()

        async with Peer(script) as peer:
            client = await connect(peer.url)
            assert client.max_payload == 3000
            await client.close()

    async def test_byte_by_byte(self) -> None:
        async def script(side: Side) -> None:
            for byte in info_line():
                await side.send(bytes([byte]))
                await asyncio.sleep(0)
            await side.expect(b"CONNECT")
            await side.expect(b"PING")
            for byte in b"PONG\r\n":
                await side.send(bytes([byte]))
                await asyncio.sleep(0)
            await side.answer_pings()

        async with Peer(script) as peer:
            client = await connect(peer.url)
            assert client.is_connected
            await client.close()

    @pytest.mark.parametrize(
        "info",
        [
            {"max_payload": "much"},
            {"max_payload": None},
            {"max_payload": -1},
            {"max_payload": 1e400},
            {"max_payload": [1]},
            {"max_payload": True},
            {"connect_urls": "10.0.0.1:4222"},
            {"connect_urls": 5},
            {"connect_urls": [5, None, "", "::::", "nats://[", "ws://10.0.0.1", "a:b:c", "\ud800"]},
            {"connect_urls": {"a": 1}},
            {"headers": "yes"},
        ],
        ids=repr,
    )
    async def test_info_that_makes_no_sense_does_no_harm(self, info: dict[str, object]) -> None:
        async with Peer(Welcoming(**info)) as peer, await connect(peer.url) as client:
            assert client.max_payload == 1024 * 1024
            await client.publish("still.works", b"1")
            await client.flush()
            assert client.is_connected


class TestSecretsStayOut:
    SECRETS = ("sesame", "ada-the-user", "t0ken-value")

    async def test_of_the_client(self) -> None:
        async with Peer(Welcoming()) as peer:
            address = f"127.0.0.1:{peer.port}"
            for client in (
                await connect(f"nats://ada-the-user:sesame@{address}"),
                await connect(f"nats://t0ken-value@{address}"),
                await connect(address, user="ada-the-user", password="sesame", token="t0ken-value"),
            ):
                sub = await client.subscribe("a")
                await client.close()
                for thing in (client, client.options, client.connected_url, sub, vars(client)):
                    assert not any(secret in repr(thing) for secret in self.SECRETS)

    async def test_of_what_is_logged_and_raised(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

        async def once(side: Side) -> None:
            await side.greet()
            await side.send(b"-ERR 'Authorization Violation'\r\n")

        async with Peer(once, Garbage(b"-ERR 'Authorization Violation'\r\n")) as peer:
            closed = asyncio.Event()
            client = await connect(
                f"nats://ada-the-user:sesame@127.0.0.1:{peer.port}",
                reconnect_time_wait=0,
                reconnect_jitter=0,
                max_reconnect_attempts=2,
                closed_cb=closed.set,
            )
            await closed.wait()
            with pytest.raises(ConnectionClosedError) as caught:
                await client.publish("a")
        chain: list[str] = []
        error: BaseException | None = caught.value
        while error is not None:
            chain.append(repr(error))
            error = error.__cause__
        assert not any(secret in text for secret in self.SECRETS for text in [caplog.text, *chain])

    @pytest.mark.parametrize(
        "url",
        [
            "nats://ada-the-user:sesame@host:port",
            "nats://ada-the-user:sesame@",
            "ftp://ada-the-user:sesame@host",
            "nats://ada-the-user:ses,ame@host",
            "nats://ada-the-user:sesame\u2100@host",
            "nats://ada-the-user:sesame[@host",
            "nats://t0ken-value@host/path",
            "nats://ada-the-user:12/sesame@host",
        ],
    )
    async def test_of_a_url_that_cannot_be_read(self, url: str) -> None:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is what is looked at
            await connect(url)
        error: BaseException | None = caught.value
        while error is not None:
            assert not any(secret in str(error) for secret in ("sesame", "ses", "ame@", "t0ken-value"))
            error = error.__context__
