"""Every way to say who we are, on servers that check it."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.identities import Key, Operator, creds_text
from tests.nats.core.gathering import Gathered, eventually, leaves_nothing
from tests.peers import Peer, Side

from tidings.nats import (
    AuthorizationError,
    Client,
    InvalidUserCredentialsError,
    MissingExtraError,
    RawCredentials,
    connect,
)
from tidings.nats.core.auth import credentials
from tidings.nats.core.options import options_from
from tidings.nats.core.servers import parse_server
from tidings.nats.server import NatsServer

QUICK: dict[str, Any] = {"reconnect_time_wait": 0.02, "reconnect_jitter": 0, "max_reconnect_attempts": -1}

USERS = """
accounts {
  one { users: [{ user: ada, password: sesame }] }
  two { users: [{ nkey: %s }] }
}
"""


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


@pytest.fixture(scope="module")
def server(key: Key) -> Iterator[NatsServer]:
    """Accounts with a user that has a password, and one that has a key."""
    with NatsServer(jetstream=False, token=False, config=USERS % key.public) as server:
        yield server


@pytest.fixture(scope="module")
def operator() -> Operator:
    return Operator()


@pytest.fixture(scope="module")
def trusting(operator: Operator) -> Iterator[NatsServer]:
    """A server that trusts the JWTs of the operator."""
    with NatsServer(jetstream=False, token=False, config=operator.config) as server:
        yield server


async def works(url: str, **options: Any) -> bool:
    """Whether we get in and are heard."""
    async with leaves_nothing(), await connect(url, **options) as client:
        sub = await client.subscribe("a")
        await client.publish("a", b"x")
        return (await sub.next_msg(timeout=10)).data == b"x"


def plain(value: Any) -> Any:
    return value


def asked(value: Any) -> Any:
    return lambda: value


def asked_async(value: Any) -> Any:
    async def give() -> Any:
        await asyncio.sleep(0)
        return value

    return give


FORMS = pytest.mark.parametrize("form", [plain, asked, asked_async])
Form = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("url", "options", "fields"),
    [
        ("nats://h", {}, {}),
        ("nats://ada:secret@h", {}, {"user": "ada", "pass": "secret"}),
        ("nats://ada:@h", {}, {"user": "ada", "pass": ""}),
        ("nats://t0ken@h", {}, {"auth_token": "t0ken"}),
        ("nats://h", {"user": "ada", "password": "secret"}, {"user": "ada", "pass": "secret"}),
        ("nats://h", {"user": "ada"}, {"user": "ada", "pass": ""}),
        ("nats://h", {"token": "t0ken"}, {"auth_token": "t0ken"}),
        (
            "nats://h",
            {"user": "ada", "password": "secret", "token": "t0ken"},
            {"user": "ada", "pass": "secret", "auth_token": "t0ken"},
        ),
        ("nats://ada:secret@h", {"user": "bob", "password": "x"}, {"user": "ada", "pass": "secret"}),
        ("nats://ada:secret@h", {"token": "t0ken"}, {"user": "ada", "pass": "secret"}),
        ("nats://t0ken@h", {"user": "bob", "password": "x"}, {"auth_token": "t0ken"}),
        ("nats://t0ken@h", {"token": "other"}, {"auth_token": "t0ken"}),
    ],
)
async def test_those_of_the_url_come_first(url: str, options: dict[str, str], fields: dict[str, str]) -> None:
    assert await credentials(parse_server(url), options_from(options), {}) == fields


class TestPasswordAndToken:
    @FORMS
    async def test_user_and_password(self, server: NatsServer, form: Form) -> None:
        assert await works(server.url, user=form("ada"), password=form("sesame"))
        with pytest.raises(AuthorizationError):
            await connect(server.url, user=form("ada"), password=form("wrong"))

    @FORMS
    async def test_token(self, form: Form, nats_server: NatsServer) -> None:
        assert await works(f"nats://127.0.0.1:{nats_server.port}", token=form(nats_server.token))

    async def test_those_of_the_url_come_first(self, nats_server: NatsServer) -> None:
        assert await works(nats_server.url, token=lambda: 1 / 0)

    async def test_a_callback_is_asked_at_each_connect(self, nats_server: NatsServer) -> None:
        given, back = Gathered(), Gathered()

        def token() -> str:
            given("asked")
            return str(nats_server.token)

        url = f"nats://127.0.0.1:{nats_server.port}"
        async with await connect(url, token=token, reconnected_cb=back, **QUICK):
            assert len(given) == 1
            await asyncio.to_thread(nats_server.restart)
            await back.reach(1)
            assert len(given) >= 2

    @pytest.mark.parametrize("name", ["user", "token"])
    async def test_a_callback_that_fails(self, server: NatsServer, name: str) -> None:
        def fails() -> str:
            raise LookupError("the vault says s3cret")

        async with leaves_nothing():
            with pytest.raises(
                InvalidUserCredentialsError, match=f"{name} failed with LookupError"
            ) as caught:
                await connect(server.url, **{name: fails})  # type: ignore[arg-type]
        assert isinstance(caught.value.__cause__, LookupError)
        assert "s3cret" not in str(caught.value)

    async def test_a_callback_that_gives_something_else(self, server: NatsServer) -> None:
        with pytest.raises(InvalidUserCredentialsError, match="token gave int"):
            await connect(server.url, token=lambda: 5)  # type: ignore[arg-type,return-value]


class TestNkey:
    @FORMS
    async def test_a_seed(self, server: NatsServer, key: Key, form: Form) -> None:
        assert await works(server.url, nkeys_seed_str=form(key.seed))

    @FORMS
    async def test_a_file(self, server: NatsServer, key: Key, form: Form, tmp_path: Path) -> None:
        path = tmp_path / "user.nk"
        path.write_text(f"{key.seed}\n")
        assert await works(server.url, nkeys_seed=form(path))
        assert await works(server.url, nkeys_seed=form(str(path)))

    async def test_a_signature(self, server: NatsServer, key: Key) -> None:
        def sign(nonce: str) -> bytes:
            return key.sign(nonce.encode())

        async def sign_as_nats_py(nonce: str) -> bytes:
            return base64.b64encode(key.sign(nonce.encode()))

        for signature_cb in (sign, sign_as_nats_py):
            assert await works(server.url, signature_cb=signature_cb, nkey=key.public)

    async def test_a_signature_that_is_none(self, server: NatsServer, key: Key) -> None:
        with pytest.raises(InvalidUserCredentialsError, match="no Ed25519 signature"):
            await connect(server.url, signature_cb=lambda _: b"sesame", nkey=key.public)

    async def test_another_key_is_refused(self, server: NatsServer) -> None:
        with pytest.raises(AuthorizationError):
            await connect(server.url, nkeys_seed_str=Key().seed)

    async def test_a_server_that_knows_no_keys(self, key: Key, nats_server: NatsServer) -> None:
        """One that asks for nothing gets nothing; the token of this one suffices."""
        with NatsServer(jetstream=False, token=False) as open_to_all:
            assert await works(open_to_all.url, nkeys_seed_str=key.seed)
        with pytest.raises(AuthorizationError):
            await connect(f"nats://127.0.0.1:{nats_server.port}", nkeys_seed_str=key.seed)


class TestJwt:
    @FORMS
    async def test_a_creds_file(
        self, trusting: NatsServer, operator: Operator, key: Key, form: Form, tmp_path: Path
    ) -> None:
        path = tmp_path / "user.creds"
        path.write_text(creds_text(operator.user(key), key.seed))
        assert await works(trusting.url, user_credentials=form(path))
        path.write_text(creds_text(operator.user(key), key.seed).replace("\n", "\r\n"))
        assert await works(trusting.url, user_credentials=form(str(path)))

    @FORMS
    async def test_its_content(self, trusting: NatsServer, operator: Operator, key: Key, form: Form) -> None:
        text = creds_text(operator.user(key), key.seed)
        for given in (RawCredentials(text), RawCredentials(text.encode()), text.encode()):
            assert await works(trusting.url, user_credentials=form(given))

    async def test_a_file_for_each(
        self, trusting: NatsServer, operator: Operator, key: Key, tmp_path: Path
    ) -> None:
        jwt, seed = tmp_path / "user.jwt", tmp_path / "user.nk"
        jwt.write_text(operator.user(key) + "\n")
        seed.write_text(key.seed + "\n")
        assert await works(trusting.url, user_credentials=(jwt, seed))

    async def test_a_jwt_with_a_seed(self, trusting: NatsServer, operator: Operator, key: Key) -> None:
        assert await works(
            trusting.url, user_jwt_cb=lambda: operator.user(key), nkeys_seed_str=lambda: key.seed
        )

    async def test_callbacks_for_both(self, trusting: NatsServer, operator: Operator, key: Key) -> None:
        async def jwt() -> bytearray:
            return bytearray(operator.user(key).encode())

        assert await works(trusting.url, user_jwt_cb=jwt, signature_cb=lambda nonce: key.sign(nonce.encode()))

    async def test_a_bearer_signs_nothing(self, trusting: NatsServer, operator: Operator, key: Key) -> None:
        assert await works(trusting.url, user_jwt_cb=lambda: operator.user(key, bearer_token=True))
        with pytest.raises(AuthorizationError):
            await connect(trusting.url, user_jwt_cb=lambda: operator.user(key))

    async def test_one_of_another_operator_is_refused(self, trusting: NatsServer, key: Key) -> None:
        text = creds_text(Operator().user(key), key.seed)
        with pytest.raises(AuthorizationError):
            await connect(trusting.url, user_credentials=text.encode())

    async def test_a_file_that_is_replaced_is_read_anew(
        self, trusting: NatsServer, operator: Operator, tmp_path: Path
    ) -> None:
        path, back, first, second = tmp_path / "user.creds", Gathered(), Key(), Key()
        path.write_text(creds_text(operator.user(first, seconds=2), first.seed))
        async with await connect(
            trusting.url, user_credentials=path, reconnected_cb=back, error_cb=Gathered(), **QUICK
        ) as client:
            path.write_text(creds_text(operator.user(second), second.seed))
            await back.reach(1)
            await client.flush()


class TestExpiry:
    async def test_an_expired_jwt_is_replaced_by_a_fresh_one(
        self, trusting: NatsServer, operator: Operator, key: Key
    ) -> None:
        errors, back, away = Gathered(), Gathered(), Gathered()
        jwts = iter([operator.user(key, seconds=2), operator.user(key)])
        client = await connect(
            trusting.url,
            user_jwt_cb=lambda: next(jwts),
            nkeys_seed_str=key.seed,
            error_cb=errors,
            reconnected_cb=back,
            disconnected_cb=away,
            **QUICK,
        )
        async with client:
            sub = await client.subscribe("kept")
            await back.reach(1)
            assert len(away) == 1
            (expired,) = errors
            assert isinstance(expired, AuthorizationError)
            assert "expired" in str(expired).lower()
            await client.publish("kept", b"still here")
            assert (await sub.next_msg(timeout=10)).data == b"still here"

    async def test_a_stale_one_ends_it_after_two_refusals(
        self, trusting: NatsServer, operator: Operator, key: Key
    ) -> None:
        errors, closed = Gathered(), Gathered()
        jwt = operator.user(key, seconds=2)
        client = await connect(
            trusting.url,
            user_jwt_cb=lambda: jwt,
            nkeys_seed_str=key.seed,
            error_cb=errors,
            closed_cb=closed,
            **QUICK,
        )
        await closed.reach(1)
        assert client.is_closed
        assert isinstance(client.last_error, AuthorizationError)
        assert isinstance(errors[-1], AuthorizationError)


class Refusing:
    """Takes the first connection, ends it, and refuses the next ones with `texts`; then takes them."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.connections = 0

    async def __call__(self, side: Side) -> None:
        self.connections += 1
        if self.connections == 1:
            await side.greet()
        elif self.texts:
            await side.send(b'INFO {"auth_required":true}\r\n')
            await side.expect(b"CONNECT")
            await side.send(f"-ERR '{self.texts.pop(0)}'\r\n".encode())
        else:
            await side.greet()
            await side.answer_pings()


class TestTwoStrikes:
    async def ended(self, script: Refusing, **options: Any) -> Client:
        closed = Gathered()
        async with Peer(script) as peer:
            client = await connect(
                peer.url, closed_cb=closed, error_cb=Gathered(), reconnected_cb=closed, **QUICK, **options
            )
            await closed.reach(1)
            await client.close()
        return client

    async def test_the_same_refusal_twice_closes(self) -> None:
        script = Refusing(*["Authorization Violation"] * 9)
        client = await self.ended(script)
        assert script.connections == 3
        assert isinstance(client.last_error, AuthorizationError)

    async def test_unless_it_is_ignored(self) -> None:
        script = Refusing(*["Authorization Violation"] * 5)
        await self.ended(script, ignore_auth_error_abort=True)
        assert script.connections == 7

    @pytest.mark.parametrize("between", ["User Authentication Expired", "maximum connections exceeded"])
    async def test_another_reason_between_starts_anew(self, between: str) -> None:
        script = Refusing("Authorization Violation", between, "Authorization Violation")
        await self.ended(script)
        assert script.connections == 5

    async def test_a_server_that_took_us_between_starts_anew(self) -> None:
        back = Gathered()
        script = Refusing("Authorization Violation")
        async with (
            Peer(script) as peer,
            await connect(
                peer.url, reconnected_cb=back, error_cb=Gathered(), closed_cb=back, **QUICK
            ) as client,
        ):
            await back.reach(1)
            script.connections, script.texts = 1, ["Authorization Violation"]
            assert client._link is not None
            client._link.abort()
            await back.reach(2)
            assert client.is_connected


class TestWhatIsWrong:
    async def refused(self, url: str, **options: Any) -> str:
        async with leaves_nothing():
            with pytest.raises(InvalidUserCredentialsError) as caught:
                await connect(url, **options)
        return str(caught.value)

    async def test_a_file_that_is_not_there(self, trusting: NatsServer, tmp_path: Path) -> None:
        path = tmp_path / "user.creds"
        for options in ({"user_credentials": path}, {"nkeys_seed": path}, {"user_credentials": (path, path)}):
            text = await self.refused(trusting.url, **options)
            assert f"{str(path)!r} cannot be read: No such file" in text

    @pytest.mark.parametrize("content", ["", "s3cret", "-----BEGIN NATS USER JWT-----\ns3cret"])
    async def test_a_file_that_is_none(self, trusting: NatsServer, tmp_path: Path, content: str) -> None:
        path = tmp_path / "user.creds"
        path.write_text(content)
        for name in ("user_credentials", "nkeys_seed"):
            text = await self.refused(trusting.url, **{name: path})
            assert str(path) in text
            assert "s3cret" not in text

    async def test_half_a_file(self, trusting: NatsServer, tmp_path: Path, key: Key) -> None:
        path = tmp_path / "user.creds"
        path.write_text(creds_text("eyJ.s3cret.x", key.seed).partition("*")[0])
        text = await self.refused(trusting.url, user_credentials=path)
        assert "has no USER NKEY SEED" in text
        assert "s3cret" not in text

    @pytest.mark.parametrize(("kind", "whose"), [("A", "an account"), ("O", "an operator")])
    async def test_the_seed_of_somebody_else(self, server: NatsServer, kind: str, whose: str) -> None:
        seed = Key(kind).seed
        text = await self.refused(server.url, nkeys_seed_str=seed)
        assert text == f"nkeys_seed_str is the seed of {whose}; a user's begins with SU"

    async def test_a_damaged_seed(self, server: NatsServer, key: Key, tmp_path: Path) -> None:
        wrong = key.seed[:20] + ("A" if key.seed[20] != "A" else "B") + key.seed[21:]
        for seed in (wrong, key.seed[:-3], "SU", key.seed + "1", "SU\u00e9"):
            text = await self.refused(server.url, nkeys_seed_str=seed)
            assert text.startswith("nkeys_seed_str is a damaged seed")
            assert seed not in text or seed == "SU"
        path = tmp_path / "user.nk"
        path.write_text(wrong)
        assert repr(str(path)) in await self.refused(server.url, nkeys_seed=path)

    async def test_a_public_key_for_a_seed(self, server: NatsServer, key: Key) -> None:
        assert "is no seed" in await self.refused(server.url, nkeys_seed_str=key.public)

    @pytest.mark.parametrize("form", ["text", "seed", "pair", "bare"])
    async def test_what_stands_in_a_file_in_the_place_of_its_path(
        self, trusting: NatsServer, operator: Operator, key: Key, form: str
    ) -> None:
        jwt = operator.user(key)
        options: dict[str, Any] = {
            "text": {"user_credentials": creds_text(jwt, key.seed)},
            "seed": {"nkeys_seed": key.seed},
            "pair": {"user_credentials": (jwt, key.seed)},
            "bare": {"user_credentials": f" {jwt}"},
        }[form]
        text = await self.refused(trusting.url, **options)
        assert "takes the path of a file" in text
        assert key.seed[:10] not in text
        assert jwt[:10] not in text

    async def test_a_callback_of_another_type(self, trusting: NatsServer) -> None:
        assert "gave int" in await self.refused(trusting.url, user_credentials=lambda: 5)
        assert "gave int" in await self.refused(trusting.url, nkeys_seed=lambda: 5)

    @pytest.mark.parametrize(
        "given",
        [
            {"user_credentials": "a", "nkeys_seed": "b"},
            {"nkeys_seed": "a", "nkeys_seed_str": "b"},
            {"user_credentials": "a", "user_jwt_cb": str},
            {"signature_cb": str},
            {"nkey": "U"},
        ],
        ids=lambda given: "+".join(given),
    )
    async def test_what_contradicts_itself(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(given))):
            await connect(**given)

    async def test_without_the_extra(
        self, server: NatsServer, key: Key, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "nkeys", None)
        with pytest.raises(MissingExtraError, match=r'pip install "tidings\[nkeys\]"'):
            await connect(server.url, nkeys_seed_str=key.seed)


class TestSecrets:
    """They appear nowhere: not in what is logged, shown or raised."""

    async def test_of_every_kind(
        self, operator: Operator, caplog: pytest.LogCaptureFixture, server: NatsServer, tmp_path: Path
    ) -> None:
        caplog.set_level(logging.DEBUG)
        key = Key()
        jwt = operator.user(key)
        raw = RawCredentials(creds_text(jwt, key.seed))
        path = tmp_path / "user.creds"
        path.write_text(creds_text(jwt, key.seed))
        shown = [repr(raw)]
        for options in (
            {"user_credentials": raw},
            {"user_credentials": path},
            {"nkeys_seed_str": key.seed},
            {"user": "ada", "password": "s3cret"},
            {"token": "s3cret"},
            {"user_jwt_cb": lambda: jwt, "nkeys_seed_str": key.seed},
        ):
            client = Client(server.url, options_from(options))
            shown += [repr(client), repr(client.options)]
            with pytest.raises(AuthorizationError) as caught:
                await client.open()
            shown += traceback.format_exception(caught.value)
        everything = caplog.text + "".join(shown)
        assert not any(secret in everything for secret in (key.seed, jwt, jwt[:30], "s3cret"))

    async def test_on_the_way_back(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        script = Refusing(*["Authorization Violation"] * 2)
        async with Peer(script) as peer:
            client = await connect(peer.url, user="ada", password=lambda: "s3cret", **QUICK)
            await eventually(lambda: client.is_closed)
        assert "Authorization Violation" in caplog.text
        assert "s3cret" not in caplog.text
