"""Contexts of the nats command line, against servers that ask for what they say."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.identities import Key, Operator, creds_text

from tidings.nats import AuthorizationError, NoServersError, contexts
from tidings.nats.contexts import Context, ContextError
from tidings.nats.server import NatsServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, without any context."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("NATS_CONTEXT", raising=False)
    return tmp_path


def write(home: Path, name: str, text: str | None = None, **fields: Any) -> Path:
    path = home / ".config" / "nats" / "context" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields) if text is None else text)
    return path


class TestFiles:
    def test_as_the_command_line_writes_them(self, home: Path) -> None:
        fields = {
            "description": "for tests",
            "url": "nats://one:4222,nats://two:4222",
            "socks_proxy": "",
            "token": "",
            "user": "joe",
            "password": "s3cr3t",
            "creds": "",
            "nkey": "",
            "cert": "",
            "key": "",
            "ca": "",
            "nsc": "",
            "jetstream_domain": "hub",
            "jetstream_api_prefix": "",
            "jetstream_event_prefix": "",
            "inbox_prefix": "_IN.joe",
            "user_jwt": "",
            "color_scheme": "red",
            "tls_first": False,
            "windows_ca_certs_match": None,
        }
        write(home, "hub.eu", **fields)
        context = contexts.load("hub.eu")
        assert (context.name, context.description) == ("hub.eu", "for tests")
        assert context.servers == "nats://one:4222,nats://two:4222"
        assert context.connect_options() == {"user": "joe", "password": "s3cr3t", "inbox_prefix": "_IN.joe"}
        assert context.jetstream_options() == {"domain": "hub"}
        assert context.others["color_scheme"] == "red"

    def test_all_but_the_name_may_be_missing(self, home: Path) -> None:
        write(home, "bare")
        context = contexts.load("bare")
        assert context.servers == "nats://localhost:4222"
        assert context.connect_options() == {}
        assert context.jetstream_options() == {}

    def test_which_is_selected(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert contexts.selected() == ""
        assert contexts.names() == []
        with pytest.raises(ContextError, match="none selected"):
            contexts.load()
        for name in ("b", "a"):
            write(home, name)
        write(home, "empty", text="")
        assert contexts.names() == ["a", "b"]
        contexts.select("b")
        assert (home / ".config" / "nats" / "context.txt").read_text() == "b"
        assert contexts.load().name == "b"
        monkeypatch.setenv("NATS_CONTEXT", "a")
        assert contexts.load().name == "a"

    def test_the_folder_of_XDG(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert contexts.folder() == home / ".config" / "nats"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
        assert contexts.folder() == home / "xdg" / "nats"

    def test_a_file_elsewhere(self, home: Path) -> None:
        path = home / "elsewhere.json"
        path.write_text('{"url": "nats://there"}')
        context = contexts.load(str(path))
        assert (context.name, context.url) == ("elsewhere", "nats://there")

    def test_saved_and_loaded_again(self, home: Path) -> None:
        made = Context(name="a", url="nats://x", password="p", tls_first=True, others={"color_scheme": "red"})
        path = contexts.save(made)
        assert path == home / ".config" / "nats" / "context" / "a.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert contexts.load("a") == made
        assert json.loads(path.read_text())["user"] == ""
        contexts.save(made, "b")
        assert contexts.load("b").url == "nats://x"
        assert sorted(each.name for each in path.parent.iterdir()) == ["a.json", "b.json"]

    def test_secrets_are_not_shown(self) -> None:
        context = Context(
            name="a",
            url="nats://u:secret@x",
            user="secret",
            password="secret",
            token="secret",
            user_jwt="secret",
            socks_proxy="socks5://u:secret@x",
        )
        assert "secret" not in repr(context)

    @pytest.mark.parametrize("name", ["..", "a/b", "../a", "", "a\0"])
    def test_names_that_are_none(self, name: str) -> None:
        for use in (contexts.load, contexts.select, lambda name: contexts.save(Context(name=name))):
            with pytest.raises(ContextError):
                use(name)

    def test_one_that_there_is_not(self, home: Path) -> None:
        write(home, "other")
        with pytest.raises(ContextError, match="there is other"):
            contexts.load("missing")
        with pytest.raises(ContextError, match="to select; there is other"):
            contexts.select("missing")

    @pytest.mark.parametrize("text", ["{", "[]", "\x00", '"a"'])
    def test_a_file_that_is_none(self, home: Path, text: str) -> None:
        write(home, "bad", text=text)
        with pytest.raises(ContextError, match="bad"):
            contexts.load("bad")

    @pytest.mark.parametrize(("field", "value"), [("password", 7), ("tls_first", "yes"), ("url", ["x"])])
    def test_a_value_of_another_type_is_not_shown(self, home: Path, field: str, value: Any) -> None:
        write(home, "bad", **{field: value})
        with pytest.raises(ContextError, match=field) as caught:
            contexts.load("bad")
        assert str(value) not in str(caught.value).replace(field, "")

    def test_a_folder_that_cannot_be_written_to(self, home: Path) -> None:
        (home / ".config").write_text("a file")
        with pytest.raises(ContextError, match="cannot be written"):
            contexts.save(Context(name="a"))


class TestOptions:
    def test_paths_and_variables_are_filled_in(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WHERE", "/keys")
        context = Context(name="a", creds="$WHERE/${WHERE}.creds")
        assert context.connect_options() == {"user_credentials": "/keys//keys.creds"}
        assert Context(name="a", creds="~/a.creds").connect_options() == {
            "user_credentials": f"{home}/a.creds"
        }
        assert Context(name="a", nkey="~/a.nk").connect_options() == {"nkeys_seed": f"{home}/a.nk"}
        tls = Context(name="a", ca="~/ca.pem", cert="~/cert.pem", key="~/key.pem").connect_options()["tls"]
        assert tls is not None
        assert [getattr(tls, name) for name in ("ca_file", "cert_file", "key_file")] == [
            f"{home}/ca.pem",
            f"{home}/cert.pem",
            f"{home}/key.pem",
        ]

    def test_a_variable_that_is_not_set(self) -> None:
        with pytest.raises(ContextError, match="NO_SUCH_VARIABLE"):
            Context(name="a", creds="$NO_SUCH_VARIABLE/x").connect_options()

    def test_which_credentials_come_first(self) -> None:
        everything = {"user": "u", "password": "p", "creds": "c", "nkey": "n", "user_jwt": "j"}
        assert set(Context(name="a", **everything).connect_options()) == {"user", "password"}
        del everything["user"]
        assert set(Context(name="a", **everything).connect_options()) == {"user_credentials"}
        del everything["creds"]
        assert set(Context(name="a", **everything).connect_options()) == {"nkeys_seed", "user_jwt_cb"}

    def test_the_prefix_of_jetstream(self) -> None:
        assert Context(name="a", jetstream_api_prefix="JS.hub.API").jetstream_options() == {
            "prefix": "JS.hub.API"
        }

    @pytest.mark.parametrize(
        "fields",
        [
            {"socks_proxy": "socks5://x"},
            {"nsc": "nsc://operator/account/user"},
            {"windows_cert_store": "windowscurrentuser"},
            {"password": "op://vault/item/secret"},
            {"jetstream_domain": "a", "jetstream_api_prefix": "b"},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    async def test_what_we_cannot_do_is_said(self, home: Path, fields: Any) -> None:
        write(home, "a", **fields)
        with pytest.raises(ContextError, match=next(iter(fields))) as caught:
            await contexts.connect("a")
        assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def guarded() -> Iterator[NatsServer]:
    config = 'authorization { users = [{ user: joe, password: "s3cr3t" }, { user: ann, password: "x" }] }'
    with NatsServer(token=False, config=config) as server:
        yield server


class TestConnecting:
    async def test_with_a_token_in_the_url(self, home: Path, nats_url: str) -> None:
        write(home, "a", url=nats_url)
        contexts.select("a")
        async with await contexts.connect() as client:
            assert (await client.rtt()) >= 0

    async def test_with_a_password(self, home: Path, guarded: NatsServer) -> None:
        write(
            home,
            "a",
            url=f"nats://{guarded.host}:{guarded.port}",
            user="joe",
            password="s3cr3t",
            inbox_prefix="in.joe",
        )
        async with await contexts.connect("a", name="me") as client:
            assert client.new_inbox().startswith("in.joe.")
            assert client.options.name == "me"
            assert (
                await client.jetstream(**contexts.load("a").jetstream_options()).account_info()
            ) is not None
        async with await contexts.connect("a", user="ann", password="x"):
            pass
        with pytest.raises(AuthorizationError) as caught:
            await contexts.connect("a", password="wrong")
        assert "s3cr3t" not in str(caught.value)
        with pytest.raises(NoServersError):
            await contexts.connect("a", servers="nats://127.0.0.1:1")

    async def test_with_a_seed(self, home: Path) -> None:
        key = Key()
        path = home / "user.nk"
        path.write_text(key.seed)
        config = f"authorization {{ users = [{{ nkey: {key.public} }}] }}"
        with NatsServer(token=False, config=config, jetstream=False) as server:
            write(home, "a", url=f"nats://{server.host}:{server.port}", nkey="~/user.nk")
            async with await contexts.connect("a") as client:
                await client.flush()

    async def test_with_a_creds_file_and_with_a_jwt(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        operator, key = Operator(), Key()
        jwt = operator.user(key)
        (home / "keys").mkdir()
        (home / "keys" / "me.creds").write_text(creds_text(jwt, key.seed))
        (home / "keys" / "me.nk").write_text(key.seed)
        monkeypatch.setenv("KEYS", str(home / "keys"))
        with NatsServer(token=False, config=operator.config, jetstream=False) as server:
            url = f"nats://{server.host}:{server.port}"
            write(home, "creds", url=url, creds="${KEYS}/me.creds")
            write(home, "jwt", url=url, nkey="~/keys/me.nk", user_jwt=jwt)
            for name in ("creds", "jwt"):
                async with await contexts.connect(name) as client:
                    await client.flush()

    async def test_with_tls(self, home: Path) -> None:
        authority = Authority(home)
        ours, theirs = authority.issue("client"), authority.issue("server", "127.0.0.1")
        config = (
            f'tls {{ cert_file: "{theirs.cert}", key_file: "{theirs.key}", ca_file: "{authority.ca}", '
            "verify: true, handshake_first: true }"
        )
        with NatsServer(token=False, config=config, jetstream=False) as server:
            fields = {"url": f"tls://127.0.0.1:{server.port}", "ca": str(authority.ca), "tls_first": True}
            write(home, "a", **fields, cert=str(ours.cert), key=str(ours.key))
            async with await contexts.connect("a") as client:
                assert client.is_secure
