"""TLS on real servers: what is trusted, what is refused, and what the errors say."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority, Certificate
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Peer, Side, Silent, Welcoming, info_line

from tidings.nats import (
    AuthorizationError,
    Client,
    NoServersError,
    ProtocolError,
    SecureConnFailedError,
    SecureConnWantedError,
    ServerError,
    TimeoutError,
    TLSOptions,
    connect,
)
from tidings.nats.core.link import open_link
from tidings.nats.core.options import Options
from tidings.nats.core.servers import Server, ServerPool, parse_server
from tidings.nats.server import NatsServer
from tidings.nats.server.readiness import free_port

QUICK: dict[str, Any] = {"reconnect_time_wait": 0.02, "reconnect_jitter_tls": 0, "max_reconnect_attempts": -1}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def trust(authority: Authority) -> TLSOptions:
    return TLSOptions(ca_file=authority.ca)


@contextmanager
def serving(
    certificate: Certificate, *more: str, token: Any = False, config: str = ""
) -> Iterator[NatsServer]:
    """A server with TLS; `more` goes into its tls block."""
    block = "\n".join([f'cert_file: "{certificate.cert}"', f'key_file: "{certificate.key}"', *more])
    with NatsServer(jetstream=False, token=token, config=f"tls {{ {block} }}\n{config}") as server:
        yield server


def tls_url(server: NatsServer, host: str = "127.0.0.1") -> str:
    return server.url.replace("nats://", "tls://").replace("127.0.0.1", host)


async def talks(client: Client) -> bool:
    """Whether a message comes back."""
    sub = await client.subscribe("talk")
    await client.publish("talk", b"x" * 100_000)
    return (await sub.next_msg(timeout=10)).data == b"x" * 100_000


@asynccontextmanager
async def speaking_to(url: str, **options: Any) -> AsyncIterator[Client]:
    async with leaves_nothing(), await connect(url, **options) as client:
        assert client.is_secure
        assert client.ssl_object is not None
        assert str(client.ssl_object.version()).startswith("TLSv1")
        assert await talks(client)
        yield client
    assert (client.is_secure, client.ssl_object) == (False, None)


class TestVerifying:
    async def test_a_server_of_an_authority_that_is_trusted(
        self, authority: Authority, trust: TLSOptions
    ) -> None:
        with serving(authority.issue("127.0.0.1")) as server:
            async with speaking_to(tls_url(server), tls=trust) as client:
                assert client.connected_url == tls_url(server)
            async with speaking_to(server.url, tls=trust):
                pass  # nats:// too, as the option asks for it
            async with speaking_to(server.url, tls=trust.context()):
                pass

    @pytest.mark.parametrize("scheme", ["nats", "tls"])
    async def test_an_unknown_authority_is_refused(self, authority: Authority, scheme: str) -> None:
        """nats:// too: the server insists, and the system's authorities do not know this one."""
        with serving(authority.issue("127.0.0.1")) as server:
            async with leaves_nothing():
                with pytest.raises(SecureConnFailedError, match=r"not trusted here.*ca_file") as caught:
                    await connect(f"{scheme}://127.0.0.1:{server.port}")
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)

    async def test_another_authority_is_refused(self, authority: Authority, tmp_path: Path) -> None:
        other = Authority(tmp_path, "another authority")
        with (
            serving(authority.issue("127.0.0.1")) as server,
            pytest.raises(SecureConnFailedError, match="not trusted here"),
        ):
            await connect(tls_url(server), tls=TLSOptions(ca_file=other.ca))

    async def test_a_wrong_name_is_refused(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("nats.example")) as server:
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(SecureConnFailedError, match=rf"not for '{host}'.*tls_hostname"):
                    await connect(tls_url(server, host), tls=trust)
            async with speaking_to(tls_url(server), tls=trust, tls_hostname="nats.example"):
                pass

    async def test_a_certificate_that_has_expired(self, authority: Authority, trust: TLSOptions) -> None:
        with (
            serving(authority.issue("127.0.0.1", days=-1)) as server,
            pytest.raises(SecureConnFailedError, match="has expired"),
        ):
            await connect(tls_url(server), tls=trust)

    async def test_who_turns_verification_off_takes_anything(self, authority: Authority) -> None:
        with serving(authority.issue("nats.example", days=-1)) as server:
            async with speaking_to(tls_url(server), tls=TLSOptions(verify=False)):
                pass

    async def test_a_name_with_a_dot_at_its_end(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("nats.example")) as server:
            async with speaking_to(tls_url(server), tls=trust, tls_hostname="nats.example."):
                pass

    async def test_a_server_where_tls_is_free(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("127.0.0.1"), config="allow_non_tls: true") as server:
            async with speaking_to(server.url, tls=trust):
                pass
            async with await connect(server.url) as client:
                assert client._link is not None
                assert not client._link.is_secure

    async def test_a_token_goes_through_tls(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("127.0.0.1"), token="t0ken") as server:
            async with speaking_to(tls_url(server), tls=trust):
                pass
            async with speaking_to(f"tls://127.0.0.1:{server.port}", tls=trust, token="t0ken"):
                pass
            with pytest.raises(AuthorizationError):
                await connect(f"tls://127.0.0.1:{server.port}", tls=trust, token="wrong")


class TestOurCertificate:
    @pytest.fixture
    def server(self, authority: Authority) -> Iterator[NatsServer]:
        with serving(authority.issue("127.0.0.1"), f'ca_file: "{authority.ca}"', "verify: true") as server:
            yield server

    async def test_it_is_shown(self, server: NatsServer, authority: Authority) -> None:
        ours = authority.issue("client")
        options = TLSOptions(ca_file=authority.ca, cert_file=ours.cert, key_file=ours.key)
        async with speaking_to(tls_url(server), tls=options):
            pass

    async def test_its_key_may_be_encrypted(self, server: NatsServer, authority: Authority) -> None:
        ours = authority.issue("client", password="sesame")
        options = TLSOptions(
            ca_file=authority.ca, cert_file=ours.cert, key_file=ours.key, key_password="sesame"
        )
        assert "sesame" not in repr(options)
        async with speaking_to(tls_url(server), tls=options):
            pass
        for password in ("wrong", None):
            with pytest.raises(SecureConnFailedError, match="key_password") as caught:
                await connect(tls_url(server), tls=TLSOptions(**(vars(options) | {"key_password": password})))
            assert str(ours.key) in str(caught.value)

    async def test_without_one_we_are_refused(self, server: NatsServer, trust: TLSOptions) -> None:
        async with leaves_nothing():
            with pytest.raises(SecureConnFailedError, match="cert_file"):
                await connect(tls_url(server), tls=trust)

    async def test_one_of_another_authority_is_refused(
        self, server: NatsServer, authority: Authority, tmp_path: Path
    ) -> None:
        theirs = Authority(tmp_path, "another authority").issue("client")
        options = TLSOptions(ca_file=authority.ca, cert_file=theirs.cert, key_file=theirs.key)
        with pytest.raises(SecureConnFailedError, match="cert_file"):
            await connect(tls_url(server), tls=options)


class TestHandshakeFirst:
    async def test_a_server_that_starts_with_tls(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("127.0.0.1"), "handshake_first: true") as server:
            async with speaking_to(tls_url(server), tls=trust, tls_handshake_first=True):
                pass
            with pytest.raises(NoServersError, match="tls_handshake_first=True") as caught:
                await connect(tls_url(server), tls=trust, connect_timeout=0.3)
            assert isinstance(caught.value.__cause__, TimeoutError)

    async def test_a_server_that_does_not(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("127.0.0.1")) as server:
            async with leaves_nothing():
                with pytest.raises(SecureConnFailedError, match="tls_handshake_first is for"):
                    await connect(tls_url(server), tls=trust, tls_handshake_first=True)


class TestUvloop:
    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(main(), 30))

    @pytest.mark.parametrize("first", [False, True])
    def test_it_talks(self, authority: Authority, trust: TLSOptions, first: bool) -> None:
        more = ["handshake_first: true"] if first else []
        with serving(authority.issue("127.0.0.1"), *more) as server:

            async def main() -> None:
                for _ in range(2):
                    client = await connect(tls_url(server), tls=trust, tls_handshake_first=first)
                    assert await talks(client)
                    await client.drain()

            self.run(main)

    def test_it_refuses(self, authority: Authority) -> None:
        with serving(authority.issue("127.0.0.1")) as server:

            async def main() -> None:
                with pytest.raises(SecureConnFailedError, match="ca_file"):
                    await connect(tls_url(server))

            self.run(main)

    def test_our_certificate_is_missed(self, authority: Authority, trust: TLSOptions) -> None:
        wants = (f'ca_file: "{authority.ca}"', "verify: true")
        with serving(authority.issue("127.0.0.1"), *wants) as server:

            async def main() -> None:
                with pytest.raises(SecureConnFailedError, match="cert_file"):
                    await connect(tls_url(server), tls=trust)

            self.run(main)


class TestReconnecting:
    async def test_to_a_server_with_a_new_certificate(self, authority: Authority, trust: TLSOptions) -> None:
        files, back = authority.issue("127.0.0.1"), Gathered()
        with serving(files) as server:
            async with speaking_to(tls_url(server), tls=trust, reconnected_cb=back, **QUICK) as client:
                authority.issue("127.0.0.1", into=files)
                await asyncio.to_thread(server.restart)
                await back.reach(1)
                assert client._link is not None
                assert client._link.is_secure
                await client.flush()

    async def test_when_the_authority_is_replaced_its_file_is_read_anew(
        self, tmp_path: Path, authority: Authority, trust: TLSOptions
    ) -> None:
        files, back = authority.issue("127.0.0.1"), Gathered()
        with serving(files) as server:
            async with speaking_to(tls_url(server), tls=trust, reconnected_cb=back, **QUICK):
                other = Authority(tmp_path, "another authority")
                other.issue("127.0.0.1", into=files)
                authority.ca.write_bytes(other.ca.read_bytes())
                await asyncio.to_thread(server.restart)
                await back.reach(1)

    async def test_not_to_one_whose_certificate_is_not_trusted(
        self, tmp_path: Path, authority: Authority, trust: TLSOptions
    ) -> None:
        files, closed = authority.issue("127.0.0.1"), Gathered()
        options = QUICK | {"max_reconnect_attempts": 3}
        with serving(files) as server:
            client = await connect(
                tls_url(server), tls=trust, closed_cb=closed, error_cb=Gathered(), **options
            )
            Authority(tmp_path, "another authority").issue("127.0.0.1", into=files)
            server.kill()
            await eventually(lambda: not client.is_connected)
            await asyncio.to_thread(server.restart)
            await closed.reach(1)
        assert client.last_error is not None
        assert isinstance(client.last_error.__cause__, SecureConnFailedError | OSError)

    async def test_a_server_that_is_killed_is_noticed(self, authority: Authority, trust: TLSOptions) -> None:
        with serving(authority.issue("127.0.0.1")) as server:
            away = Gathered()
            client = await connect(tls_url(server), tls=trust, disconnected_cb=away, **QUICK)
            await asyncio.to_thread(server.kill)
            await away.reach(1)
            assert not client.is_connected
            assert "closed the connection" in str(client.last_error) or isinstance(client.last_error, OSError)
            await client.close()


class TestScripted:
    async def test_a_server_without_tls_is_told_nothing(self, trust: TLSOptions) -> None:
        heard = asyncio.get_running_loop().create_future()

        async def script(side: Side) -> None:
            await side.send(info_line())
            heard.set_result(await side.reader.read())

        async with leaves_nothing(), Peer(script) as peer:
            with pytest.raises(SecureConnWantedError, match="offers no TLS"):
                await connect(f"tls://ada:sesame@127.0.0.1:{peer.port}")
            assert await heard == b""

    @pytest.mark.parametrize("options", [{"tls": TLSOptions()}, {"tls_hostname": "a"}], ids=repr)
    async def test_any_option_for_tls_asks_for_it(self, options: dict[str, Any]) -> None:
        async with Peer(Welcoming()) as peer:
            with pytest.raises(SecureConnWantedError):
                await connect(peer.url, **options)

    async def test_words_slipped_in_before_tls_are_not_heard(self) -> None:
        """Who stands between can add to what comes in the clear, not to what comes after."""
        slipped = info_line(tls_required=True) + b"MSG talk 1 5\r\nhello\r\nPONG\r\n"
        async with leaves_nothing(), Peer(Silent(slipped)) as peer:
            with pytest.raises(NoServersError) as caught:
                await connect(peer.url)
        assert isinstance(caught.value.__cause__, ProtocolError)

    async def test_an_error_before_tls(self) -> None:
        said = info_line(tls_required=True) + b"-ERR 'maximum connections exceeded'\r\n"
        async with Peer(Silent(said)) as peer:
            with pytest.raises(NoServersError) as caught:
                await connect(peer.url)
        assert isinstance(caught.value.__cause__, ServerError)

    @pytest.mark.parametrize("first", [False, True])
    async def test_a_server_that_is_silent_in_the_handshake(self, first: bool) -> None:
        async with leaves_nothing(), Peer(Silent(b"" if first else info_line(tls_required=True))) as peer:
            with pytest.raises(NoServersError):
                await connect(peer.url, connect_timeout=0.2, tls_handshake_first=first)

    async def test_a_server_that_talks_rubbish_in_the_handshake(self) -> None:
        async def script(side: Side) -> None:
            await side.send(info_line(tls_required=True))
            await side.reader.read(4096)
            await side.send(b"-ERR 'Unknown Protocol Operation'\r\n" * 10)
            await side.ended()

        async with leaves_nothing(), Peer(script) as peer:
            with pytest.raises(SecureConnFailedError, match="is not TLS"):
                await connect(peer.url)

    async def test_who_spoke_tls_once_is_not_talked_out_of_it(
        self, authority: Authority, trust: TLSOptions
    ) -> None:
        """By a greeting without ``tls_required``, from whoever stands between, at a later connect."""
        context = trust.context()
        with serving(authority.issue("127.0.0.1")) as server:
            pool = ServerPool(server.url)
            (entry,) = pool
            options = Options(tls=context)
            link = await open_link(entry, options, {}, lambda *_: None, lambda *_: None)
            await link.close()
        async with Peer(Welcoming()) as peer:
            entry.port = peer.port
            with pytest.raises(SecureConnWantedError):
                await open_link(entry, Options(), {}, lambda *_: None, lambda *_: None)
        pool.discover([f"127.0.0.1:{entry.port}", "10.0.0.1:4222"], entry)
        assert [str(server) for server in pool] == [f"tls://127.0.0.1:{entry.port}", "tls://10.0.0.1:4222"]


class TestOptions:
    @pytest.mark.parametrize("given", [{"key_file": "k"}, {"key_password": "p"}])
    def test_a_key_needs_its_certificate(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="cert_file"):
            TLSOptions(**given)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        for given in ({"ca_file": tmp_path / "no.pem"}, {"cert_file": tmp_path / "no.pem"}):
            with pytest.raises(SecureConnFailedError, match=r"no\.pem.*No such file"):
                TLSOptions(**given).context()

    def test_a_file_that_holds_no_certificate_is_named(self, tmp_path: Path) -> None:
        rubbish = tmp_path / "rubbish.pem"
        rubbish.write_text("sesame")
        for given in ({"ca_file": rubbish}, {"cert_file": rubbish}):
            with pytest.raises(SecureConnFailedError, match=r"rubbish\.pem") as caught:
                TLSOptions(**given).context()
            assert "sesame" not in str(caught.value)

    @pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
    def test_what_stands_in_a_file_in_the_place_of_its_path(self, name: str) -> None:
        pem = "-----BEGIN PRIVATE KEY-----\nsesame\n-----END PRIVATE KEY-----\n"
        with pytest.raises(ValueError, match=f"{name} takes the path") as caught:
            TLSOptions(**{"cert_file": "c", name: pem})
        assert "sesame" not in str(caught.value)

    async def test_a_wrong_type_is_refused(self) -> None:
        with pytest.raises(TypeError, match="tls is"):
            await connect(tls=True)  # type: ignore[arg-type]


class TestDiscovered:
    """A server named by its address is known by the certificate of the name that the user dialled."""

    def pool(self, url: str, named: list[str]) -> tuple[ServerPool, Server]:
        pool = ServerPool(url)
        (source,) = pool
        pool.discover(named, source)
        return pool, source

    def test_an_address_inherits_the_name(self) -> None:
        pool, source = self.pool("tls://nats.example", ["10.0.0.2:4222", "other.example:4222", "[::1]:4222"])
        found = {server.host: server for server in pool if server is not source}
        assert {host: server.certificate_name for host, server in found.items()} == {
            "10.0.0.2": "nats.example",
            "other.example": "other.example",
            "::1": "nats.example",
        }
        assert {server.scheme for server in found.values()} == {"tls"}
        pool.discover(["10.0.0.3:4222"], found["10.0.0.2"])
        assert [s.certificate_name for s in pool if s.host == "10.0.0.3"] == ["nats.example"]

    def test_an_address_that_was_dialled_gives_no_name(self) -> None:
        pool, _ = self.pool("tls://10.0.0.1", ["10.0.0.2:4222"])
        assert [server.certificate_name for server in pool] == ["10.0.0.1", "10.0.0.2"]

    def test_the_scheme_is_kept(self) -> None:
        server = parse_server("tls://h")
        assert (server.scheme, server.port, str(server)) == ("tls", 4222, "tls://h:4222")

    async def test_its_certificate_is_verified_by_that_name(
        self, authority: Authority, trust: TLSOptions
    ) -> None:
        certificate, back = authority.issue("localhost"), Gathered()
        routes = [free_port(), free_port()]
        clusters = [
            f'cluster {{ name: c, listen: "127.0.0.1:{own}", routes: ["nats://127.0.0.1:{other}"] }}'
            for own, other in (routes, routes[::-1])
        ]
        with (
            serving(certificate, config=clusters[0]) as first,
            serving(certificate, config=clusters[1]) as second,
        ):
            there = f"tls://127.0.0.1:{second.port}"
            options = QUICK | {"tls": trust, "reconnected_cb": back}
            async with speaking_to(tls_url(first, "localhost"), **options) as client:
                await eventually(lambda: there in {str(server) for server in client._pool})
                await asyncio.to_thread(first.stop)
                await back.reach(1)
                assert client.connected_url == there
