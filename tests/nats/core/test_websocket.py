"""WebSocket on real servers: plain and through TLS, compressed and not, with headers and paths."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority, Certificate
from tests.nats.core.gathering import Gathered, leaves_nothing, numbers
from tests.websocket import BLOCK, Web, WebPeer, http, ws_url

from tidings.nats import (
    AuthorizationError,
    Client,
    InvalidUserCredentialsError,
    MissingExtraError,
    NoServersError,
    SecureConnFailedError,
    TLSOptions,
    WebSocketError,
    connect,
)
from tidings.nats.server import NatsServer

COMPRESSING = BLOCK.replace("no_tls: true", "no_tls: true\n  compression: true")


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer(jetstream=False, config=COMPRESSING) as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def secured(certificate: Certificate, *more: str) -> Iterator[NatsServer]:
    """A server with TLS on its WebSocket alone; `more` goes into the tls block."""
    files = [f'cert_file: "{certificate.cert}"', f'key_file: "{certificate.key}"', *more]
    block = BLOCK.replace("no_tls: true", "tls {\n" + "\n".join(files) + "\n}")
    with NatsServer(jetstream=False, config=block) as server:
        yield server


async def talks(client: Client, *sizes: int) -> None:
    """Messages of these sizes come back as they were, and many small ones in order."""
    got, large = Gathered(), await client.subscribe("large")
    for size in sizes:
        payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        await client.publish("large", payload)
        assert (await large.next_msg(timeout=10)).data == payload
    await client.subscribe("many", cb=got)
    for number in range(5000):
        await client.publish("many", str(number))
    await got.reach(5000)
    assert numbers(got) == list(range(5000))


SIZES = (0, 1, 125, 126, 65_535, 65_536, 300_000, 1024 * 1024)


@pytest.mark.parametrize("compression", [False, True])
async def test_it_talks(server: NatsServer, compression: bool) -> None:
    async with leaves_nothing(), await connect(ws_url(server), ws_compression=compression) as client:
        assert client.connected_url == ws_url(server).replace(f"{server.token}@", "")
        assert client._link is not None
        assert not client._link.is_secure
        await talks(client, *SIZES)


async def test_a_server_that_does_not_compress(nats_server_plain: NatsServer) -> None:
    async with await connect(ws_url(nats_server_plain), ws_compression=True) as client:
        await talks(client, *SIZES)


@pytest.fixture
def nats_server_plain() -> Iterator[NatsServer]:
    with NatsServer(jetstream=False, config=BLOCK) as server:
        yield server


async def test_compression_keeps_to_what_the_server_inflates() -> None:
    """It inflates no message of WebSocket beyond its max_payload, however many of NATS are in it."""
    with NatsServer(jetstream=False, config="max_payload: 500\n" + COMPRESSING) as small:
        async with await connect(ws_url(small), ws_compression=True, allow_reconnect=False) as client:
            await talks(client, 400)


async def test_what_is_gathered_goes_in_one_frame() -> None:
    frames: list[bytes] = []

    async def script(web: Web) -> None:
        await web.greet()
        while True:
            frames.append((await web.receive())[1])
            if frames[-1].endswith(b"PING\r\n"):
                await web.say(b"PONG\r\n")

    async with leaves_nothing(), WebPeer(script) as peer:
        client = await connect(peer.url)
        for _ in range(100):
            await client.publish("a", b"x")
        await client.flush()
        await client.close()
    assert frames[0] == b"PUB a 1\r\nx\r\n" * 100 + b"PING\r\n"


async def test_the_path_and_the_headers_of_the_request() -> None:
    webs: list[Web] = []

    async def script(web: Web) -> None:
        webs.append(web)
        await web.greet()
        await web.answer_pings()

    calls = Gathered()

    async def fresh() -> dict[str, str]:
        calls()
        return {"Authorization": f"Bearer {len(calls)}"}

    async with leaves_nothing(), WebPeer(script) as peer:
        several = {"X-Several": ["1", "2"], "User-Agent": "mine", "Host": "nats.example"}
        for path, headers in (("/nats%20a/b", several), ("", lambda: {"X-Called": "yes"}), ("/", fresh)):
            async with await connect(f"{peer.url}{path}", ws_connection_headers=headers):
                pass
        back = Gathered()
        client = await connect(peer.url, ws_connection_headers=fresh, reconnected_cb=back)
        await client.force_reconnect()
        await back.reach()
        await client.close()
    first, second, *later = webs
    assert first.path == "/nats%20a/b"
    assert [value for name, value in first.headers if name == "x-several"] == ["1", "2"]
    assert [value for name, value in first.headers if name == "host"] == ["nats.example"]
    assert second.path == later[0].path == "/"
    assert ("x-called", "yes") in second.headers
    assert ("host", f"127.0.0.1:{peer.port}") in second.headers
    assert [dict(web.headers)["authorization"] for web in later[:3]] == ["Bearer 1", "Bearer 2", "Bearer 3"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "two\r\nlines"},
        {"X A": "sesame"},
        {"X-A": "sesam\u00e9"},
        {"X-A": 5},
        {"Upgrade": "h2c"},
        {"sec-websocket-protocol": "mqtt"},
        lambda: "sesame",
        lambda: 1 / 0,
    ],
)
async def test_headers_that_are_none(headers: Any) -> None:
    async with leaves_nothing():
        with pytest.raises(InvalidUserCredentialsError, match="ws_connection_headers") as caught:
            await connect("ws://127.0.0.1:1", ws_connection_headers=headers)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("host", ["caf\u00e9..example", "\u00e9" * 64, "a..b", "\u00e9.invalid"])
async def test_a_host_that_is_none(host: str) -> None:
    async with leaves_nothing():
        with pytest.raises(NoServersError) as caught:
            await connect(f"ws://{host}")
    assert isinstance(caught.value.__cause__, OSError)


async def test_wrong_credentials(server: NatsServer) -> None:
    async with leaves_nothing():
        with pytest.raises(AuthorizationError):
            await connect(ws_url(server).replace(server.token or "", "wrong"))


async def test_no_secret_is_logged(server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with await connect(ws_url(server), ws_connection_headers={"X-Key": "sesame"}) as client:
        await client.flush()
    assert "sesame" not in caplog.text
    assert server.token
    assert server.token not in caplog.text


async def test_without_the_extra(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("websockets", "tidings.nats.core.websocket"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "websockets", None)
    async with leaves_nothing():
        with pytest.raises(MissingExtraError, match=r'pip install "tidings\[websocket\]"'):
            await connect(ws_url(server))


class TestNotAWebSocket:
    async def test_the_port_of_plain_nats(self, server: NatsServer) -> None:
        async with leaves_nothing():
            with pytest.raises(NoServersError, match="does not speak WebSocket") as caught:
                await connect(server.url.replace("nats://", "ws://"))
        assert isinstance(caught.value.__cause__, WebSocketError)

    async def test_a_proxy_that_refuses(self) -> None:
        async def script(web: Web) -> None:
            await web.read_request()
            await web.side.send(http("403 Forbidden", b"members only"))
            await web.side.ended()

        async with leaves_nothing(), WebPeer(script) as peer:
            with pytest.raises(NoServersError, match="HTTP status 403 'members only'") as caught:
                await connect(peer.url)
        assert isinstance(caught.value.__cause__, WebSocketError)
        assert caught.value.__cause__.status == 403

    async def test_a_refusal_that_ends_with_the_connection(self) -> None:
        async def script(web: Web) -> None:
            await web.read_request()
            await web.side.send(b"HTTP/1.1 502 Bad Gateway\r\n\r\nno upstream")

        async with leaves_nothing(), WebPeer(script) as peer:
            with pytest.raises(NoServersError, match="502 'no upstream'"):
                await connect(peer.url)

    @pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Switching Pro"])
    async def test_the_end_before_the_response(self, said: bytes) -> None:
        async def script(web: Web) -> None:
            await web.read_request()
            await web.side.send(said)

        async with leaves_nothing(), WebPeer(script) as peer:
            with pytest.raises(NoServersError, match="closed the connection during the handshake"):
                await connect(peer.url)

    async def test_silence(self) -> None:
        async def script(web: Web) -> None:
            await web.side.ended()

        async with leaves_nothing(), WebPeer(script) as peer:
            with pytest.raises(NoServersError, match=r"did not answer within 0\.2 s"):
                await connect(peer.url, connect_timeout=0.2)


class TestTLS:
    async def test_it_talks(self, authority: Authority) -> None:
        with secured(authority.issue("127.0.0.1")) as server:
            trust = TLSOptions(ca_file=authority.ca)
            assert ws_url(server).startswith("wss://")
            for url in (ws_url(server), ws_url(server).replace("wss://", "ws://")):  # the option asks for it
                async with leaves_nothing(), await connect(url, tls=trust) as client:
                    assert client._link is not None
                    assert client._link.is_secure
                    assert str(client.connected_url).startswith("wss://")
                    await talks(client, 1, 300_000)

    async def test_what_blocks_waits_and_nothing_is_lost(self, authority: Authority) -> None:
        count = 20_000
        with secured(authority.issue("127.0.0.1")) as server:
            trust = TLSOptions(ca_file=authority.ca)
            async with leaves_nothing(), await connect(ws_url(server), tls=trust) as client:
                assert client._link is not None
                assert client._link._transport is not None
                assert client._link._transport.get_extra_info("ssl_object").version() == "TLSv1.3"
                sub = await client.subscribe("a", pending_msgs_limit=10, limit_policy="block")
                for number in range(count):
                    await client.publish("a", str(number))
                got = [int((await sub.next_msg(timeout=10)).data) for _ in range(count)]
                assert got == list(range(count))

    async def test_a_second_tls_is_not_begun(self, authority: Authority) -> None:
        """Where the server's TCP port asks for TLS too, INFO says so on the WebSocket."""
        certificate = authority.issue("127.0.0.1")
        tls = f'tls {{ cert_file: "{certificate.cert}", key_file: "{certificate.key}" }}'
        config = tls + "\n" + BLOCK.replace("no_tls: true", tls)
        with NatsServer(jetstream=False, config=config) as server:
            async with await connect(ws_url(server), tls=TLSOptions(ca_file=authority.ca)) as client:
                await talks(client, 1)
                assert client.server_info.get("tls_required")

    async def test_a_plain_websocket_of_a_server_with_tls(self, authority: Authority) -> None:
        """What its TCP port asks for does not concern us; the user wrote ``ws://``."""
        files = authority.issue("127.0.0.1")
        tls = f'tls {{ cert_file: "{files.cert}", key_file: "{files.key}" }}'
        with NatsServer(jetstream=False, config=tls + "\n" + BLOCK) as server:
            async with leaves_nothing(), await connect(ws_url(server)) as client:
                await talks(client, 1)
                assert client._link is not None
                assert not client._link.is_secure

    async def test_what_is_not_trusted(self, authority: Authority, tmp_path: Path) -> None:
        other = Authority(tmp_path, "another authority")
        with secured(authority.issue("nats.example")) as server:
            async with leaves_nothing():
                for tls in (None, TLSOptions(ca_file=other.ca)):
                    with pytest.raises(SecureConnFailedError, match="not trusted here"):
                        await connect(ws_url(server), tls=tls)
                trust = TLSOptions(ca_file=authority.ca)
                with pytest.raises(SecureConnFailedError, match=r"not for '127\.0\.0\.1'"):
                    await connect(ws_url(server), tls=trust)
            async with await connect(ws_url(server), tls=trust, tls_hostname="nats.example") as client:
                await talks(client, 1)

    async def test_our_certificate(self, authority: Authority) -> None:
        wants = (f'ca_file: "{authority.ca}"', "verify: true")
        with secured(authority.issue("127.0.0.1"), *wants) as server:
            async with leaves_nothing():
                with pytest.raises(SecureConnFailedError, match="cert_file"):
                    await connect(ws_url(server), tls=TLSOptions(ca_file=authority.ca))
            ours = authority.issue("client")
            shown = TLSOptions(ca_file=authority.ca, cert_file=ours.cert, key_file=ours.key)
            async with await connect(ws_url(server), tls=shown) as client:
                await talks(client, 1)

    async def test_a_port_without_it(self, server: NatsServer) -> None:
        async with leaves_nothing():
            with pytest.raises(SecureConnFailedError, match="is not TLS"):
                await connect(ws_url(server).replace("ws://", "wss://"))

    async def test_ws_where_it_is_wss(self, authority: Authority) -> None:
        with secured(authority.issue("127.0.0.1")) as server:
            async with leaves_nothing():
                with pytest.raises(NoServersError, match=r"does not speak WebSocket.*400 Bad Request"):
                    await connect(ws_url(server).replace("wss://", "ws://"))


class TestUvloop:
    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(main(), 30))

    @pytest.mark.parametrize("compression", [False, True])
    def test_it_talks(self, server: NatsServer, compression: bool) -> None:
        async def main() -> None:
            async with await connect(ws_url(server), ws_compression=compression) as client:
                await talks(client, *SIZES)

        self.run(main)

    def test_through_tls(self, authority: Authority) -> None:
        with secured(authority.issue("127.0.0.1")) as server:

            async def main() -> None:
                async with await connect(ws_url(server), tls=TLSOptions(ca_file=authority.ca)) as client:
                    await talks(client, 1, 300_000)
                with pytest.raises(SecureConnFailedError, match="not trusted here"):
                    await connect(ws_url(server))

            self.run(main)
