"""The constructor of each backend: connected, or an error that says why. NATS is in test_nats_faults."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority, Certificate
from tidings.pubsub import ConnectError, KafkaPubSub, RedisPubSub

from .servers import RedisServer

SECRET = "sesame-4711"
LONG = 20.0  # seconds, for what a loaded machine needs


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port, each connection to which is handled in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=guarded, args=(link,), daemon=True).start()

        def guarded(link: socket.socket) -> None:
            with link, suppress(OSError, EOFError):
                handle(link)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    accepting.join(LONG)


@contextmanager
def tls_front(port: int, files: Certificate, asks_for: Path | None = None) -> Iterator[int]:
    """TLS before the server on `port`, which knows none; asks for a certificate of an authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=asks_for)
    context.load_cert_chain(files.cert, files.key)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED

    def handle(link: socket.socket) -> None:
        with (
            context.wrap_socket(link, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):

            def back() -> None:
                with suppress(OSError):
                    while data := server.recv(65536):
                        secure.sendall(data)
                    secure.shutdown(socket.SHUT_RDWR)

            threading.Thread(target=back, daemon=True).start()
            while data := secure.recv(65536):
                server.sendall(data)

    with serving(handle) as front:
        yield front


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    with RedisServer(password=SECRET) as server:
        yield server


class TestRedis:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    def works(self, config: dict[str, Any]) -> bool:
        with RedisPubSub({"connect_timeout": LONG, **config}) as pubsub:
            pubsub.subscribe("a")
            pubsub.publish("a", b"x")
            assert SECRET not in f"{pubsub!r} {pubsub.servers}"
            return next(pubsub.listen(timeout=LONG)) == b"x"

    def test_password_and_client_certificate(self, guarded: RedisServer, authority: Authority) -> None:
        mine = authority.issue("me")
        with tls_front(guarded.port, authority.issue("127.0.0.1"), authority.ca) as port:
            keys = {
                "password": SECRET,
                "tls_ca_cert": str(authority.ca),
                "tls_cert": str(mine.cert),
                "tls_key": str(mine.key),
            }
            assert self.works({"url": f"redis://127.0.0.1:{port}", **keys})
            assert self.works({"url": f"rediss://127.0.0.1:{port}", **keys, "tls_verify": False})
            with pytest.raises(ConnectError, match=r"invalid username-password|WRONGPASS") as caught:
                self.works({"url": f"redis://127.0.0.1:{port}", **keys, "password": f"{SECRET}-wrong"})
            assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"

    def test_no_certificate_of_ours(self, guarded: RedisServer, authority: Authority) -> None:
        with (
            tls_front(guarded.port, authority.issue("127.0.0.1"), authority.ca) as port,
            pytest.raises(ConnectError),
        ):
            self.works({"url": f"redis://127.0.0.1:{port}", "tls_ca_cert": str(authority.ca)})

    def test_a_server_that_is_not_trusted(self, guarded: RedisServer, authority: Authority) -> None:
        other = Authority(authority.folder, "another authority")
        with (
            tls_front(guarded.port, authority.issue("127.0.0.1")) as port,
            pytest.raises(ConnectError, match="certificate verify failed"),
        ):
            self.works({"url": f"redis://127.0.0.1:{port}", "tls_ca_cert": str(other.ca)})

    def test_another_name_in_the_certificate(self, guarded: RedisServer, authority: Authority) -> None:
        with (
            tls_front(guarded.port, authority.issue("elsewhere.test")) as port,
            pytest.raises(ConnectError, match="certificate verify failed"),
        ):
            self.works({"url": f"redis://127.0.0.1:{port}", "tls_ca_cert": str(authority.ca)})


class TestKafka:
    """No broker that can be had knows SASL or TLS: a scripted peer says what one would."""

    @pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    def test_a_wrong_password(self, mechanism: str, caplog: pytest.LogCaptureFixture) -> None:
        with serving(refuse_sasl) as port, pytest.raises(ConnectError, match="sorry, Ada") as caught:
            KafkaPubSub(
                {
                    "servers": f"127.0.0.1:{port}",
                    "user": "ada",
                    "password": SECRET,
                    "sasl_mechanism": mechanism,
                    "connect_timeout": 1000.0,  # it is refused before
                }
            )
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"

    def test_a_mechanism_that_the_broker_does_not_have(self) -> None:
        plain_only = partial(refuse_sasl, mechanisms=(b"PLAIN",))
        with serving(plain_only) as port, pytest.raises(ConnectError, match=r"(?i)mechanism"):
            KafkaPubSub(
                {
                    "servers": f"127.0.0.1:{port}",
                    "user": "ada",
                    "sasl_mechanism": "SCRAM-SHA-256",
                    "password": SECRET,
                    "connect_timeout": 1000.0,
                }
            )

    def test_no_certificate_of_ours(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        with (
            tls_front(1, authority.issue("127.0.0.1"), authority.ca) as port,
            pytest.raises(ConnectError, match=r"(?i)ssl|certificate"),
        ):
            KafkaPubSub(
                {
                    "servers": f"127.0.0.1:{port}",
                    "tls_ca_cert": str(authority.ca),
                    "connect_timeout": 3.0,
                }
            )


# Kafka's protocol, as far as a client gets that is refused: https://kafka.apache.org/protocol.
_SASL_HANDSHAKE, _API_VERSIONS, _SASL_AUTHENTICATE = 17, 18, 36
_KEYS = {3: 4, _SASL_HANDSHAKE: 1, _API_VERSIONS: 3, _SASL_AUTHENTICATE: 0}  # and their highest version
_MECHANISMS = (b"PLAIN", b"SCRAM-SHA-256", b"SCRAM-SHA-512")
_AUTHENTICATION_FAILED, _UNSUPPORTED_MECHANISM = 58, 33


def refuse_sasl(link: socket.socket, mechanisms: Sequence[bytes] = _MECHANISMS) -> None:
    """A broker that lets nobody in."""
    while True:
        size = struct.unpack(">i", received(link, 4))[0]
        request = received(link, size)
        key, version, correlation = struct.unpack_from(">hhi", request)
        if key == _API_VERSIONS:
            answer = api_versions(version)
        elif key == _SASL_HANDSHAKE:
            known = any(each in request for each in mechanisms)
            answer = struct.pack(">hi", 0 if known else _UNSUPPORTED_MECHANISM, len(mechanisms))
            answer += b"".join(struct.pack(">h", len(each)) + each for each in mechanisms)
        else:
            text = b"sorry, Ada"
            answer = struct.pack(">hh", _AUTHENTICATION_FAILED, len(text)) + text + struct.pack(">i", 0)
        answer = struct.pack(">i", correlation) + answer
        link.sendall(struct.pack(">i", len(answer)) + answer)


def api_versions(version: int) -> bytes:
    """What the peer knows; from version 3 on in the compact form."""
    ranges = [struct.pack(">hhh", key, 0, most) for key, most in _KEYS.items()]
    if version < 3:
        return struct.pack(">hi", 0, len(ranges)) + b"".join(ranges) + (bytes(4) if version else b"")
    return struct.pack(">hB", 0, len(ranges) + 1) + b"".join(each + b"\0" for each in ranges) + bytes(5)


def received(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
